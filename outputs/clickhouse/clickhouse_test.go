package clickhouse

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const login = "hostport: URL, username: saker, password: s3cretKey"

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "clickhouse",
		Config: "{" + login + "}",
		Secret: "s3cretKey",
		Answer: accept,
		Variants: map[string]string{
			"async":  "{" + login + ", database: security, table: falco-events, asyncinsert: true, enablecompression: false}",
			"create": "{hostport: URL/, createtable: true, username: saker, password: s3cretKey, basicauth: true, customheaders: {X-Team: blue}}",
		},
		Hollow: map[string]outputstest.Outcome{
			"<html>welcome</html>": outputstest.Held,
			"Ok.\n":                outputstest.Held,
			"Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)": outputstest.NotNow,
			"Code: 60. DB::Exception: Table default.x does not exist. (UNKNOWN_TABLE)": outputstest.Held,
			"__exception__\nabc\nDB::Exception: broken":                                outputstest.NotNow,
		},
		Wrong: map[string]string{
			"{}":                                   "hostport",
			"{hostport: clickhouse:8123}":          "hostport: must be",
			"{hostport: 'http://u:s3cretKey@h'}":   "username and password",
			"{hostport: 'URL/?database=x'}":        "hostport",
			"{hostport: URL, database: ''}":        "database: must be a name",
			"{hostport: URL, table: 'a`b'}":        "table: must be a name",
			"{hostport: URL, password: s3cretKey}": "username: is required with password",
			"{hostport: URL, basicauth: true}":     "username: is required with basicauth",
			"{hostport: URL, username: \"a\\nb\"}": "username: must not have line breaks",
			"{hostport: URL, username: 'a:b', basicauth: true, password: s3cretKey}": "must not have a colon",
			"{hostport: URL, username: u, password: \"s3cretKey\\n\"}":               "password: must not have line breaks",
			"{hostport: URL, username: u, customheaders: {X-A: \"s3cretKey\\nb\"}}":  "customheaders",
		},
	}.Run(t)
}

// refuse answers with an exception as ClickHouse does.
func refuse(w http.ResponseWriter, status, code int, text string) {
	w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "Code: %d. DB::Exception: %s (version 24.8.4.13 (official build))\n", code, text)
}

var (
	inserts = regexp.MustCompile("^INSERT INTO `[A-Za-z_-]+`\\.`[A-Za-z_-]+` \\(([a-z_, ]+)\\) FORMAT JSONEachRow$")
	creates = regexp.MustCompile("^CREATE TABLE IF NOT EXISTS `default`\\.`falco_events` \\(.*\\) ENGINE = MergeTree ")
	known   = []string{"query", "async_insert", "wait_for_async_insert", "async_insert_deduplicate", "insert_deduplication_token", "date_time_input_format"}
)

// accept answers as ClickHouse does to whoever logs in, and refuses what it would refuse.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	user, password, basic := r.BasicAuth()
	if !basic {
		user, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	}
	if user != "saker" || password != "s3cretKey" {
		refuse(w, http.StatusForbidden, 516, user+": Authentication failed. (AUTHENTICATION_FAILED)")
		return
	}
	query := r.URL.Query()
	for key := range query {
		if !slices.Contains(known, key) {
			refuse(w, http.StatusNotFound, 115, "Unknown setting "+key+". (UNKNOWN_SETTING)")
			return
		}
	}
	if r.URL.Path != "/elsewhere" { // where the contract's redirect leads, without the query
		statement := query.Get("query")
		if creates.MatchString(statement) && len(body) == 0 {
			return
		}
		if found := inserts.FindStringSubmatch(statement); found == nil || len(query.Get("insert_deduplication_token")) != 64 {
			refuse(w, http.StatusBadRequest, 62, "Syntax error. (SYNTAX_ERROR)")
			return
		}
	}
	rows, err := read(r, body)
	if err != nil || len(rows) == 0 {
		refuse(w, http.StatusBadRequest, 27, fmt.Sprintf("Cannot parse input: %v: (at row 1) (CANNOT_PARSE_INPUT_ASSERTION_FAILED)", err))
	}
}

type row struct {
	Time         time.Time
	UUID         *uuid.UUID
	Priority     string
	Rule         string
	Source       string
	Output       string
	Hostname     string
	Tags         []string
	OutputFields string `json:"output_fields"`
}

// read returns the rows of a request.
func read(r *http.Request, body []byte) (rows []row, err error) {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	for {
		var next row
		switch err := d.Decode(&next); {
		case err == io.EOF:
			return rows, nil
		case err != nil:
			return nil, err
		case !json.Valid([]byte(next.OutputFields)):
			return nil, errors.New("output_fields is not JSON")
		}
		rows = append(rows, next)
	}
}

// database answers requests with handle.
func database(t *testing.T, extra string, handle func(w http.ResponseWriter, r *http.Request, body []byte)) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		handle(w, r, body)
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("clickhouse", strings.ReplaceAll("{"+login+extra+"}", "URL", server.URL), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	})
	return s
}

// events returns n events that differ in their UUIDs.
func events(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = outputstest.Plain()
		all[i].UUID = uuid.NewString()
	}
	return all
}

func TestEachExceptionHasItsOutcome(t *testing.T) {
	const later, held, never = outputstest.NotNow, outputstest.Held, outputstest.Rejected
	for _, tc := range []struct {
		status, code int
		text         string
		want         outputstest.Outcome
	}{
		{403, 516, "Authentication failed", held},
		{401, 194, "Password required", held},
		{403, 192, "There is no user", held},
		{403, 193, "Wrong password", held},
		{403, 497, "Not enough privileges", held},
		{404, 60, "Table does not exist", held},
		{404, 81, "Database does not exist", held},
		{500, 16, "No such column uuid in table", held},
		{404, 115, "Unknown setting", held},
		{500, 164, "Cannot modify setting in readonly mode", held},
		{400, 62, "Syntax error", held},
		{400, 53, "Type mismatch", held},
		{400, 27, "Cannot parse input", never},
		{500, 27, "Cannot parse input, as old servers answer", never},
		{400, 117, "Incorrect data", never},
		{400, 41, "Cannot parse datetime", never},
		{400, 376, "Cannot parse uuid", never},
		{500, 469, "Constraint is violated", never},
		{500, 407, "Decimal overflow", never},
		{500, 252, "Too many parts (300). Merges are processing significantly slower than inserts", later},
		{500, 252, "Too many partitions for single INSERT block (more than 100)", never},
		{500, 241, "Memory limit exceeded", later},
		{408, 159, "Timeout exceeded", later},
		{500, 202, "Too many simultaneous queries", later},
		{500, 242, "Table is in readonly mode", later},
		{500, 243, "Not enough space", later},
		{500, 201, "Quota has been exceeded", later},
		{500, 319, "Unknown status of insert", later},
		{400, 9999, "A code of the future", later},
	} {
		s := database(t, "", func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, tc.status, tc.code, tc.text) })
		err := s.Send(t.Context(), events(1))
		if got := outputstest.OutcomeOf(err); got != tc.want || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%d with code %d (%s) is %q (%v), want %q", tc.status, tc.code, tc.text, got, err, tc.want)
		}
	}
}

func TestACodeIsReadFromTheTextIfThereIsNoHeader(t *testing.T) {
	for text, want := range map[string]int{
		"Code: 60. DB::Exception: Table default.x does not exist": 60,
		"Code: 27, e.displayText() = DB::Exception: Cannot parse": 27,
		"\nCode: 241. DB::Exception":                              241,
		"see Code: 60. DB::Exception":                             0,
		"Code: 1234567. x":                                        0,
		"Code: x":                                                 0,
		"":                                                        0,
	} {
		if got := exceptionCode(nil, []byte(text)); got != want {
			t.Errorf("%q has the code %d, want %d", text, got, want)
		}
	}
	if got := exceptionCode(http.Header{"X-Clickhouse-Exception-Code": {"81"}}, []byte("Code: 60. ")); got != 81 {
		t.Errorf("the header's code is %d", got)
	}
}

func TestThePasswordDoesNotShowWhenItIsRepeated(t *testing.T) {
	for _, extra := range []string{"", ", basicauth: true"} {
		s := database(t, extra, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			refuse(w, 403, 516, "s3cretKey is wrong "+r.Header.Get("Authorization")+r.Header.Get("X-ClickHouse-Key"))
		})
		err := s.Send(t.Context(), events(1))
		if outputstest.OutcomeOf(err) != outputstest.Held {
			t.Errorf("got %v", err)
		}
		outputstest.NoSecret(t, "s3cretKey", fmt.Sprint(err))
	}
}

func TestABatchThatIsSentAgainHasTheSameToken(t *testing.T) {
	var tokens []string
	s := database(t, "", func(_ http.ResponseWriter, r *http.Request, _ []byte) {
		tokens = append(tokens, r.URL.Query().Get("insert_deduplication_token"))
	})
	all := events(4)
	nameless := slices.Clone(all[:2])
	nameless[0].UUID, nameless[1].UUID, nameless[1].Rule = "", "", "another"
	for _, batch := range [][]event.Event{all, all, all[:3], all[1:], {all[1], all[0], all[2], all[3]}, nameless[:1], nameless[1:], nameless[:1]} {
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	same := [][2]int{{0, 1}, {5, 7}}
	for i := range tokens {
		for j := range i {
			if want := slices.Contains(same, [2]int{j, i}); (tokens[i] == tokens[j]) != want {
				t.Errorf("batches %d and %d: the tokens are %s and %s", j, i, tokens[j], tokens[i])
			}
		}
	}
}

func TestALargeBatchIsSeveralRequests(t *testing.T) {
	batch := events(8)
	for i := range batch {
		batch[i].Output = strings.Repeat("x", 900<<10)
	}
	var got []string
	requests := 0
	s := database(t, ", asyncinsert: true", func(w http.ResponseWriter, r *http.Request, body []byte) {
		rows, err := read(r, body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Query().Get("wait_for_async_insert") != "1" {
			t.Errorf("the server does not wait: %s", r.URL)
		}
		for _, row := range rows {
			got = append(got, row.UUID.String())
		}
		if requests++; requests == 2 {
			refuse(w, 500, 252, "Too many parts")
		}
	})
	err := s.Send(t.Context(), batch)
	parts, ok := errors.AsType[outputs.Partial](err)
	if !ok || requests != 2 || len(got) != 8 || len(parts) != 4 || outputstest.OutcomeOf(parts[4]) != outputstest.NotNow {
		t.Errorf("%d rows in %d requests: %v", len(got), requests, err)
	}
}

func TestTheTableIsCreatedOnceAndAgainWhenItIsGone(t *testing.T) {
	var mu sync.Mutex
	var statements []string
	gone := false
	s := database(t, ", createtable: true", func(w http.ResponseWriter, r *http.Request, _ []byte) {
		mu.Lock()
		defer mu.Unlock()
		verb, _, _ := strings.Cut(r.URL.Query().Get("query"), " ")
		statements = append(statements, verb)
		if gone && verb == "INSERT" {
			gone = false
			refuse(w, 404, unknownTable, "Table default.falco_events does not exist. (UNKNOWN_TABLE)")
		}
	})
	for i, want := range []outputstest.Outcome{outputstest.Delivered, outputstest.Delivered, outputstest.Held, outputstest.Delivered} {
		gone = i == 2
		if got := outputstest.OutcomeOf(s.Send(t.Context(), events(1))); got != want {
			t.Errorf("send %d is %q, want %q", i, got, want)
		}
	}
	if got, want := strings.Join(statements, " "), "CREATE INSERT INSERT INSERT CREATE INSERT"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATableThatCannotBeCreatedIsNoEventsFault(t *testing.T) {
	for code, want := range map[int]outputstest.Outcome{
		497: outputstest.Held, 117: outputstest.Held, 81: outputstest.Held, 241: outputstest.NotNow,
	} {
		s := database(t, ", createtable: true", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			if !strings.HasPrefix(r.URL.Query().Get("query"), "CREATE") {
				t.Error("a row was inserted")
			}
			refuse(w, 500, code, "cannot")
		})
		if got := outputstest.OutcomeOf(s.Send(t.Context(), events(2))); got != want {
			t.Errorf("code %d is %q, want %q", code, got, want)
		}
	}
}

func TestThePageShowsTheTableThatIsCreated(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	want := strings.ReplaceAll(createStatement(Config{Database: "security", Table: "falco_events"}), "`", "")
	if !strings.Contains(squeeze(page), squeeze(strings.Replace(want, "IF NOT EXISTS ", "", 1))) {
		t.Errorf("the page lacks %s", want)
	}
}

func FuzzAnAnswerIsJudged(f *testing.F) {
	f.Add(403, "516", []byte("Code: 516. DB::Exception: x"))
	f.Add(500, "", []byte("Code: 252, e.displayText() = DB::Exception: Too many partitions for single INSERT block"))
	f.Add(502, "x", []byte("<html>"))
	f.Add(200, "", []byte(" \n"))
	f.Fuzz(func(t *testing.T, status int, code string, answer []byte) {
		header := http.Header{"X-Clickhouse-Exception-Code": {code}}
		if judge(status, header, answer, exceptionCode(header, answer)) == nil {
			t.Errorf("%d with %q is a success", status, answer)
		}
		if (checkSuccess(answer) == nil) != (len(bytes.TrimSpace(answer)) == 0) {
			t.Errorf("%q: %v", answer, checkSuccess(answer))
		}
	})
}

func BenchmarkAppendRow(b *testing.B) {
	e, row := outputstest.Plain(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		row = appendRow(row[:0], e)
	}
	b.SetBytes(int64(len(row)))
}

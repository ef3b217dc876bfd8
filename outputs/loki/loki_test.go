package loki

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
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const key = "apikey: s3cretKey"
	outputstest.HTTP{
		Kind:   "loki",
		Config: "{hostport: URL, user: '1234', " + key + ", customheaders: {X-Token: s3cretHeader}}",
		Secret: "s3cretKey s3cretHeader",
		Variants: map[string]string{
			"json":     "{hostport: URL, format: json}",
			"labels":   "{hostport: URL, extralabels: 'proc.name, proc.aname[2],proc.cmdline,ключ,text,number.big'}",
			"metadata": "{hostport: URL, structuredmetadata: [proc.name, proc.pid, k8s.pod.name, object]}",
			"plain":    "{hostport: URL/, tenant: team-a, endpoint: /insert/loki/api/v1/push, enablecompression: false}",
		},
		Wrong: map[string]string{
			"{}":                                       "hostport",
			"{hostport: loki:3100}":                    "hostport: must be a URL",
			"{hostport: 'http://u:pw@h'}":              "set user and apikey",
			"{hostport: 'http://h?a=b'}":               "without a query",
			"{hostport: URL, endpoint: push}":          "endpoint",
			"{hostport: URL, format: xml}":             "must be one of text, json",
			"{hostport: URL, user: u}":                 "apikey: is required with user",
			"{hostport: URL, apikey: k}":               "user: is required with apikey",
			"{hostport: URL, customheaders: {a b: c}}": "customheaders",
		},
		Answer: push202,
	}.Run(t)
}

var label = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// push202 answers as Loki does, with Loki's checks of a push.
func push202(w http.ResponseWriter, r *http.Request, body []byte) {
	if err := check(r, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func check(r *http.Request, body []byte) error {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return errors.New("the content type is not application/json")
	}
	var p struct {
		Streams []struct {
			Stream map[string]string   `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, s := range p.Streams {
		key := fmt.Sprint(s.Stream)
		if seen[key] {
			return errors.New("a stream comes twice")
		}
		seen[key] = true
		for name, value := range s.Stream {
			if !label.MatchString(name) || len(value) > 2048 {
				return fmt.Errorf("label %q is wrong or too long", name)
			}
		}
		if err := checkEntries(s.Values); err != nil {
			return err
		}
	}
	return nil
}

func checkEntries(values [][]json.RawMessage) error {
	last := ""
	for _, v := range values {
		var at, line string
		if len(v) < 2 || json.Unmarshal(v[0], &at) != nil || json.Unmarshal(v[1], &line) != nil {
			return errors.New("an entry is not of time and line")
		}
		if at < last {
			return errors.New("entry out of order")
		}
		if len(line) > 256<<10 {
			return errors.New("Max entry size '262144' bytes exceeded")
		}
		last = at
		var meta map[string]string
		if len(v) > 2 && json.Unmarshal(v[2], &meta) != nil {
			return errors.New("structured metadata is not an object of texts")
		}
	}
	return nil
}

func open(t *testing.T, url, extra string, custom ...string) outputs.Sender {
	t.Helper()
	env := outputstest.Env(t)
	env.CustomFields = custom
	s, err := outputstest.New("loki", "{hostport: "+url+extra+"}", env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCustomFieldsAreLabels(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = event.SortFields([]event.Field{
		{Name: "cluster.name", Value: event.StringValue(`"prod" eu`)},
		{Name: "2nd", Value: event.StringValue("x")},
		{Name: "n", Value: event.NumberValue("1")},
	})
	got := newLabeller(Config{}, []string{"cluster.name", "2nd", "n", "absent"}).labels(e)
	want := map[string]string{
		"rule": e.Rule, "source": "syscall", "priority": "Error", "hostname": "node-1", "tags": "T1059,mitre_persistence",
		"cluster_name": "prod eu", "_2nd": "x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestABatchHasAStreamForEachSetOfLabelsInOrderOfTime(t *testing.T) {
	l := newLabeller(Config{}, nil)
	p := newPush()
	for i, at := range []int64{5, 3, 4} {
		rule := "a"
		if i == 1 {
			rule = "b"
		}
		p.add(l.entry(Config{}, event.Event{Rule: rule, Source: "s", Priority: event.Debug, Output: fmt.Sprint(i), Time: time.Unix(0, at)}))
	}
	p.add(l.entry(Config{}, event.Event{Rule: "b", Source: "s", Priority: event.Debug, Output: "3", Time: time.Unix(0, 1)}))
	const want = `{"streams":[` +
		`{"stream":{"priority":"Debug","rule":"a","source":"s"},"values":[["4","2"],["5","0"]]},` +
		`{"stream":{"priority":"Debug","rule":"b","source":"s"},"values":[["1","3"],["3","1"]]}]}` + "\n"
	if got := string(p.body()); got != want {
		t.Errorf("got %s", got)
	}
}

func TestEachAnswerOfLokisHasItsOutcome(t *testing.T) {
	outputstest.NoLeak(t)
	var status int
	var said string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintln(w, said)
	}))
	t.Cleanup(server.Close)
	s := open(t, server.URL, "")
	const stream = `'{rule="has timestamp too new: now", tags="missing required labels a"}'`
	for _, tc := range []struct {
		status int
		said   string
		want   outputstest.Outcome
	}{
		{400, "1 errors like: entry for stream " + stream + " has timestamp too old: 2019-05-17T15:31:56Z, oldest acceptable timestamp is: 2026-01-02T00:00:00Z", outputstest.Rejected},
		{400, "entry with timestamp 2026 ignored, reason: 'entry too far behind, entry timestamp is: 2026', user 'x', total ignored: 1 out of 1 for stream: {}", outputstest.Rejected},
		{400, "entry with timestamp 2026 ignored, reason: 'entry out of order' for stream: {}", outputstest.Rejected},
		{400, "Max entry size '262144' bytes exceeded for stream " + stream + " while adding an entry with length '300000' bytes", outputstest.Rejected},
		{400, "1 errors like: entry for stream " + stream + " has timestamp too new: 2036-01-02T00:00:00Z", outputstest.NotNow},
		{400, "1 errors like: entry for stream " + stream + " has 16 label names; limit 15", outputstest.Held},
		{400, "stream " + stream + " includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.", outputstest.Held},
		{400, "missing required labels team for user x for stream " + stream, outputstest.Held},
		{260, "ingestion blocked for user x until '2036-01-02T00:00:00Z' with status code '260'", outputstest.Held},
		{429, "Ingestion rate limit exceeded for user x (limit: 1 bytes/sec)", outputstest.NotNow},
		{204, "", outputstest.Delivered},
	} {
		status, said = tc.status, tc.said
		err := s.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d %s: got %s (%v), want %s", tc.status, tc.said, got, err, tc.want)
		}
	}
}

func TestALargeBatchIsSeveralPushes(t *testing.T) {
	outputstest.NoLeak(t)
	var sizes []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := check(r, body); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(body))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	batch := make([]event.Event, 30)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat("x", 250_000)
	}
	if err := open(t, server.URL, ", enablecompression: false").Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 3 {
		t.Errorf("%d pushes were made, want 3", len(sizes))
	}
	for _, n := range sizes {
		if n > maxBody+1000 {
			t.Errorf("a push has %d bytes", n)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("entry for stream '{}' has timestamp too new: now")
	f.Add("ingestion blocked for user x")
	f.Fuzz(func(t *testing.T, said string) {
		if err := blocked([]byte(said)); err != nil && !outputs.Held(err) {
			t.Errorf("got %v", err)
		}
		_ = tooNew.MatchString(said)
		_ = ofSettings.MatchString(said)
	})
}

func FuzzLabelName(f *testing.F) {
	f.Add("proc.aname[2]")
	f.Add("2\xff")
	f.Fuzz(func(t *testing.T, field string) {
		if name := labelName(field); !label.MatchString(name) {
			t.Errorf("%q becomes %q", field, name)
		}
	})
}

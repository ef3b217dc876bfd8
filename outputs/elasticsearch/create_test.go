package elasticsearch

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func gzipReader(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

// cluster answers requests with what the test says, one after the other, and then accepts.
type cluster struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []answer
	requests []string // method, path and body
}

type answer struct {
	status int // 0 breaks the connection
	body   string
}

func newCluster(t *testing.T, answers ...answer) *cluster {
	t.Helper()
	outputstest.NoLeak(t)
	c := &cluster{answers: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body = plainBody(r, body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests = append(c.requests, r.Method+" "+r.RequestURI+"\n"+string(body))
		if len(c.answers) == 0 {
			accept(w, r, body)
			return
		}
		a := c.answers[0]
		c.answers = c.answers[1:]
		if a.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.requests
	c.requests = nil
	return taken
}

// sender makes a sender for the cluster.
func (c *cluster) sender(t *testing.T, extra string) outputs.Sender {
	t.Helper()
	s, err := outputstest.New("elasticsearch", "{suffix: none, hostport: "+c.URL+extra+"}", outputstest.Env(t))
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

const inBulk = ", batching: {enabled: true}"

// batch returns n different events with the fields proc.name and proc.pid.
func batch(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = outputstest.Plain()
		all[i].UUID = fmt.Sprintf("id-%d", i)
		all[i].Fields = []event.Field{
			{Name: "proc.name", Value: event.StringValue("sh")}, {Name: "proc.pid", Value: event.NumberValue("12")},
		}
	}
	return all
}

// each returns the outcome of every event of a batch of n.
func each(err error, n int) []outputstest.Outcome {
	all := make([]outputstest.Outcome, n)
	parts, partly := errors.AsType[outputs.Partial](err)
	for i := range all {
		all[i] = outputstest.OutcomeOf(err)
		if partly {
			all[i] = outputstest.OutcomeOf(parts[i])
		}
	}
	return all
}

const (
	unparsable = "failed to parse field [output_fields.proc.pid] of type [ip] in document with id 'x'"
	yes        = outputstest.Delivered
	later      = outputstest.NotNow
	held       = outputstest.Held
	never      = outputstest.Rejected
)

func TestEachDocumentOfABulkRequestHasItsOwnOutcome(t *testing.T) {
	for _, tc := range []struct {
		name, item string
		want       outputstest.Outcome
	}{
		{"created", "", yes},
		{"there already", item(409, "version_conflict_engine_exception", "document already exists"), yes},
		{"another conflict", item(409, "resource_already_exists_exception", "index exists"), later},
		{"queue full", item(429, "es_rejected_execution_exception", "rejected execution"), later},
		{"shard away", item(503, "unavailable_shards_exception", "primary shard is not active"), later},
		{"no index", item(404, "index_not_found_exception", "no such index [falco]"), held},
		{"forbidden", item(403, "security_exception", "unauthorized"), held},
		{"disk full", item(403, "cluster_block_exception", "index [falco] blocked by: [FORBIDDEN/12/index read-only]"), held},
		{"closed index", item(400, "index_closed_exception", "closed"), held},
		{"too many shards", item(400, "validation_exception", "this action would add [2] shards"), held},
		{"no pipeline", item(400, "illegal_argument_exception", "pipeline with id [p] does not exist"), held},
		{"cannot be parsed", item(400, "mapper_parsing_exception", "failed to parse"), never},
		{"too many fields", item(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), never},
		{"an error in one word", `{"create":{"status":400,"error":"MapperParsingException[failed]"}}`, never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, answer{200, items([]string{"", tc.item, ""})})
			err := c.sender(t, inBulk).Send(t.Context(), batch(3))
			if got := each(err, 3); got[0] != yes || got[1] != tc.want || got[2] != yes {
				t.Errorf("got %q (%v), want %q for the second alone", got, err, tc.want)
			}
			if n := len(c.take()); n != 1 {
				t.Errorf("%d requests were made", n)
			}
		})
	}
}

func TestADocumentIsCreatedWithoutTheFieldThatCannotBeParsed(t *testing.T) {
	for _, kind := range []string{"document_parsing_exception", "mapper_parsing_exception"} {
		c := newCluster(t, answer{200, items([]string{"", item(400, kind, unparsable), ""})})
		if err := c.sender(t, inBulk).Send(t.Context(), batch(3)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		got := c.take()
		if len(got) != 2 {
			t.Fatalf("%s: %d requests were made, want 2", kind, len(got))
		}
		second := got[1]
		if !strings.Contains(second, `{"create":{"_index":"falco","_id":"id-1"}}`) || strings.Count(second, "\n") != 3 ||
			!strings.Contains(second, `"output_fields":{"proc.name":"sh"},`) || !strings.Contains(second, `"@timestamp"`) {
			t.Errorf("%s: got the second request %s", kind, second)
		}
	}
}

func TestADocumentLosesFieldsOnlyOnce(t *testing.T) {
	other := strings.ReplaceAll(unparsable, "proc.pid", "proc.name")
	for _, extra := range []string{inBulk, ""} {
		first, second := answer{200, items([]string{item(400, "mapper_parsing_exception", unparsable)})}, answer{200, items([]string{item(400, "mapper_parsing_exception", other)})}
		if extra == "" {
			first = answer{400, `{"error":{"type":"document_parsing_exception","reason":"` + unparsable + `"},"status":400}`}
			second = answer{400, `{"error":{"type":"document_parsing_exception","reason":"` + other + `"},"status":400}`}
		}
		c := newCluster(t, first, second)
		err := c.sender(t, extra).Send(t.Context(), batch(1))
		if outputstest.OutcomeOf(err) != never || !strings.Contains(err.Error(), "proc.name") {
			t.Errorf("got %v", err)
		}
		if n := len(c.take()); n != 2 {
			t.Errorf("%d requests were made, want 2", n)
		}
	}
}

func TestADocumentOfItsOwnRequestHasTheOutcomeOfTheAnswer(t *testing.T) {
	fault := func(status int, kind, reason string) answer {
		return answer{status, fmt.Sprintf(`{"error":{"root_cause":[],"type":%q,"reason":%q,"caused_by":{"type":"x","reason":"the cause"}},"status":%d}`, kind, reason, status)}
	}
	for _, tc := range []struct {
		name   string
		answer answer
		want   outputstest.Outcome
		text   string
	}{
		{"created", answer{201, `{"result":"created"}`}, yes, ""},
		{"no text", answer{200, ""}, yes, ""},
		{"there already", fault(409, "version_conflict_engine_exception", "document already exists"), yes, ""},
		{"there already, without a reason", answer{409, ""}, yes, ""},
		{"cannot be parsed", fault(400, "mapper_parsing_exception", "failed to parse"), never, "mapper_parsing_exception: failed to parse (the cause)"},
		{"no pipeline", fault(400, "illegal_argument_exception", "pipeline with id [p] does not exist"), held, "pipeline with id [p]"},
		{"too large", answer{413, ""}, never, "413"},
		{"unauthorized", fault(401, "security_exception", "missing authentication"), held, "missing authentication"},
		{"overload", fault(429, "circuit_breaking_exception", "data too large"), later, "data too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, tc.answer)
			err := c.sender(t, "").Send(t.Context(), batch(1))
			if got := outputstest.OutcomeOf(err); got != tc.want || !strings.Contains(fmt.Sprint(err), tc.text) {
				t.Errorf("got %q (%v), want %q and %q", got, err, tc.want, tc.text)
			}
			if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], "POST /falco/_doc/id-0?op_type=create\n{") {
				t.Errorf("got the requests %q", got)
			}
		})
	}
}

func TestWithoutBatchingABatchIsSentOneByOne(t *testing.T) {
	c := newCluster(t, answer{201, ""}, answer{400, `{"error":{"type":"mapper_parsing_exception","reason":"failed"}}`})
	err := c.sender(t, "").Send(t.Context(), batch(3))
	if got := each(err, 3); got[0] != yes || got[1] != never || got[2] != yes {
		t.Errorf("got %q (%v)", got, err)
	}
	if n := len(c.take()); n != 3 {
		t.Errorf("%d requests were made, want 3", n)
	}
}

func TestWithoutBatchingAClusterThatGoesAwayEndsTheBatch(t *testing.T) {
	trimmed := answer{400, `{"error":{"type":"mapper_parsing_exception","reason":"` + unparsable + `"}}`}
	c := newCluster(t, answer{201, ""}, trimmed, answer{0, ""})
	err := c.sender(t, "").Send(t.Context(), batch(4))
	if got := each(err, 4); got[0] != yes || got[1] != later || got[2] != later || got[3] != later {
		t.Errorf("got %q (%v)", got, err)
	}
	if n := len(c.take()); n != 3 {
		t.Errorf("%d requests were made, want 3", n)
	}
}

func TestAnEventWithoutAnIDIsCreatedUnderOneOfTheClusters(t *testing.T) {
	e := outputstest.Plain()
	e.UUID = ""
	for extra, want := range map[string]string{"": "POST /falco/_doc\n", inBulk: "POST /_bulk\n{\"create\":{\"_index\":\"falco\"}}\n"} {
		c := newCluster(t)
		if err := c.sender(t, extra).Send(t.Context(), []event.Event{e}); err != nil {
			t.Error(err)
		}
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestABulkRequestHasAtMostBatchsizeBytes(t *testing.T) {
	size := len(appendBulk(nil, "falco", newDocument(Config{}, 0, batch(1)[0])))
	for _, tc := range []struct{ limit, requests int }{{3 * size, 2}, {3*size - 1, 2}, {2*size - 1, 4}, {1, 4}, {4 * size, 1}} {
		c := newCluster(t)
		s := c.sender(t, fmt.Sprintf(", batching: {enabled: true, batchsize: %d}", tc.limit))
		if err := s.Send(t.Context(), batch(4)); err != nil {
			t.Error(err)
		}
		got := c.take()
		if len(got) != tc.requests || strings.Count(strings.Join(got, ""), `"_id"`) != 4 {
			t.Errorf("with %d bytes %d requests were made, want %d", tc.limit, len(got), tc.requests)
		}
		for _, r := range got {
			if body := len(r) - len("POST /_bulk\n"); body > max(tc.limit, size) {
				t.Errorf("a request has %d bytes, with a limit of %d", body, tc.limit)
			}
		}
	}
}

func TestARefusalOfAWholeRequestRejectsNoneOfItsDocumentsYet(t *testing.T) {
	size := len(appendBulk(nil, "falco", newDocument(Config{}, 0, batch(1)[0])))
	c := newCluster(t, answer{413, ""})
	s := c.sender(t, fmt.Sprintf(", batching: {enabled: true, batchsize: %d}", 2*size))
	err := s.Send(t.Context(), batch(4))
	if got := each(err, 4); got[0] != later || got[1] != later || got[2] != yes || got[3] != yes {
		t.Errorf("got %q (%v)", got, err)
	}
	// Alone in a batch they are rejected, so that deliver finds the bad one by halving.
	c = newCluster(t, answer{413, ""})
	if err := c.sender(t, inBulk).Send(t.Context(), batch(2)); !outputs.Rejected(err) {
		t.Errorf("got %v", err)
	}
}

func TestAFaultOfTheClusterIsNeverTheEvents(t *testing.T) {
	c := newCluster(t, answer{400, `{"error":{"type":"illegal_argument_exception","reason":"explicit index in bulk is not allowed"},"status":400}`})
	if err := c.sender(t, inBulk).Send(t.Context(), batch(2)); outputstest.OutcomeOf(err) != held {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerThatCannotBeReadLosesNothing(t *testing.T) {
	for _, body := range []string{
		"", "accepted", "{", "[]", `{"items":[]}`, items(make([]string, 1)), items(make([]string, 3)),
		`{"items":[{"create":{"status":201}},{}]}`, `{"items":[{"create":{"status":201}},{"index":{"status":201}}]}`,
		`{"items":[{"create":{"status":201}},{"create":{"status":"fine"}}]}`,
		items([]string{"", strings.Repeat(" ", maxAnswer)}),
	} {
		c := newCluster(t, answer{200, body})
		err := c.sender(t, inBulk).Send(t.Context(), batch(2))
		if got := each(err, 2); got[0] != later || got[1] != later {
			t.Errorf("%.40q: got %q (%v)", body, got, err)
		}
	}
}

func FuzzBulkAnswer(f *testing.F) {
	f.Add(items([]string{"", item(400, "mapper_parsing_exception", unparsable)}))
	f.Add(`{"items":[{"create":{"status":400,"error":{"type":1,"caused_by":{"caused_by":null}}}},null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		results, err := readBulk([]byte(text), 2)
		if err != nil {
			return
		}
		failed := outputs.Partial{}
		var again []document
		for i, e := range batch(2) {
			again = newDocument(Config{}, i, e).settle(results[i], again, failed)
			if results[i].created() && failed[i] != nil {
				t.Errorf("document %d was created and has failed: %v", i, failed[i])
			}
		}
	})
}

func BenchmarkBulkBody(b *testing.B) {
	s := &sender{Config: Config{Batching: Batching{Enabled: true, BatchSize: 5 << 20}}}
	docs := make([]document, maxBatch)
	for i := range docs {
		docs[i] = newDocument(s.Config, i, outputstest.Plain())
	}
	body, _ := s.bulkBody("falco", docs)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s.bulkBody("falco", docs)
	}
}

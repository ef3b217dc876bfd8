package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const batching = "hostport: URL/, batching: {enabled: true}"

// today is in the names of indices.
var today = regexp.MustCompile(`falco-[0-9]{4}(\.[0-9]{2}){0,2}`)

func Test(t *testing.T) {
	const apikey, header = "apikey: s3cretApiKey", "customheaders: {X-Token: s3cretHeader}"
	outputstest.HTTP{
		Kind:   "elasticsearch",
		Config: "{" + batching + ", " + apikey + ", " + header + "}",
		Secret: "s3cretApiKey s3cretHeader",
		Variants: map[string]string{
			"basic":      "{" + batching + ", " + apikey + ", username: elastic, password: s3cret, suffix: monthly, pipeline: 'a b', flattenfields: true}",
			"compressed": "{" + batching + ", enablecompression: true, suffix: annually}",
			"small":      "{hostport: URL, batching: {enabled: true, batchsize: 1000}, suffix: none, index: alerts}",
			"override":   "{" + batching + ", " + apikey + ", customheaders: {Authorization: Bearer x, content-type: application/x-ndjson, User-Agent: mine, Host: es.example}}",
			"single":     "{hostport: URL/prefix/, pipeline: 'a b', flattenfields: true}",
			"gzip":       "{hostport: URL, suffix: none, enablecompression: true}",
			"datastream": "{" + batching + ", datastream: true, index: logs-falco-default, createindextemplate: true}",
			"template":   "{" + batching + ", createindextemplate: true}",
		},
		Wrong: map[string]string{
			"{}":                                            "hostport",
			"{hostport: localhost:9200}":                    "hostport: must be a URL",
			"{hostport: 'http://u:pw@h'}":                   "set username and password",
			"{hostport: 'http://h/?a=b'}":                   "without a query",
			"{hostport: URL, index: Falco}":                 "index",
			"{hostport: URL, index: -falco}":                "index",
			"{hostport: URL, index: 'a b'}":                 "index",
			"{hostport: URL, index: a/b}":                   "index",
			"{hostport: URL, type: a/b}":                    "type",
			"{hostport: URL, suffix: hourly}":               "must be one of daily, monthly, annually, none",
			"{hostport: URL, username: u}":                  "password: is required with username",
			"{hostport: URL, password: pw}":                 "username: is required with password",
			"{hostport: URL, customheaders: {'a b': c}}":    "customheaders",
			"{hostport: URL, batching: {batchsize: 0}}":     "batching.batchsize",
			"{hostport: URL, batching: {batchsize: large}}": "batching.batchsize",
		},
		Answer: accept,
		Clean:  func(text string) string { return today.ReplaceAllString(text, "falco-DATE") },
	}.Run(t)
}

// accept answers as a cluster that takes everything, be it Elasticsearch or OpenSearch:
// the header by which the former makes itself known is not there.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	documents := bytes.Count(plainBody(r, body), []byte(`{"create":{`))
	switch {
	case documents > 0:
		fmt.Fprint(w, items(make([]string, documents)))
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"result":"created"}`)
	}
}

// items is the answer to a bulk request; "" stands for a document that was created.
func items(each []string) string {
	for i, text := range each {
		if text == "" {
			each[i] = `{"create":{"_index":"falco","_id":"1","result":"created","status":201}}`
		}
	}
	return `{"took":3,"errors":false,"items":[` + strings.Join(each, ",") + `]}`
}

// item is one of them that failed.
func item(status int, kind, reason string) string {
	e, _ := json.Marshal(map[string]string{"type": kind, "reason": reason})
	return fmt.Sprintf(`{"create":{"_index":"falco","_id":"1","status":%d,"error":%s}}`, status, e)
}

func TestTheIndexFollowsTheLocalClock(t *testing.T) {
	now := time.Date(2026, 11, 3, 23, 30, 0, 0, time.FixedZone("", 3600))
	for suffix, want := range map[string]string{
		"daily": "falco-2026.11.03", "monthly": "falco-2026.11", "annually": "falco-2026", "none": "falco", "": "falco-2026.11.03",
	} {
		if got := indexAt(Config{Index: "falco", Suffix: suffix}, now); got != want {
			t.Errorf("suffix %q: got %s, want %s", suffix, got, want)
		}
	}
}

func TestFieldsWithTheSameFlatNameBecomeOne(t *testing.T) {
	e := event.Event{Fields: event.SortFields([]event.Field{
		{Name: "a.b", Value: event.StringValue("dot")}, {Name: "a_b", Value: event.StringValue("line")}, {Name: "a.c"},
	})}
	d := newDocument(Config{FlattenFields: true}, 0, e)
	if got := string(event.AppendJSONFields(nil, d.event.Fields)); got != `{"a_b":"line","a_c":null}` {
		t.Errorf("got %s", got)
	}
	if e.Fields[0].Name != "a.b" {
		t.Errorf("the event was changed: %v", e.Fields)
	}
}

func TestAFieldIsRemovedWithThoseBelowAndAboveIt(t *testing.T) {
	d := document{event: event.Event{Fields: []event.Field{{Name: "a"}, {Name: "a.b"}, {Name: "a.b.c"}, {Name: "ab"}, {Name: "x"}}}}
	for name, want := range map[string]string{
		"a": `{"ab":null,"x":null}`, "a.b": `{"ab":null,"x":null}`, "x": `{"a":null,"a.b":null,"a.b.c":null,"ab":null}`,
		"x.y": `{"a":null,"a.b":null,"a.b.c":null,"ab":null}`, "nothing": "",
	} {
		trimmed, ok := d.without(name)
		if got := string(event.AppendJSONFields(nil, trimmed.event.Fields)); ok && got != want || ok == (want == "") {
			t.Errorf("without %s: got %s (%v), want %s", name, got, ok, want)
		}
	}
}

func TestAConfigurationWithoutBatchingTakesOneEventAtATime(t *testing.T) {
	for text, want := range map[string]int{"{hostport: http://h}": 1, "{hostport: http://h, batching: {enabled: true}}": 500} {
		s, err := outputstest.New("elasticsearch", text, outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.(interface{ MaxBatch() int }).MaxBatch(); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

func TestCredentialsInAnAddressAreNotRepeated(t *testing.T) {
	_, err := outputstest.New("elasticsearch", "{hostport: 'http://elastic:s3cret@h'}", outputstest.Env(t))
	if err == nil {
		t.Fatal("was accepted")
	}
	outputstest.NoSecret(t, "s3cret", err.Error())
}

func TestTheTypeIsTheLastPartOfTheDocumentsPath(t *testing.T) {
	for name, good := range map[string]bool{"_doc": true, "event": true, "": false, "a/b": false} {
		c := Config{HostPort: "http://h", Index: "falco", Type: name, Batching: Batching{BatchSize: 1}}
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("type %q: %v", name, err)
		}
	}
	c := newCluster(t)
	s, err := New(Config{HostPort: c.URL, Index: "falco", Suffix: "none", Type: "event"}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), batch(1)); err != nil {
		t.Error(err)
	}
	if got := first(c.take()); got != "POST /falco/event/id-0?op_type=create" {
		t.Errorf("got %s", got)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

// plainBody is a body without its compression.
func plainBody(r *http.Request, body []byte) []byte {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return body
	}
	z, err := gzipReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return text
}

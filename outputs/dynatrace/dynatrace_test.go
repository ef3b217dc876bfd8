package dynatrace

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "dynatrace",
		Config: "{apitoken: dt0c01.s3cretToken, apiurl: URL/api/}",
		Secret: "s3cretToken",
		Variants: map[string]string{
			"gzip": "{apitoken: t, apiurl: URL/e/abc/api, enablecompression: true}",
		},
		Wrong: map[string]string{
			"{}":                                  "apitoken",
			"{apitoken: s3cretToken}":             "apiurl",
			"{apiurl: URL}":                       "apitoken",
			"{apitoken: t, apiurl: h/api}":        "apiurl: must be a URL",
			"{apitoken: t, apiurl: 'URL/?a=b'}":   "without a query",
			"{apitoken: t, apiurl: 'http://u@h'}": "without user and password",
		},
		Hollow: map[string]outputstest.Outcome{"<html>sign in</html>": outputstest.Held},
		Answer: accept,
	}.Run(t)
}

// accept answers as Dynatrace does when it takes everything.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	var records []map[string]any
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Api-Token "):
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("Content-Encoding") == "" && (json.Unmarshal(body, &records) != nil || len(records) == 0):
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func open(t *testing.T, handle http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	sender, err := outputstest.New("dynatrace", "{apitoken: t, apiurl: "+s.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.(io.Closer).Close() })
	return sender
}

func TestRecordsThatWereLeftOutAreFound(t *testing.T) {
	for body, want := range map[string]outputstest.Outcome{
		"":                      outputstest.Delivered,
		"accepted by a gateway": outputstest.Delivered,
		`{"details":{"code":200,"message":"1 log event was not ingested because of the size limit"}}`: outputstest.Rejected,
	} {
		sender := open(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain(), outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%q is %q (%v), want %q", body, got, err, want)
		}
	}
}

func TestABatchIsSplitByItsSize(t *testing.T) {
	var counts []int
	sender := open(t, func(w http.ResponseWriter, r *http.Request) {
		var records []any
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &records); err != nil {
			t.Error(err)
		}
		counts = append(counts, len(records))
		w.WriteHeader(http.StatusNoContent)
	})
	batch := make([]event.Event, 7)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat("x", 1_000_000)
	}
	if err := sender.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(counts) != "[4 3]" {
		t.Errorf("the requests have %v records, want 4 and 3", counts)
	}
}

func TestFieldsAndTagsBecomeAttributes(t *testing.T) {
	e := outputstest.Plain()
	e.Tags = []string{"T1070", "mitre_execution", "T1055.008", "mitre_impact", "k8s"}
	e.Fields = event.SortFields([]event.Field{
		{Name: "container.id", Value: event.StringValue("abc")},
		{Name: "container.name", Value: event.NumberValue("7")},
		{Name: "container.image", Value: event.StringValue("nginx")},
		{Name: "ka.target.namespace", Value: event.StringValue("ns2")},
		{Name: "k8s.ns.name", Value: event.StringValue("ns1")},
		{Name: "k8s.pod.name"},
		{Name: "k8s.pod.id", Value: event.StringValue("uid")},
		{Name: "proc.name", Value: event.StringValue("sh")},
		{Name: "span.id", Value: event.NumberValue("12")},
	})
	got := newRecord(e)
	got.Content = content{}
	want := record{
		Timestamp: "2019-05-17T15:31:56Z", EventID: e.UUID, EventName: e.Rule, EventProvider: "Falco", Severity: "Error",
		HostName: "node-1", LogSource: "syscall", MitreTechnique: "T1055.008", MitreTactic: "mitre_impact",
		ContainerID: "abc", ImageName: "nginx", NamespaceName: "ns2", PodUID: "uid", ExecutableName: "sh", SpanID: "12",
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func FuzzLeftOut(f *testing.F) {
	f.Add([]byte(`{"details":{"code":200,"message":"x"}}`))
	f.Add([]byte(`{"details":7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if leftOut(body) != "" && !json.Valid(body) {
			t.Errorf("%q was read as an answer", body)
		}
	})
}

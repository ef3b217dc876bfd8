package spyderbat

import (
	"compress/gzip"
	"encoding/json"
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

// changing is what differs from run to run.
var changing = regexp.MustCompile(`"monotonic_time":\d+,"orc_time":[\d.]+`)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "spyderbat",
		Config: "{orguid: org1, apikey: s3cretKey, apiurl: URL/}",
		Secret: "s3cretKey",
		Wrong: map[string]string{
			"{}":                             "orguid",
			"{orguid: a/b}":                  "orguid: must be the UID",
			"{orguid: o, apiurl: h}":         "apiurl: must be a URL",
			"{orguid: o, apiurl: 'URL?a=b'}": "without a query",
			"{orguid: o, apiurl: 'http://u:s3cretKey@h'}":                      "set apikey",
			"{orguid: o, source: " + strings.Repeat("x", 33) + "}":             "source: must have at most 32",
			"{orguid: o, sourcedescription: " + strings.Repeat("x", 257) + "}": "sourcedescription",
		},
		// What the first request, which looks for the source, is refused for is no event's fault.
		Statuses: map[int]outputstest.Outcome{400: outputstest.Held, 413: outputstest.Held, 422: outputstest.Held},
		Answer:   func(w http.ResponseWriter, r *http.Request, body []byte) { accept(w, r, body, "falcosidekick_org1") },
		Clean: func(text string) string {
			return changing.ReplaceAllString(text, `"monotonic_time":N,"orc_time":NOW`)
		},
		NoRedirects: true, // a redirect to the same host is followed for each of two different requests
	}.Run(t)
}

// accept answers as Spyderbat does: it has the given source, and refuses what it would.
func accept(w http.ResponseWriter, r *http.Request, body []byte, source string) {
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		fmt.Fprintf(w, `[{"uid":"other","name":"x"},{"uid":%q}]`, source)
	case strings.HasSuffix(r.URL.Path, "/data/sb-agent"):
		if _, err := gzip.NewReader(strings.NewReader(string(body))); err != nil || r.Header.Get("Content-Type") != "application/ndjson" {
			w.WriteHeader(http.StatusBadRequest)
		}
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// api answers requests by their method and path, and keeps both with the body.
func api(t *testing.T, answer func(method, path string) (status int, body string)) (outputs.Sender, *[]string) {
	t.Helper()
	outputstest.NoLeak(t)
	requests := &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path := strings.TrimPrefix(r.URL.Path, "/api/v1/org/org1/source/")
		if r.Header.Get("Content-Encoding") != "" {
			body = nil
		}
		*requests = append(*requests, strings.TrimSpace(r.Method+" "+path+" "+string(body)))
		status, text := answer(r.Method, path)
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("spyderbat", "{orguid: org1, apikey: s3cretKey, source: mine, sourcedescription: alerts, apiurl: "+s.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.(io.Closer).Close() })
	return sender, requests
}

const registering = `POST  {"name":"mine","description":"alerts","uid":"falcosidekick_org1"}`

func TestTheSourceIsRegisteredOnce(t *testing.T) {
	sender, requests := api(t, func(method, _ string) (int, string) { return 200, "[]" })
	for range 2 {
		if err := sender.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"GET", registering, "POST falcosidekick_org1/data/sb-agent", "POST falcosidekick_org1/data/sb-agent"}
	if diff := cmp.Diff(want, *requests); diff != "" {
		t.Errorf("requests (- want, + got):\n%s", diff)
	}
}

func TestASourceThatSomebodyElseRegistersMeanwhileIsTaken(t *testing.T) {
	list := "[]"
	sender, _ := api(t, func(method, path string) (int, string) {
		if method == http.MethodPost && path == "" {
			list = `[{"uid":"falcosidekick_org1"}]`
			return 400, "exists"
		}
		return 200, list
	})
	if err := sender.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Error(err)
	}
}

func TestASourceThatCannotBeRegisteredIsNoEventsFault(t *testing.T) {
	for status, want := range map[int]outputstest.Outcome{400: outputstest.Held, 403: outputstest.Held, 500: outputstest.NotNow} {
		sender, _ := api(t, func(method, path string) (int, string) {
			if method == http.MethodPost {
				return status, "s3cretKey"
			}
			return 200, "[]"
		})
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%d is %q (%v), want %q", status, got, err, want)
		}
		outputstest.NoSecret(t, "s3cretKey", fmt.Sprint(err))
	}
}

func TestAListThatCannotBeReadLosesNothing(t *testing.T) {
	for _, list := range []string{"", "{}", `[{"uid":7}]`, "<html>"} {
		sender, _ := api(t, func(string, string) (int, string) { return 200, list })
		if err := sender.Send(t.Context(), []event.Event{outputstest.Plain()}); outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("%q: got %v", list, err)
		}
	}
}

func TestARemovedSourceIsRegisteredAgain(t *testing.T) {
	removed := false
	sender, requests := api(t, func(method, path string) (int, string) {
		if path != "" && removed {
			removed = false
			return 404, ""
		}
		return 200, "[]"
	})
	batch := []event.Event{outputstest.Plain()}
	if err := sender.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	removed = true
	if err := sender.Send(t.Context(), batch); outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("got %v", err)
	}
	*requests = nil
	if err := sender.Send(t.Context(), batch); err != nil || len(*requests) != 3 {
		t.Errorf("got %v and the requests %q", err, *requests)
	}
}

func TestStatusesOfEventsAreTheEvents(t *testing.T) {
	for status, want := range map[int]outputstest.Outcome{
		200: outputstest.Delivered, 400: outputstest.Rejected, 401: outputstest.Held, 413: outputstest.Rejected, 503: outputstest.NotNow,
	} {
		sender, _ := api(t, func(_, path string) (int, string) {
			if path != "" {
				return status, ""
			}
			return 200, "[]"
		})
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%d is %q (%v), want %q", status, got, err, want)
		}
	}
}

func TestAnAlertHasWhatTheEventHas(t *testing.T) {
	now := time.Unix(1700000000, 500000000)
	e := outputstest.Plain()
	got, err := json.Marshal(newAlert(e, now))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":"falco_alert::1.0.0","id":"` + e.UUID + `","monotonic_time":500000000,"orc_time":1700000000.5,"time":1507591916,"pid":1234,"level":"high","msg":["File","\u003cx\u003e","opened","(user=root)"],"args":"touch /bin/hack","container":""}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	e.Fields, e.Output = nil, "short"
	if a := newAlert(e, now); a.Time != 1558107116 || a.PID != 0 || a.Message != nil {
		t.Errorf("without fields: %+v", a)
	}
	e.Fields = event.SortFields([]event.Field{
		{Name: "evt.time", Value: event.NumberValue("1e99")},
		{Name: "proc.pid", Value: event.StringValue("x")},
		{Name: "proc.cmdline", Value: event.NumberValue("1")},
		{Name: "container.id"},
	})
	if a := newAlert(e, now); a.Time != 1558107116 || a.PID != 0 || a.Arguments != "" {
		t.Errorf("with fields of other types: %+v", a)
	}
}

func FuzzSources(f *testing.F) {
	f.Add([]byte(`[{"uid":"falcosidekick_org1"},null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if there, err := has(body, "falcosidekick_org1"); there && (err != nil || !json.Valid(body)) {
			t.Errorf("%q holds the source", body)
		}
	})
}

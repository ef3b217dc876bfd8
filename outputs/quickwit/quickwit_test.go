package quickwit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
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
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "quickwit",
		Config: "{hostport: URL, customheaders: {Authorization: Bearer s3cretToken}}",
		Secret: "s3cretToken",
		Variants: map[string]string{
			"create": "{hostport: URL/, autocreateindex: true, index: my-index, version: '0.8'}",
			"gzip":   "{hostport: URL/prefix, apiendpoint: /api/v2/, enablecompression: true}",
		},
		Wrong: map[string]string{
			"{}":                          "hostport",
			"{hostport: quickwit}":        "hostport: must be a URL",
			"{hostport: 'http://u:pw@h'}": "set customheaders",
			"{hostport: URL, index: ''}":  "index",
			"{hostport: URL, customheaders: {'a b': c}}": "customheaders",
		},
		Answer: accept,
	}.Run(t)
}

// accept answers as Quickwit does that has no index at first, with its checks of a request.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/describe"):
		http.Error(w, `{"message":"index `+"`falco`"+` not found"}`, http.StatusNotFound)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/indexes"):
		var c indexConfig
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil || c.DocMapping.TimestampField != "time" {
			http.Error(w, `{"message":"invalid index config"}`, http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"version":"0.8","index_uid":"x"}`)
	default:
		n, err := documents(r, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"num_docs_for_processing":%d}`, n)
	}
}

// documents counts the documents of a request.
func documents(r *http.Request, body []byte) (n int, err error) {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		if body, err = io.ReadAll(z); err != nil {
			return 0, err
		}
	}
	for line := range bytes.Lines(body) {
		if !json.Valid(line) {
			return 0, errors.New("a line is no JSON")
		}
		n++
	}
	return n, nil
}

func open(t *testing.T, extra string, answer http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	s, err := outputstest.New("quickwit", "{hostport: "+server.URL+extra+"}", outputstest.Env(t))
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

func batch(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = outputstest.Plain()
		all[i].UUID = fmt.Sprintf("id-%d", i)
	}
	return all
}

func TestWhatQuickwitSaysInItsAnswerCounts(t *testing.T) {
	events := batch(3)
	second, err := json.Marshal(string(events[1].AppendJSON(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		answer string
		n      int
		want   string
	}{
		{`{"num_docs_for_processing":3}`, 3, "delivered"},
		{`{"num_docs_for_processing":3,"num_ingested_docs":3,"num_rejected_docs":0}`, 3, "delivered"},
		{`{"num_docs_for_processing":1,"num_ingested_docs":0,"num_rejected_docs":1}`, 1, "rejected"},
		{`{"num_docs_for_processing":3,"num_ingested_docs":2,"num_rejected_docs":1}`, 3, "rejected"},
		{`{"num_rejected_docs":1,"parse_failures":[{"message":"no number","document":` + string(second) + `,"reason":"invalid_schema"}]}`, 3, "1 rejected"},
		{`{"num_rejected_docs":2,"parse_failures":[{"message":"no number","document":` + string(second) + `}]}`, 3, "rejected"},
		{`<html>sign in</html>`, 3, "not now"},
		{`{"num_rejected_docs":1,"parse_failures":[{"message":"` + strings.Repeat("x", httpx.MaxAnswer), 3, "rejected"},
		{`{"num_rejected_docs":1,"parse_failures":[{"message":"` + strings.Repeat("x", httpx.MaxAnswer), 1, "not now"},
	} {
		err := open(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tc.answer) }).Send(t.Context(), events[:tc.n])
		got := string(outputstest.OutcomeOf(err))
		if parts, partly := errors.AsType[outputs.Partial](err); partly {
			got = fmt.Sprint(len(parts), " ", outputstest.OutcomeOf(parts[1]))
		}
		if got != tc.want {
			t.Errorf("%.100s: got %s (%v), want %s", tc.answer, got, err, tc.want)
		}
	}
}

func TestTheIndexIsMadeOnceUnlessItIsThere(t *testing.T) {
	const look, create, ingest = "GET /api/v1/indexes/falco/describe", "POST /api/v1/indexes", "POST /api/v1/falco/ingest"
	for _, tc := range []struct {
		name     string
		statuses []int // of the first answers; then all is well
		said     string
		want     []string // of two Sends
		outcome  outputstest.Outcome
	}{
		{"there", []int{200}, "{}", []string{look + " " + ingest, ingest}, outputstest.Delivered},
		{"missing", []int{404, 200}, "{}", []string{look + " " + create + " " + ingest, ingest}, outputstest.Delivered},
		{"made by another", []int{404, 400}, `{"message":"index already exists"}`, []string{look + " " + create + " " + ingest, ingest}, outputstest.Delivered},
		{"away", []int{503}, "", []string{look, look + " " + ingest}, outputstest.NotNow},
		{"wrong version", []int{404, 400}, "unknown version", []string{look + " " + create, look + " " + ingest}, outputstest.Held},
		{"wrong path", []int{404, 404}, "route not found", []string{look + " " + create, look + " " + ingest}, outputstest.Held},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var requests []string
			statuses := tc.statuses
			s := open(t, ", autocreateindex: true", func(w http.ResponseWriter, r *http.Request) {
				requests = append(requests, r.Method+" "+r.RequestURI)
				if len(statuses) == 0 {
					fmt.Fprint(w, "{}")
					return
				}
				w.WriteHeader(statuses[0])
				statuses = statuses[1:]
				_, _ = io.WriteString(w, tc.said)
			})
			for i, want := range tc.want {
				err := s.Send(t.Context(), batch(1))
				if got := strings.Join(requests, " "); got != want {
					t.Errorf("send %d: got %s, want %s", i, got, want)
				}
				if i == 0 && outputstest.OutcomeOf(err) != tc.outcome || i == 1 && err != nil {
					t.Errorf("send %d: %v", i, err)
				}
				requests = nil
			}
		})
	}
}

func TestTheIndexIsMadeOnceByConcurrentSends(t *testing.T) {
	var mu sync.Mutex
	creations := 0
	s := open(t, ", autocreateindex: true", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/indexes") {
			creations++
		}
		accept(w, r, body)
	})
	var sends sync.WaitGroup
	for range 8 {
		sends.Go(func() {
			if err := s.Send(t.Context(), batch(1)); err != nil {
				t.Error(err)
			}
		})
	}
	sends.Wait()
	if creations != 1 {
		t.Errorf("the index was made %d times", creations)
	}
}

func TestWhoWaitsForTheIndexIsNotHeldUp(t *testing.T) {
	x := newIndex()
	x.lock <- struct{}{} // somebody is at it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.ensure(ctx, nil); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"num_rejected_docs":1,"parse_failures":[{"document":"{}"}]}`), []byte("{}\n{}\n"))
	f.Add([]byte(`{"num_rejected_docs":-1}`), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, answer, body []byte) {
		n := bytes.Count(body, []byte("\n")) + 1
		err := readAnswer(answer, body, n)
		parts, _ := errors.AsType[outputs.Partial](err)
		for i := range parts {
			if i < 0 || i >= n {
				t.Errorf("place %d of %d", i, n)
			}
		}
	})
}

package zincsearch

import (
	"bytes"
	"encoding/json"
	"errors"
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
		Kind:   "zincsearch",
		Config: "{hostport: URL, username: admin, password: s3cretPassword}",
		Secret: "s3cretPassword",
		Variants: map[string]string{
			"open": "{hostport: URL/zinc/, index: my index}",
		},
		Wrong: map[string]string{
			"{}":                           "hostport",
			"{hostport: zincsearch}":       "hostport: must be a URL",
			"{hostport: 'http://u:pw@h'}":  "set username and password",
			"{hostport: URL, username: u}": "password: is required with username",
			"{hostport: URL, password: p}": "username: is required with password",
			"{hostport: URL, index: ''}":   "index",
		},
		Answer: accept,
	}.Run(t)
}

// accept answers as ZincSearch does.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	if !strings.HasSuffix(r.URL.Path, "/api/_bulk") {
		if !json.Valid(body) {
			http.Error(w, `{"error":"invalid character"}`, http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"message":"ok","id":"1a2B","_id":"1a2B","_index":"falco"}`)
		return
	}
	n, err := bulk(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"error":%q}`, err)
		return
	}
	fmt.Fprintf(w, `{"message":"bulk data inserted","record_count":%d}`, n)
}

// bulk counts the documents of a bulk request, which come after an action each.
func bulk(body []byte) (n int, err error) {
	action := true
	for line := range bytes.Lines(body) {
		var doc map[string]any
		if err := json.Unmarshal(line, &doc); err != nil {
			return n, err
		}
		if target, ok := doc["index"].(map[string]any); action && (!ok || target["_index"] == "") {
			return n, errors.New("bulk index data format error")
		}
		if !action {
			n++
		}
		action = !action
	}
	return n, nil
}

func open(t *testing.T, answer http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	s, err := outputstest.New("zincsearch", "{hostport: "+server.URL+"}", outputstest.Env(t))
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
	}
	return all
}

func TestWhatZincSearchSaysInItsAnswerCounts(t *testing.T) {
	const wrongType = `{"error":"field [output_fields.n] was set type to [numeric] but the value [x] can't convert to int"}`
	for _, tc := range []struct {
		n, status int
		answer    string
		want      outputstest.Outcome
	}{
		{2, 200, `{"message":"bulk data inserted","record_count":2}`, outputstest.Delivered},
		{2, 200, `{"message":"bulk data inserted","record_count":1}`, outputstest.Rejected},
		{2, 200, `{"message":"ok"}`, outputstest.NotNow},
		{2, 200, `{"error":"disk full"}`, outputstest.NotNow},
		{2, 200, `sign in`, outputstest.NotNow},
		{2, 500, wrongType, outputstest.Rejected},
		{1, 500, wrongType, outputstest.Rejected},
		{2, 500, `{"error":"bufio.Scanner: token too long"}`, outputstest.Rejected},
		{1, 500, `{"error":"no space left on device"}`, outputstest.NotNow},
		{1, 200, `{"message":"ok","id":"1"}`, outputstest.Delivered},
	} {
		err := open(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.answer)
		}).Send(t.Context(), batch(tc.n))
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d: %d %s: got %s (%v), want %s", tc.n, tc.status, tc.answer, got, err, tc.want)
		}
	}
}

func TestALargeBatchIsSeveralRequests(t *testing.T) {
	total, requests := 0, 0
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > maxBody {
			t.Errorf("a request of %d bytes (%v)", len(body), err)
		}
		n, err := bulk(body)
		if err != nil {
			t.Error(err)
		}
		total += n
		requests++
		accept(w, r, body)
	})
	events := batch(10)
	for i := range events {
		events[i].Output = strings.Repeat("x", 1<<20-4096)
	}
	if err := s.Send(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if total != 10 || requests != 3 {
		t.Errorf("%d documents arrived in %d requests, want 10 in 3", total, requests)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"record_count":1}`), 1)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		if err := readBulk(text, max(1, n)); err == nil && !json.Valid(text) {
			t.Errorf("%q counts as success", text)
		}
	})
}

package openobserve

import (
	"bytes"
	"compress/gzip"
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
		Kind:   "openobserve",
		Config: "{hostport: URL, username: falco, password: s3cretPassword, customheaders: {X-Token: s3cretHeader}}",
		Secret: "s3cretPassword s3cretHeader",
		Variants: map[string]string{
			"gzip":   "{hostport: URL/prefix/, organizationname: my org, streamname: a/b, enablecompression: true}",
			"header": "{hostport: URL, username: falco, password: s3cret, customheaders: {Authorization: Bearer x}}",
		},
		Wrong: map[string]string{
			"{}":                                         "hostport",
			"{hostport: openobserve}":                    "hostport: must be a URL",
			"{hostport: 'http://u:pw@h'}":                "set username and password",
			"{hostport: URL, username: u}":               "password: is required with username",
			"{hostport: URL, password: p}":               "username: is required with password",
			"{hostport: URL, organizationname: ''}":      "organizationname",
			"{hostport: URL, streamname: ''}":            "streamname",
			"{hostport: URL, customheaders: {'a b': c}}": "customheaders",
		},
		Answer: accept,
	}.Run(t)
}

// accept answers as OpenObserve does.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if body, err = io.ReadAll(z); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	good, bad := 0, 0
	for line := range bytes.Lines(body) {
		if json.Valid(line) {
			good++
		} else {
			bad++
		}
	}
	fmt.Fprintf(w, `{"code":200,"status":[{"name":"falco","successful":%d,"failed":%d}]}`, good, bad)
}

func open(t *testing.T, answer http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	s, err := outputstest.New("openobserve", "{hostport: "+server.URL+"}", outputstest.Env(t))
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

func TestWhatOpenObserveSaysInItsAnswerCounts(t *testing.T) {
	for _, tc := range []struct {
		status int
		answer string
		want   outputstest.Outcome
	}{
		{200, `{"code":200,"status":[{"name":"falco","successful":2,"failed":0,"error":""}]}`, outputstest.Delivered},
		{200, `{"code":200,"status":[{"name":"falco","successful":1,"failed":1,"error":"Too old data, only last 5 hours data can be ingested."}]}`, outputstest.Rejected},
		{200, `{"code":503,"message":"memtable overflow"}`, outputstest.NotNow},
		{200, `{"code":400,"message":"stream [falco] is being deleted"}`, outputstest.NotNow},
		{400, `{"code":400,"message":"stream [falco] is being deleted"}`, outputstest.NotNow},
		{400, `{"code":400,"message":"json: expected value"}`, outputstest.Rejected},
		{200, `<html>sign in</html>`, outputstest.NotNow},
		{200, ``, outputstest.NotNow},
	} {
		err := open(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.answer)
		}).Send(t.Context(), []event.Event{outputstest.Plain(), outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d %s: got %s (%v), want %s", tc.status, tc.answer, got, err, tc.want)
		}
	}
}

func TestALargeBatchIsSeveralRequests(t *testing.T) {
	var lines []int
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > maxBody {
			t.Errorf("a request of %d bytes (%v)", len(body), err)
		}
		lines = append(lines, bytes.Count(body, []byte("\n")))
		accept(w, r, body)
	})
	batch := make([]event.Event, 10)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat("x", 1<<20-4096)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(lines); got != "[4 4 2]" {
		t.Errorf("the requests had %s records", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"code":200,"status":[{"failed":1,"error":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := readAnswer(text, 1); err == nil && !json.Valid(text) {
			t.Errorf("%q counts as success", text)
		}
	})
}

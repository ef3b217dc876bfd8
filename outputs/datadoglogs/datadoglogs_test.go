package datadoglogs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// accept answers as Datadog does, and refuses what it would refuse.
func accept(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/api/v2/logs" && r.URL.Path != "/elsewhere" || r.Header.Get("DD-API-KEY") == "" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":[{"status":"403","title":"Forbidden"}]}`)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "{}")
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "datadoglogs",
		Config: "{apikey: s3cretKey, host: URL/}",
		Secret: "s3cretKey",
		Answer: accept,
		Variants: map[string]string{
			"service": "{apikey: k, host: URL, service: svc, sendstatus: true, enablecompression: false}",
		},
		Wrong: map[string]string{
			"{}":                            "apikey",
			"{apikey: s3cretKey, host: x}":  "host: must be a URL",
			"{apikey: k, host: 'URL?a=b'}":  "host",
			"{apikey: k, host: 'ftp://h/'}": "http:// or https://",
		},
	}.Run(t)
}

func TestALargeBatchIsSeveralRequestsThatDatadogTakes(t *testing.T) {
	outputstest.NoLeak(t)
	logs, requests := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > 5_000_000 {
			t.Errorf("a request of %d bytes (%v)", len(body), err)
		}
		var got []struct{ Message json.RawMessage }
		if err := json.Unmarshal(body, &got); err != nil {
			t.Errorf("the request is no array of logs: %v", err)
		}
		for _, l := range got {
			if len(l.Message) > 1_000_000 {
				t.Errorf("a log of %d bytes", len(l.Message))
			}
		}
		requests, logs = requests+1, logs+len(got)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("datadoglogs", "{enablecompression: false, apikey: k, host: "+server.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]event.Event, 30)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat(`"`, 600_000)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if logs != 30 || requests < 2 {
		t.Errorf("%d logs arrived in %d requests", logs, requests)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

func TestAStatusIsTheNameOfAPriority(t *testing.T) {
	for p := event.Debug; p <= event.Emergency; p++ {
		text := payload(nil, Config{SendStatus: true}, event.Event{Priority: p, Rule: "r"})
		want := strings.ToLower(p.String())
		if p == event.Informational {
			want = "info"
		}
		if !bytes.Contains(text, []byte(`"status":"`+want+`"`)) {
			t.Errorf("%v: %s", p, text)
		}
	}
}

package victorialogs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// accept refuses what VictoriaLogs would refuse.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	if !strings.HasSuffix(r.URL.Path, "/insert/jsonline") && r.URL.Path != "/elsewhere" {
		http.Error(w, "unsupported path requested", http.StatusBadRequest)
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		return // the golden files have what is in it
	}
	for line := range bytes.Lines(body) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil || entry[r.URL.Query().Get("_time_field")] == nil {
			http.Error(w, "cannot parse json-encoded line", http.StatusBadRequest)
		}
	}
}

func Test(t *testing.T) {
	const host = "hostport: URL"
	outputstest.HTTP{
		Kind:   "victorialogs",
		Config: "{" + host + ", username: saker, password: s3cretPassword}",
		Secret: "s3cretPassword",
		Answer: accept,
		Variants: map[string]string{
			"tenant": "{" + host + "/prefix/, accountid: 12, projectid: 3, bearertoken: abc, streamfields: [rule], customheaders: {X-Team: sec}, enablecompression: false}",
		},
		Wrong: map[string]string{
			"{}": "hostport",
			"{hostport: 'http://a:s3cretPassword@h'}":                               "username and password",
			"{" + host + ", username: a}":                                           "password: is required",
			"{" + host + ", maxlinesize: 1KiB}":                                     "maxlinesize",
			"{" + host + ", accountid: -1}":                                         "accountid",
			"{" + host + ", username: a, password: b, bearertoken: s3cretPassword}": "bearertoken",
		},
	}.Run(t)
}

// The real server gives back what it was given.
func TestRealVictoriaLogsHasWhatWasSent(t *testing.T) {
	base := outputstest.VictoriaLogs(t)
	s, err := outputstest.New("victorialogs", "{hostport: "+base+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	e, large := outputstest.Plain(), outputstest.Plain()
	large.UUID, large.Output = "large", strings.Repeat("word ", 100_000)
	batch := []event.Event{large}
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var entries map[string]map[string]string
	outputstest.Eventually(t, "all events can be found", func() bool {
		entries = outputstest.Stored(t, base, "uuid")
		return len(entries) == len(batch)
	})
	for name, want := range map[string]string{
		"_msg": e.Output, "rule": e.Rule, "output_fields.proc.cmdline": "touch /bin/hack", "output_fields.evt.time": "1507591916746609046",
		"_time": "2019-05-17T15:31:56.746609046Z", "_stream": `{hostname="node-1",source="syscall"}`,
	} {
		if got := entries[e.UUID][name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if n := len(entries["large"]["_msg"]); n < 100_000 {
		t.Errorf("the large event's output has %d bytes", n)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

func TestALineIsShorterThanTheServersLimit(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("\"é", 300_000)
	for _, limit := range []int{minLine, 256 << 10} {
		line := payload(nil, Config{MaxLineSize: config.Bytes(limit)}, e)
		if n := len(line) - 1; n >= limit || n < limit/2 || !json.Valid(line) {
			t.Errorf("the line has %d bytes, want fewer than %d", n, limit)
		}
	}
}

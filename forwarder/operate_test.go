package forwarder

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/outputs"
)

// call sends a request with a JSON body to the API and returns the answer's status and
// text.
func (r *reloadable) call(c *http.Client, method, path, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.Page.String()+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	if err := resp.Write(&text); err != nil {
		r.t.Fatal(err)
	}
	_, content, _ := strings.Cut(text.String(), "\r\n\r\n")
	return resp.StatusCode, content
}

// eventually calls ready until it is true.
func eventually(t testing.TB, what string, ready func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

func TestSilencesStopNotificationAndNotHistory(t *testing.T) {
	told, asked, spared := newCounter(t), newCounter(t), newCounter(t)
	text := fmt.Sprintf(`outputs:
  told: {type: webhook, address: %q}
  spared: {type: webhook, silences: off, address: %q}
  errors: {type: webhook, match: priority >= ERROR, address: %q}
`, told.URL, spared.URL, asked.URL)
	r := startText(t, text)
	c := client(t, nil)
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	silence := `{"matchers": [{"name": "rule", "op": "=", "value": "rule 1"}], "endsAt": "` + until + `", "author": "ann", "comment": "a test"}`
	if status, answer := r.call(c, http.MethodPost, "/silences", silence); status != http.StatusOK && status != http.StatusCreated {
		t.Fatalf("%d %s", status, answer)
	}
	r.post(c, 1)
	r.post(c, 2)
	awaitAll(t, 2, spared)
	awaitAll(t, 1, told)
	eventually(t, "the output's figures show what was held back", func() bool {
		_, answer := r.call(c, http.MethodGet, "/outputs", "")
		return stateFor(t, answer, "told").Silenced == 1 && stateFor(t, answer, "errors").Filtered == 2
	})
	if told.rules["rule 2"] != 1 || len(asked.rules) > 0 {
		t.Errorf("the outputs got %v and %v", told.rules, asked.rules)
	}

	want := map[string]string{"told": "silenced", "spared": "deliver", "errors": "no_match"}
	check := func() {
		t.Helper()
		_, answer := r.call(c, http.MethodPost, "/route/explain", alert(1))
		var got api.Explanations
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		for _, o := range got.Outputs {
			if o.Verdict != want[o.Output] {
				t.Errorf("%s: %s, %s", o.Output, o.Verdict, o.Reason)
			}
		}
	}
	check()
	// A reload makes the routes anew and keeps the silences.
	r.reload(strings.ReplaceAll(text, "silences: off, ", "")+"customtags: [a]\n", lineInForce)
	want["spared"] = "silenced"
	check()
}

// stateFor returns the state of the output called name from the answer of GET /outputs.
func stateFor(t testing.TB, answer, name string) api.Output {
	t.Helper()
	var list api.OutputList
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	for _, o := range list.Outputs {
		if o.Name == name {
			return o
		}
	}
	t.Fatalf("there is no output %q: %s", name, answer)
	return api.Output{}
}

func TestSilencesHoldNothingBackFromOutputsThatKeepARecord(t *testing.T) {
	for _, k := range outputs.Kinds() {
		in := Instance{Kind: k, Routing: Routing{Silences: "auto"}}
		if in.silenced() == k.Archive {
			t.Errorf("%s: silences count is %t", k.Name, in.silenced())
		}
	}
	in := mustLoad(t, "stdout: {enabled: true, silences: on}").Outputs[0]
	if !in.silenced() {
		t.Error("silences: on has no effect on an archive")
	}
}

func TestAMatchThatCannotBeRightIsRefusedWithItsPlace(t *testing.T) {
	_, err := load(t, "webhook: {address: http://x.test}\noutputs:\n  b: {type: webhook, address: http://x.test, match: hostnam == \"a\"}\n")
	if err == nil || !strings.HasPrefix(err.Error(), "saker.yaml:3: outputs.b.match: ") || !strings.Contains(err.Error(), "hostname") {
		t.Errorf("got %v", err)
	}
}

func TestADeadLetterIsSentAgain(t *testing.T) {
	target := newReceiver(t)
	target.answer(http.StatusBadRequest)
	r := startText(t, fmt.Sprintf("webhook: {address: %q}\n", target.URL))
	c := client(t, nil)
	r.post(c, 1)
	eventually(t, "the event is a dead letter", func() bool {
		_, answer := r.call(c, http.MethodGet, "/deadletters", "")
		return strings.Contains(answer, `"rule 1"`)
	})
	target.answer(http.StatusOK)
	if status, answer := r.call(c, http.MethodPost, "/deadletters/replay", `{"all": true}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	if got := target.wait(t, 1); got[0].Rule != "rule 1" {
		t.Errorf("it got %+v", got)
	}
	if status, answer := r.call(c, http.MethodPost, "/events/replay", `{"since": "1h", "output": "webhook"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	if got := target.wait(t, 2); got[1].UUID != got[0].UUID {
		t.Errorf("the replay sent %+v", got[1])
	}
}

func TestADestinationThatRefusesEverythingIsHeld(t *testing.T) {
	target := newReceiver(t)
	target.answer(http.StatusUnauthorized)
	r := startText(t, fmt.Sprintf("webhook: {address: %q}\n", target.URL))
	c := client(t, nil)
	r.post(c, 1)
	eventually(t, "the output is held", func() bool {
		_, answer := r.call(c, http.MethodGet, "/outputs", "")
		return stateFor(t, answer, "webhook").State == api.StateHeld
	})
	status, answer := r.call(c, http.MethodPost, "/outputs/webhook/test", "{}")
	if status != http.StatusOK || !strings.Contains(answer, `"accepted":false`) || !strings.Contains(answer, "401") {
		t.Errorf("the test says %d %s", status, answer)
	}
	// Somebody mends the destination, and a reload tries it at once.
	target.answer(http.StatusOK)
	r.reload(fmt.Sprintf("webhook: {address: %q, timeout: 9s}\n", target.URL), lineInForce)
	target.wait(t, 1)
}

func TestWhatAnOutputLosesToTheLimitsIsToldToTheOthers(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(release) })
	told := newReceiver(t)
	r := startText(t, fmt.Sprintf("shutdowntimeout: 3s\njournal: {maxbytes: 16MiB}\noutputs:\n"+
		"  hangs: {type: webhook, timeout: 1m, address: %q}\n"+
		"  told: {type: webhook, match: source == \"internal\", address: %q}\n", hanging.URL, told.URL))
	c := client(t, nil)
	large := strings.Replace(alert(1), "Warning event", "Warning "+strings.Repeat("x", 20_000), 1)
	batch := strings.Repeat(large, 100)
	for range 25 { // 50 MB
		if status, text := send(t, c, http.MethodPost, "http://"+r.Ingest.String()+"/", batch); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
	}
	e := told.wait(t, 1)[0]
	output, _ := e.Field("saker.output")
	count, _ := e.Field("saker.count")
	if n, err := strconv.Atoi(count.Text()); e.Rule != ruleLost || output.Text() != "hangs" || err != nil || n < 1 || n > 2500 {
		t.Errorf("it is told %+v", e)
	}
}

func TestTracesReachTheirCollectorBeforeTheEnd(t *testing.T) {
	var mu sync.Mutex
	got := ""
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(in)
			if err != nil {
				t.Error(err)
				return
			}
			in = unzipped
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got += string(body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	target := newReceiver(t)
	r := startText(t, fmt.Sprintf("tracing: {endpoint: %q}\nwebhook: {address: %q}\n", collector.URL, target.URL))
	r.post(client(t, nil), 1)
	target.wait(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, span := range []string{"ingest", "append", "deliver webhook"} {
		if !strings.Contains(got, span) {
			t.Errorf("the collector has no span %q", span)
		}
	}
}

// The cluster may come up later than the forwarder.
func TestAForwarderWhoseJournalIsOutOfReachStartsAndSaysSo(t *testing.T) {
	r := startText(t, "journal: {url: 'nats://127.0.0.1:1'}\nshutdowntimeout: 5s\noutputs:\n"+
		"  a: {type: stdout, enabled: true}\n  b: {type: stdout, enabled: true}\n")
	c := client(t, nil)
	if status, _ := send(t, c, http.MethodGet, "http://"+r.Ingest.String()+"/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	if status, text := send(t, c, http.MethodGet, "http://"+r.Ingest.String()+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(text, "journal: ") {
		t.Errorf("readyz: %d %s", status, text)
	}
	if status, _ := send(t, c, http.MethodPost, "http://"+r.Ingest.String()+"/", alert(1)); status != http.StatusServiceUnavailable {
		t.Errorf("an event: %d", status)
	}
	if got := r.reload("journal: {url: 'nats://127.0.0.1:1'}\noutputs: {b: {type: stdout, enabled: true}}\n", lineInForce); !strings.Contains(got, "outputs_removed=[a]") {
		t.Error(got)
	}
}

func TestOutputsComeAndGoWhileOthersWork(t *testing.T) {
	stays := newCounter(t)
	var all []*counter
	for range 4 {
		all = append(all, newCounter(t))
	}
	text := func(n int) string {
		lines := fmt.Sprintf("outputs:\n  stays: {type: webhook, maxconcurrentrequests: 1, address: %q}\n", stays.URL)
		for i, c := range all {
			if n>>i&1 == 1 {
				lines += fmt.Sprintf("  comes-%d: {type: webhook, address: %q}\n", i, c.URL)
			}
		}
		return lines
	}
	r := startText(t, text(15))
	ctx, stop := context.WithCancel(t.Context())
	sent := 0
	var sender sync.WaitGroup
	sender.Go(func() {
		for c := client(t, nil); ctx.Err() == nil; sent++ {
			r.post(c, sent)
		}
	})
	for n := range 16 {
		r.reload(text(n), lineInForce)
	}
	stop()
	sender.Wait()
	awaitAll(t, sent, stays)
	for i, c := range all {
		awaitAll(t, sent, c)
		if _, again := c.seen(); again > 0 {
			t.Errorf("output %d got %d of %d events twice", i, again, sent)
		}
	}
}

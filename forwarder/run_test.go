package forwarder

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

var quiet = slog.New(slog.DiscardHandler)

// running is a forwarder that runs in a test.
type running struct {
	Addresses
	stop func() error
}

// start runs a forwarder with the given configuration on free ports of the loopback
// address, its data in dir.
func start(t testing.TB, dir, text string) running {
	t.Helper()
	l := mustLoad(t, text, "LISTENADDRESS=127.0.0.1", "LISTENPORT=0", "UI_LISTENPORT=0", "TLSSERVER_NOTLSPORT=0", "SAKER_DATA_DIR="+dir)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, l, Options{Log: quiet, Version: "v0", Ready: func(a Addresses) { ready <- a }})
	}()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	select {
	case a := <-ready:
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
		return running{a, stop}
	case err := <-done:
		cancel()
		t.Fatal(err)
		return running{}
	}
}

// receiver is a webhook that remembers what it got.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	pause  time.Duration // before each answer
	got    []event.Event
	came   chan struct{} // one for each request, as long as there is room
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{status: 200, came: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		status, pause := r.status, r.pause
		if e, err := event.Decode(body); err == nil && status == 200 {
			r.got = append(r.got, e)
		}
		r.mu.Unlock()
		time.Sleep(pause)
		w.WriteHeader(status)
		select {
		case r.came <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// slow makes every answer take d.
func (r *receiver) slow(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = d
}

// wait returns the events once there are n.
func (r *receiver) wait(t testing.TB, n int) []event.Event {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		count := len(r.got)
		if count >= n {
			defer r.mu.Unlock()
			return append([]event.Event(nil), r.got...)
		}
		r.mu.Unlock()
		select {
		case <-r.came:
		case <-deadline:
			t.Fatalf("%d of %d events came", count, n)
		}
	}
}

// client is one without connections that outlive a test.
func client(t testing.TB, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func send(t testing.TB, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func alert(n int) string {
	return fmt.Sprintf(`{"output":"12:00:00.000000001: Warning event %d","priority":"Warning","rule":"rule %d",`+
		`"time":"2026-01-02T03:04:05.000000001Z","output_fields":{"n":%d},"source":"syscall","hostname":"node-1"}`, n, n, n)
}

func TestAnEventReachesEveryOutputAndThePage(t *testing.T) {
	first, second := newReceiver(t), newReceiver(t)
	f := start(t, t.TempDir(), fmt.Sprintf("customfields: {cluster: prod}\nwebhook: {address: %q, maxconcurrentrequests: 1}\n"+
		"outputs: {second: {type: webhook, address: %q, minimumpriority: error}}", first.URL, second.URL))
	c := client(t, nil)
	if status, text := send(t, c, "POST", "http://"+f.Ingest.String()+"/", alert(1)); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if status, _ := send(t, c, "POST", "http://"+f.Ingest.String()+"/test", ""); status != 200 {
		t.Fatal(status)
	}
	got := first.wait(t, 2)
	if v, _ := got[0].Field("cluster"); v.Text() != "prod" || got[0].Rule != "rule 1" || got[1].Rule != "Test rule" {
		t.Errorf("the first output got %+v", got)
	}
	if got := second.wait(t, 1); len(got) != 1 || got[0].Rule != "Test rule" {
		t.Errorf("the second output, which takes errors and tests, got %+v", got)
	}

	_, text := send(t, c, "GET", "http://"+f.Page.String()+"/api/v2/events", "")
	var page struct {
		Events []struct {
			Sequence uint64
			Event    event.Event
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Events) != 2 || page.Events[1].Event.UUID != got[0].UUID {
		t.Errorf("the page has %s", text)
	}
	if _, text = send(t, c, "GET", "http://"+f.Page.String()+"/", ""); !strings.Contains(text, "<title>") {
		t.Errorf("the page is %s", text)
	}
	if _, text = send(t, c, "GET", "http://"+f.Page.String()+"/api/v2/outputs", ""); !strings.Contains(text, `"name":"second","kind":"webhook","state":"ok"`) {
		t.Errorf("the outputs are %s", text)
	}
	_, text = send(t, c, "GET", "http://"+f.Ingest.String()+"/metrics", "")
	for _, line := range []string{
		`falcosecurity_falcosidekick_inputs_total{source="requests",status="accepted"} 2`,
		`cluster="prod",hostname="node-1",k8s_ns_name="",k8s_pod_name="",priority="4",priority_raw="warning",rule="rule 1",source="syscall"} 1`,
		`falcosecurity_falcosidekick_outputs_total{destination="second",status="ok"} 1`,
		`saker_output_delivered_events_total{output="webhook"}`,
		`saker_journal_ready 1`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	if status, text := send(t, c, "GET", "http://"+f.Ingest.String()+"/readyz", ""); status != 200 {
		t.Errorf("readiness: %d %s", status, text)
	}
}

func TestWhatWasNotDeliveredIsDeliveredAfterARestart(t *testing.T) {
	r := newReceiver(t)
	r.answer(503)
	dir := t.TempDir()
	text := fmt.Sprintf("webhook: {address: %q, maxconcurrentrequests: 1, retry: {initial: 1ms, max: 10ms}}", r.URL)
	f := start(t, dir, text)
	var batch strings.Builder
	for n := range 50 {
		batch.WriteString(alert(n) + "\n")
	}
	if status, text := send(t, client(t, nil), "POST", "http://"+f.Ingest.String()+"/", batch.String()); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	<-r.came
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	r.answer(200)
	start(t, dir, text)
	for n, e := range r.wait(t, 50) {
		if want := fmt.Sprintf("rule %d", n); e.Rule != want {
			t.Errorf("event %d is of %q", n, e.Rule)
		}
	}
}

func TestAStopDoesNotWaitForAStreamOfThePage(t *testing.T) {
	f := start(t, t.TempDir(), "shutdowntimeout: 60s")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.Page.String()+"/api/v2/events/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestCredentialsGuardIngestAndPage(t *testing.T) {
	f := start(t, t.TempDir(), "auth: {token: t0ken}")
	c := client(t, nil)
	for _, url := range []string{"http://" + f.Ingest.String() + "/metrics", "http://" + f.Page.String() + "/"} {
		if status, _ := send(t, c, "GET", url, ""); status != 401 {
			t.Errorf("%s: %d", url, status)
		}
	}
	if status, _ := send(t, c, "POST", "http://"+f.Ingest.String()+"/", alert(1)); status != 401 {
		t.Errorf("POST: %d", status)
	}
	if status, _ := send(t, c, "GET", "http://"+f.Ingest.String()+"/healthz", ""); status != 200 {
		t.Errorf("healthz: %d", status)
	}
}

func TestTLSServesTheEventsAndPlainHTTPTheMovedPaths(t *testing.T) {
	// httptest has a certificate for 127.0.0.1 to borrow.
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	dir := t.TempDir()
	writePair(t, dir, pair.TLS.Certificates[0])
	f := start(t, t.TempDir(), fmt.Sprintf("tlsserver: {deploy: true, certfile: %q, keyfile: %q, notlspaths: [/healthz, /metrics]}\nui: {tls: true}",
		filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")))
	secure := client(t, pair.Client().Transport.(*http.Transport).TLSClientConfig)
	if !f.IngestTLS || f.Plain == nil {
		t.Fatalf("listening on %+v", f.Addresses)
	}
	for _, tc := range []struct {
		name   string
		client *http.Client
		method string
		url    string
		status int
	}{
		{"event over TLS", secure, "POST", "https://" + f.Ingest.String() + "/", 200},
		{"event without TLS", client(t, nil), "POST", "http://" + f.Ingest.String() + "/", 400},
		{"ping over TLS", secure, "GET", "https://" + f.Ingest.String() + "/ping", 200},
		{"moved path over TLS", secure, "GET", "https://" + f.Ingest.String() + "/healthz", 400},
		{"moved path", client(t, nil), "GET", "http://" + f.Plain.String() + "/healthz", 200},
		{"other moved path", client(t, nil), "GET", "http://" + f.Plain.String() + "/metrics", 200},
		{"event on the plain server", client(t, nil), "POST", "http://" + f.Plain.String() + "/", 404},
		{"page over TLS", secure, "GET", "https://" + f.Page.String() + "/", 200},
	} {
		if status, text := send(t, tc.client, tc.method, tc.url, alert(1)); status != tc.status {
			t.Errorf("%s: %d %s", tc.name, status, text)
		}
	}
}

func TestRunRefusesWhatCannotWork(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, text, dir, want string }{
		{"port in use", fmt.Sprintf("listenport: %d", port), t.TempDir(), "open the ingest listener"},
		{"the page's port in use", fmt.Sprintf("listenport: 0\nui: {listenport: %d}", port), t.TempDir(), "open the page listener"},
		{"no certificate", "tlsserver: {deploy: true, certfile: /no/such}", t.TempDir(), "read TLS files: stat /no/such"},
		{"no folder for data", "", filepath.Join(file, "data"), "open journal"},
		{"an output's files", "tlsclient: {cacertfile: /no/such}\nwebhook: {address: http://127.0.0.1:1}", t.TempDir(), `set up output "webhook"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := mustLoad(t, tc.text, "LISTENADDRESS=127.0.0.1", "SAKER_DATA_DIR="+tc.dir)
			err := Run(t.Context(), l, Options{Log: quiet, Ready: func(Addresses) { t.Error("it started") }})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %s", err, tc.want)
			}
		})
	}
}

func TestTwoForwardersCannotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, "")
	l := mustLoad(t, "", "LISTENADDRESS=127.0.0.1", "LISTENPORT=0", "UI_LISTENPORT=0", "SAKER_DATA_DIR="+dir)
	if err := Run(t.Context(), l, Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
}

func TestSendTestSaysWhatTheDestinationAnswered(t *testing.T) {
	r := newReceiver(t)
	l := mustLoad(t, fmt.Sprintf("webhook: {address: %q}", r.URL))
	o := Options{Log: quiet, Version: "v0"}
	result, err := SendTest(t.Context(), l, "webhook", o)
	if err != nil || result.Err != nil || result.Kind != "webhook" {
		t.Errorf("got %+v, %v", result, err)
	}
	if got := r.wait(t, 1)[0]; got.Rule != "Test rule" || got.Source != "internal" || got.UUID != result.Event.UUID {
		t.Errorf("the destination got %+v", got)
	}
	for status, permanent := range map[int]bool{503: false, 400: true, 401: false} {
		r.answer(status)
		result, err := SendTest(t.Context(), l, "webhook", o)
		if err != nil || result.Err == nil || result.Permanent != permanent {
			t.Errorf("%d: %+v, %v", status, result, err)
		}
	}
	if _, err := SendTest(t.Context(), l, "slack", o); err == nil || err.Error() != `output "slack" is not configured; those that are: webhook` {
		t.Errorf("got %v", err)
	}
}

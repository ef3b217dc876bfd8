package report

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// testConfig is the default configuration with nothing enabled but HTTP to url.
func testConfig(t testing.TB, url string) Config {
	t.Helper()
	var c Config
	if _, err := config.Load(config.Source{}, config.Section{Into: []any{&c}}); err != nil {
		t.Fatal(err)
	}
	c.Stdout.Enabled, c.Syslog.Enabled = false, false
	c.HTTP.Enabled, c.HTTP.URL = url != "", url
	c.Spool.Dir = ""
	return c
}

// alertNumber makes the alert with the given number, which its rule shows.
func alertNumber(n int) event.Event {
	return event.Event{
		UUID:     fmt.Sprintf("00000000-0000-4000-8000-%012d", n),
		Output:   "12:00:00.000000000: Warning something happened",
		Priority: event.Warning,
		Rule:     fmt.Sprintf("rule %d", n),
		Time:     time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC),
		Fields:   []event.Field{{Name: "proc.name", Value: event.StringValue("sh")}},
		Source:   "syscall", Hostname: "node",
	}
}

// A running reporter.
type running struct {
	*Reporter
	t    *testing.T
	logs chan string
	stop func() error
}

// start runs a reporter with short pauses until the end of the test or stop. The alerts
// are those reported before it runs.
func start(t *testing.T, c Config, opts Options, alerts ...event.Event) *running {
	t.Helper()
	logs := make(chan string, 1000)
	opts.Log = slog.New(slog.NewTextHandler(lineWriter(logs), nil))
	r, err := New(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.http != nil {
		r.http.minPause = time.Millisecond
	}
	for _, e := range alerts {
		r.Report(e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return &running{r, t, logs, stop}
}

// lineWriter sends what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// awaitLog waits for a log line that contains text.
func (r *running) awaitLog(text string) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line := <-r.logs:
			if strings.Contains(line, text) {
				return
			}
		case <-timeout:
			r.t.Fatalf("no log line says %q", text)
		}
	}
}

func (r *running) report(from, to int) {
	for _, e := range alertNumbers(from, to) {
		r.Report(e)
	}
}

func alertNumbers(from, to int) []event.Event {
	var all []event.Event
	for n := from; n < to; n++ {
		all = append(all, alertNumber(n))
	}
	return all
}

// A receiver is an HTTP server that takes alerts.
type receiver struct {
	*httptest.Server
	t *testing.T
	// rules are those of the alerts accepted, in order.
	rules chan string
	// requests are all, as they came.
	requests chan *http.Request
	events   chan event.Event
}

// hang is the status of an answer that doesn't come.
const hang = 0

// newReceiver answers with the status that answer returns for the nth request, from 0 on,
// and its events.
func newReceiver(t *testing.T, answer func(n int, events []event.Event) int) *receiver {
	t.Helper()
	return newReceiverAt(t, "127.0.0.1:0", answer)
}

func newReceiverAt(t *testing.T, address string, answer func(n int, events []event.Event) int) *receiver {
	t.Helper()
	r := &receiver{
		t: t, rules: make(chan string, 100000), requests: make(chan *http.Request, 100000), events: make(chan event.Event, 100000),
	}
	var mu sync.Mutex
	n := 0
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(req.Body)
		events, err := event.DecodeAll(body, 0)
		if err != nil {
			t.Errorf("the body %q is bad: %v", body, err)
		}
		status := http.StatusOK
		if answer != nil {
			status = answer(n, events)
		}
		n++
		r.requests <- req
		if status == hang {
			mu.Unlock()
			<-req.Context().Done()
			mu.Lock()
			return
		}
		if status == http.StatusOK {
			for _, e := range events {
				r.rules <- e.Rule
				r.events <- e
			}
		}
		w.WriteHeader(status)
	}))
	_ = r.Listener.Close()
	r.Listener = listener
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// expect waits for the alerts from the first number up to the second, in order.
func (r *receiver) expect(from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		r.expectRule(fmt.Sprintf("rule %d", n))
	}
}

func (r *receiver) expectRule(want string) {
	r.t.Helper()
	select {
	case got := <-r.rules:
		if got != want {
			r.t.Fatalf("got the alert %q, want %q", got, want)
		}
	case <-time.After(patience):
		r.t.Fatalf("the alert %q does not come", want)
	}
}

func (r *receiver) expectNothingMore() {
	r.t.Helper()
	select {
	case got := <-r.rules:
		r.t.Fatalf("the alert %q comes as well", got)
	default:
	}
}

func TestAReceiverThatFailsForATimeGetsEverythingInOrder(t *testing.T) {
	for _, batch := range []int{1, 10} {
		t.Run(fmt.Sprintf("batch %d", batch), func(t *testing.T) {
			srv := newReceiver(t, func(n int, _ []event.Event) int {
				switch {
				case n%7 == 3:
					return http.StatusServiceUnavailable
				case n%11 == 5:
					return http.StatusUnauthorized
				}
				return http.StatusOK
			})
			c := testConfig(t, srv.URL)
			c.Spool.Dir = t.TempDir()
			c.HTTP.Batch = batch
			r := start(t, c, Options{})
			r.report(0, 300)
			srv.expect(0, 300)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			srv.expectNothingMore()
			s := r.Stats()
			if s.Sent[SinkHTTP] != 300 || len(s.Dropped) > 0 || s.Retried == 0 || s.Spooled == 0 || s.SpoolAlerts != 0 || s.Queued != 0 {
				t.Errorf("stats are %+v", s)
			}
		})
	}
}

func TestAlertsWaitForAReceiverThatIsDown(t *testing.T) {
	for _, where := range []string{"on disk", "in memory"} {
		t.Run(where, func(t *testing.T) {
			srv := newReceiver(t, nil)
			address := srv.Listener.Addr().String()
			c := testConfig(t, srv.URL)
			if where == "on disk" {
				c.Spool.Dir = t.TempDir()
			}
			srv.Close()
			r := start(t, c, Options{})
			r.report(0, 200)
			r.awaitLog("alerts can't be posted")
			if s := r.Stats(); s.HTTPError == "" || s.Sent[SinkHTTP] != 0 {
				t.Errorf("stats are %+v", s)
			}
			again := newReceiverAt(t, address, nil)
			again.expect(0, 200)
			r.awaitLog("alerts are posted again")
			if s := r.Stats(); s.HTTPError != "" || len(s.Dropped) > 0 {
				t.Errorf("stats are %+v", s)
			}
		})
	}
}

func TestAReceiverThatHangsHoldsUpNothingElse(t *testing.T) {
	srv := newReceiver(t, func(n int, _ []event.Event) int {
		if n == 0 {
			return hang
		}
		return http.StatusOK
	})
	c := testConfig(t, srv.URL)
	c.Spool.Dir = t.TempDir()
	c.HTTP.Timeout = 50 * time.Millisecond
	c.Stdout.Enabled = true
	lines := make(chan string, 100)
	r := start(t, c, Options{Stdout: lineWriter(lines)})
	r.report(0, 20)
	for got := 0; got < 20; {
		select {
		case text := <-lines:
			got += strings.Count(text, "\n")
		case <-time.After(patience):
			t.Fatal("standard output waits for the receiver")
		}
	}
	srv.expect(0, 20)
	if s := r.Stats(); s.Retried == 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestAnAlertThatCanNeverBeAcceptedIsDroppedCountedAndTold(t *testing.T) {
	for _, batch := range []int{1, 16} {
		t.Run(fmt.Sprintf("batch %d", batch), func(t *testing.T) {
			srv := newReceiver(t, func(_ int, events []event.Event) int {
				for _, e := range events {
					if e.Rule == "rule 13" || e.Rule == "rule 14" {
						return http.StatusBadRequest
					}
				}
				return http.StatusOK
			})
			c := testConfig(t, srv.URL)
			c.HTTP.Batch = batch
			r := start(t, c, Options{Hostname: "node-7"}, alertNumbers(0, 30)...)
			srv.expect(0, 13)
			srv.expect(15, 30)
			srv.expectRule(ruleDropped)
			var told event.Event
			for range 29 {
				told = <-srv.events
			}
			if err := told.Validate(); err != nil {
				t.Error(err)
			}
			fields := string(event.AppendJSONFields(nil, told.Fields))
			if !strings.Contains(fields, `"dropped.rejected":2,"dropped.total":2,`) || told.Hostname != "node-7" ||
				told.Source != "internal" || told.Priority != event.Warning || told.UUID == "" {
				t.Errorf("the internal event is %s", told.AppendJSON(nil))
			}
			if n := r.Stats().Dropped[Drop{SinkHTTP, "rejected"}]; n != 2 {
				t.Errorf("%d are counted as rejected", n)
			}
		})
	}
}

func TestWhatIsNotDeliveredIsDeliveredAfterARestart(t *testing.T) {
	down := newReceiver(t, func(int, []event.Event) int { return http.StatusServiceUnavailable })
	c := testConfig(t, down.URL)
	c.Spool.Dir = t.TempDir()
	for run := range 3 {
		r := start(t, c, Options{})
		r.report(run*50, (run+1)*50)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Queued != 0 || s.SpoolAlerts != uint64(run+1)*50 {
			t.Errorf("run %d: stats are %+v", run, s)
		}
		r.report(1000, 1001)
		if n := r.Stats().Dropped[Drop{SinkHTTP, "shutdown"}]; n != 1 {
			t.Errorf("an alert after the end is not counted: %+v", r.Stats())
		}
	}
	up := newReceiver(t, nil)
	c.HTTP.URL = up.URL
	start(t, c, Options{})
	up.expect(0, 150)
}

func TestReportNeverWaits(t *testing.T) {
	r, err := New(testConfig(t, "http://127.0.0.1:1"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Run isn't called, so that nothing empties the lane.
	const many = laneCapacity + 10
	for n := range many {
		r.Report(alertNumber(n))
	}
	if s := r.Stats(); s.Queued != laneCapacity || s.Dropped[Drop{SinkHTTP, "queue_full"}] != 10 {
		t.Errorf("queued %d, dropped %v", s.Queued, s.Dropped)
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	srv := newReceiver(t, func(int, []event.Event) int { return http.StatusForbidden })
	c := testConfig(t, strings.Replace(srv.URL, "http://", "http://user:s3cret@", 1)+"/?key=s3cret")
	c.HTTP.Token = config.NewSecret("s3cret")
	c.HTTP.Password = config.NewSecret("s3cret")
	r := start(t, c, Options{Grace: time.Millisecond})
	r.report(0, 1)
	<-srv.requests
	srv.Close()
	var seen bytes.Buffer
	for s := r.Stats(); !strings.Contains(s.HTTPError, "refused"); s = r.Stats() {
		seen.WriteString(s.HTTPError)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	seen.WriteString(r.Stats().HTTPError)
	fmt.Fprintf(&seen, "%v %+v", c.HTTP.Token, c.HTTP.Password)
	for len(r.logs) > 0 {
		seen.WriteString(<-r.logs)
	}
	if strings.Contains(seen.String(), "s3cret") {
		t.Errorf("the secret shows in %s", seen.String())
	}
	for _, url := range []string{"ftp://u:s3cret@x", "http://u:s3cret@%zz", "s3cret"} {
		c.HTTP.URL = url
		if _, err := New(c, Options{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

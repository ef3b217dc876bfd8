package statsdx

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	"github.com/saker-security/saker/outputs/internal/statsdx/statsdtest"
)

// host is a forwarder with counters.
type host struct {
	*prometheus.Registry
	inputs, rejected, outputs *prometheus.CounterVec
	began                     prometheus.Gauge
}

func (host) Outputs() []string { return nil }

func newHost(began time.Time) host {
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
	}
	h := host{
		prometheus.NewRegistry(),
		counter("falcosecurity_falcosidekick_inputs_total", "source", "status"),
		counter("saker_ingest_rejected_total", "reason"),
		counter("falcosecurity_falcosidekick_outputs_total", "destination", "status"),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "process_start_time_seconds"}),
	}
	h.began.Set(float64(began.Unix()))
	h.MustRegister(h.inputs, h.rejected, h.outputs, h.began)
	return h
}

func open(t *testing.T, c Config, d Dialect, env outputs.Env) *Sender {
	t.Helper()
	s := New(c, d, env)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func send(t *testing.T, s *Sender, batch ...event.Event) {
	t.Helper()
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if w := strings.Join(lines, "\n") + "\n"; got != w {
		t.Errorf("got\n%swant\n%s", got, w)
	}
}

func TestTheForwardersCountersAreSentAsDifferences(t *testing.T) {
	outputstest.NoLeak(t)
	server := statsdtest.Serve(t, "udp", "127.0.0.1:0")
	c := Config{Forwarder: server.Address, Namespace: "saker"}
	h := newHost(time.Now())
	h.inputs.WithLabelValues("requests", "accepted").Add(5)
	h.inputs.WithLabelValues("requests", "rejected").Add(2)
	h.rejected.WithLabelValues("invalid").Inc()
	h.rejected.WithLabelValues("method").Inc()
	h.outputs.WithLabelValues("slack", "ok").Add(4)
	s := open(t, c, c.DogStatsD(), outputs.Env{Host: h})
	s.every = time.Hour // only Send asks
	send(t, s, outputstest.Plain())
	want(t, server.Take(t), "saker.falco.accepted:1|c|#priority:Error")
	want(t, server.Take(t),
		"saker.total:7|c",
		"saker.inputs.requests.rejected:1|c|#error:invalidjson",
		"saker.inputs.requests.rejected:1|c|#error:nobody",
		"saker.inputs.requests.accepted:5|c",
		"saker.outputs:4|c|#output:slack,status:ok")

	h.outputs.WithLabelValues("slack", "ok").Inc()
	h.outputs.WithLabelValues("slack", "error").Add(2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, server.Take(t), "saker.outputs:2|c|#output:slack,status:error", "saker.outputs:1|c|#output:slack,status:ok")
	if err := s.Send(t.Context(), nil); err == nil {
		t.Error("a closed output takes events")
	}
	if rest := server.TakeAll(); rest != "" {
		t.Errorf("there is more: %s", rest)
	}
}

func TestTheForwardersCountersAreSentWithoutEvents(t *testing.T) {
	outputstest.NoLeak(t)
	server := statsdtest.Serve(t, "udp", "127.0.0.1:0")
	c := Config{Forwarder: server.Address}
	h := newHost(time.Now())
	s := open(t, c, c.StatsD(), outputs.Env{Host: h})
	s.every = time.Millisecond
	send(t, s, outputstest.Plain())
	want(t, server.Take(t), "falco.accepted.Error:1|c")
	h.outputs.WithLabelValues("slack", "ok").Add(4)
	want(t, server.Take(t), "outputs.slack.ok:4|c")
}

func TestAnOutputMadeByAReloadDoesNotCountTheBeginningAgain(t *testing.T) {
	outputstest.NoLeak(t)
	server := statsdtest.Serve(t, "udp", "127.0.0.1:0")
	c := Config{Forwarder: server.Address}
	h := newHost(time.Now().Add(-time.Hour))
	h.outputs.WithLabelValues("slack", "ok").Add(1000)
	s := open(t, c, c.StatsD(), outputs.Env{Host: h})
	s.every = time.Hour
	send(t, s, outputstest.Plain())
	want(t, server.Take(t), "falco.accepted.Error:1|c")
	h.outputs.WithLabelValues("slack", "ok").Add(3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, server.Take(t), "outputs.slack.ok:3|c")
}

func TestEventsAreCountedByPriorityAndSummariesByWhatTheyStandFor(t *testing.T) {
	outputstest.NoLeak(t)
	path := filepath.Join(t.TempDir(), "dsd.socket")
	server := statsdtest.Serve(t, "unixgram", path)
	c := Config{Forwarder: "unix://" + path, Namespace: "a.", Tags: []string{"env:test", "x"}}
	s := open(t, c, c.DogStatsD(), outputs.Env{})
	var all []event.Event
	for _, f := range outputstest.Events() {
		if f.Name == "plain" || f.Name == "priority_error" || f.Name == "summary" || f.Name == "priority_debug" {
			all = append(all, f.Event)
		}
	}
	send(t, s, all...)
	want(t, server.Take(t),
		"a.falco.accepted:1|c|#env:test,x,priority:Debug",
		"a.falco.accepted:2|c|#env:test,x,priority:Error",
		"a.falco.accepted:12|c|#env:test,x,priority:Critical")
}

func TestADatagramIsNotTooLong(t *testing.T) {
	outputstest.NoLeak(t)
	server := statsdtest.Serve(t, "udp", "127.0.0.1:0")
	c := Config{Forwarder: server.Address}
	h := newHost(time.Now())
	const series = 500
	for i := range series {
		h.outputs.WithLabelValues(strings.Repeat("x", i%100), string(rune('A'+i))).Inc()
	}
	s := open(t, c, c.StatsD(), outputs.Env{Host: h})
	s.every = time.Hour
	send(t, s, outputstest.Plain())
	for n := 0; n < series+1; {
		d := server.Take(t)
		if len(d) > maxUDP {
			t.Errorf("a datagram has %d bytes", len(d))
		}
		n += strings.Count(d, "\n")
	}
}

func TestWhatCannotBeSentIsSentLater(t *testing.T) {
	outputstest.NoLeak(t)
	path := filepath.Join(t.TempDir(), "dsd.socket")
	c := Config{Forwarder: "unix://" + path}
	h := newHost(time.Now())
	h.outputs.WithLabelValues("slack", "ok").Add(4)
	var log buffer
	s := open(t, c, c.StatsD(), outputs.Env{Host: h, Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.every = time.Hour
	err := s.Send(t.Context(), []event.Event{outputstest.Plain()})
	if outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("without a server a Send is %q (%v)", outputstest.OutcomeOf(err), err)
	}
	for range 2 {
		s.flush(t.Context())
	}
	if n := strings.Count(log.String(), "later ones will include them"); n != 1 {
		t.Errorf("the log has %d warnings: %s", n, log.String())
	}
	server := statsdtest.Serve(t, "unixgram", path)
	s.flush(t.Context())
	want(t, server.Take(t), "outputs.slack.ok:4|c")
}

// buffer is a log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestASendThatWaitsForAnotherEndsWithItsContext(t *testing.T) {
	c := Config{Forwarder: "127.0.0.1:1"}
	s := New(c, c.StatsD(), outputs.Env{})
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Send(ctx, nil) }()
	cancel()
	if err := <-done; outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send: %v", err)
	}
}

func TestASocketIsOpenedAnewWhenItIsOld(t *testing.T) {
	outputstest.NoLeak(t)
	server := statsdtest.Serve(t, "udp", "127.0.0.1:0")
	c := Config{Forwarder: server.Address}
	s := open(t, c, c.StatsD(), outputs.Env{})
	send(t, s, outputstest.Plain())
	first := s.conn
	send(t, s, outputstest.Plain())
	if s.conn != first {
		t.Error("a young socket is not used again")
	}
	s.dialled = time.Now().Add(-redial)
	send(t, s, outputstest.Plain())
	if s.conn == first {
		t.Error("an old socket is used again")
	}
	if _, err := first.Write(nil); err == nil {
		t.Error("the old socket is open")
	}
}

func TestTextsFromOutsideCannotMakeLines(t *testing.T) {
	c := Config{Namespace: "n"}
	if got := string(c.StatsD().Append(nil, "outputs", 1, "o", "a b:c|d\ne/f", "s", "ok")); got != "n.outputs.ab_c_d_e_f.ok:1|c\n" {
		t.Errorf("StatsD: %q", got)
	}
	if got := string(c.DogStatsD().Append(nil, "outputs", 1, "o", "a b,c|d\ne")); got != "n.outputs:1|c|#o:a b_c_d_e\n" {
		t.Errorf("DogStatsD: %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("priority", "Error")
	f.Add("a\nb", ":|#@,")
	f.Fuzz(func(t *testing.T, destination, status string) {
		for _, d := range []Dialect{Config{}.StatsD(), Config{}.DogStatsD()} {
			got := string(d.Append(nil, "outputs", 7, "output", destination, "status", status))
			if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || strings.Count(got, "|c") != 1 {
				t.Errorf("%q is not one line", got)
			}
		}
	})
}

func TestAddressesAreChecked(t *testing.T) {
	for address, ok := range map[string]bool{
		"localhost:8125": true, "[::1]:8125": true, "unix:///run/dsd.socket": true,
		"unix://": false, "localhost": false, ":8125": false, "h:0": false, "h:65536": false, "h:x": false,
	} {
		if err := (Config{Forwarder: address}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

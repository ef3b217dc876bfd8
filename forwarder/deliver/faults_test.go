package deliver

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

// These tests run workers against a real endpoint with real faults, in real time.

// faulty is an endpoint on loopback that misbehaves for a while. It notes the idempotency
// keys of what it has accepted.
type faulty struct {
	t       *testing.T
	address string
	tls     *tls.Config

	mu       sync.Mutex
	fault    func(c net.Conn, r *bufio.Reader) // nil when there is none
	down     bool
	listener net.Listener
	conns    map[net.Conn]bool
	accepted map[string]int
	full     chan struct{} // closed once want keys are accepted
	want     int
	serving  sync.WaitGroup
}

func newFaulty(t *testing.T, want int, secure bool) *faulty {
	t.Helper()
	f := &faulty{t: t, address: "127.0.0.1:0", conns: map[net.Conn]bool{}, accepted: map[string]int{}, full: make(chan struct{}), want: want}
	if secure {
		s := httptest.NewTLSServer(nil)
		f.tls = s.TLS.Clone()
		s.Close()
	}
	f.up()
	t.Cleanup(f.close)
	return f
}

// up listens, always at the same address.
func (f *faulty) up() {
	l, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listener, f.address, f.down = l, l.Addr().String(), false
	f.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.serving.Go(func() { f.serve(c) })
		}
	})
}

// close stops listening and ends all connections.
func (f *faulty) close() {
	f.mu.Lock()
	f.listener.Close()
	f.down = true
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.serving.Wait()
}

func (f *faulty) begin(fault func(net.Conn, *bufio.Reader)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// end ends the fault, and the connections that suffer from it.
func (f *faulty) end() {
	f.mu.Lock()
	f.fault = nil
	for c := range f.conns {
		c.Close()
	}
	down := f.down
	f.mu.Unlock()
	if down {
		f.up()
	}
}

func (f *faulty) serve(c net.Conn) {
	defer c.Close()
	f.mu.Lock()
	fault := f.fault
	f.conns[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, c)
	}()
	if fault == nil && f.tls != nil {
		c = tls.Server(c, f.tls)
	}
	for r := bufio.NewReader(c); ; {
		if fault != nil && f.tls != nil {
			fault(c, r)
			return
		}
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		if fault != nil {
			fault(c, r)
			return
		}
		f.accept(req.Header.Get("Idempotency-Key"))
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

func (f *faulty) accept(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accepted[key]++; f.accepted[key] == 1 && len(f.accepted) == f.want {
		close(f.full)
	}
}

func (f *faulty) url() string {
	if f.tls != nil {
		return "https://" + f.address + "/"
	}
	return "http://" + f.address + "/"
}

// says answers with a text and closes.
func says(text string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, text) }
}

// hangs waits for the other side to give up.
func hangs(c net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) }

// resets begins an answer and resets the connection.
func resets(c net.Conn, _ *bufio.Reader) {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConte")
	_ = c.(*net.TCPConn).SetLinger(0)
}

// stalls sends the head of an answer and never the rest.
func stalls(c net.Conn, r *bufio.Reader) {
	_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1000\r\n\r\nplease")
	hangs(c, r)
}

// countdown tells when n attempts have failed.
type countdown struct {
	left atomic.Int64
	done chan struct{}
}

func (o *countdown) Attempted(a Attempt) {
	if a.Err != nil && o.left.Add(-1) == 0 {
		close(o.done)
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case <-c:
	case <-timeout.C:
		t.Fatal("waited too long for " + what)
	}
}

func identified(n int) []event.Event {
	all := named(1, n)
	for i := range all {
		all[i].UUID = uuid.NewString()
	}
	return all
}

// deliverTo runs a worker against address; the function returned stops it.
func deliverTo(t *testing.T, source *memory, address string, observer Observer) (*Worker, func()) {
	t.Helper()
	settings := DefaultSettings()
	settings.Timeout = time.Second
	settings.Retry.Initial, settings.Retry.Max = 5*time.Millisecond, 40*time.Millisecond
	w, err := New(Options{
		Name: "out", Sender: webhook(t, address), Source: source, Batch: 1, Settings: settings,
		Observer: observer, Log: slog.New(slog.DiscardHandler), Grace: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		source.check(t)
	})
	t.Cleanup(stop)
	return w, stop
}

func TestNoFaultOfAnEndpointLosesAnEventOrDisturbsAnother(t *testing.T) {
	const events = 60
	for _, c := range []struct {
		name   string
		fault  func(net.Conn, *bufio.Reader) // nil: nobody listens
		secure bool
	}{
		{"500", says("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), false},
		{"503 with Retry-After", says("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"), false},
		{"429", says("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"), false},
		{"401", says("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), false},
		{"hang", hangs, false},
		{"a body that never ends", stalls, false},
		{"no answer", says(""), false},
		{"no HTTP", says("SSH-2.0-OpenSSH_9.6\r\n"), false},
		{"reset in the middle of an answer", resets, false},
		{"connection refused", nil, false},
		{"no TLS", says("HTTP/1.1 400 Bad Request\r\n\r\n"), true},
		{"TLS that hangs", hangs, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad, good := newFaulty(t, events, c.secure), newFaulty(t, events, false)
			url := bad.url()
			if c.fault == nil {
				bad.close()
			} else {
				bad.begin(c.fault)
			}
			failures := &countdown{done: make(chan struct{})}
			failures.left.Store(trips)
			source, other := newMemory(), newMemory()
			source.append(identified(events)...)
			other.append(identified(events)...)
			w, stop := deliverTo(t, source, url, failures)
			_, stopOther := deliverTo(t, other, good.url(), nil)
			await(t, good.full, "the events of another output")
			await(t, failures.done, "the failures")
			if s := w.State(); s.Healthy || s.InFlight > queueEvents+firstLimit || s.DeadLetters > 0 {
				t.Errorf("during the fault the state is %+v", s)
			}
			bad.end()
			await(t, bad.full, "the events after the fault")
			stop()
			stopOther()
			if open := source.open(); len(open) > firstLimit {
				// What was accepted just before the stop may lack its acknowledgement.
				t.Errorf("%d events are open", len(open))
			}
			if letters := source.letters(); len(letters) > 0 {
				t.Errorf("%d dead letters", len(letters))
			}
			if twice := bad.duplicates(); twice > 2*firstLimit {
				t.Errorf("%d events came twice", twice)
			}
		})
	}
}

// duplicates counts what was accepted more than once.
func (f *faulty) duplicates() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.accepted {
		n += times - 1
	}
	return n
}

func TestAnAddressThatCannotBeResolvedKeepsTheEvents(t *testing.T) {
	failures := &countdown{done: make(chan struct{})}
	failures.left.Store(2 * trips)
	source := newMemory()
	source.append(identified(60)...)
	// A name that no resolver asks anybody for.
	w, stop := deliverTo(t, source, "http://saker..invalid/", failures)
	await(t, failures.done, "the failures")
	if s := w.State(); s.Breaker == BreakerClosed || s.Healthy {
		t.Errorf("state is %+v", s)
	}
	stop()
	if open := source.open(); len(open) != 60 || len(source.letters()) > 0 {
		t.Errorf("%d events are open and %d dead letters, want 60 and none", len(open), len(source.letters()))
	}
}

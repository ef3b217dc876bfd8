package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// endpoint is a destination that can be made to fail, and that keeps which events it has
// accepted, how often and when.
type endpoint struct {
	name    string
	address string // with the port
	url     string
	tls     *tls.Config // nil is plain HTTP

	// behave, if not nil, answers in place of accept. It is asked when a request comes.
	behave atomic.Pointer[behaviour]

	mu       sync.Mutex
	refuse   func(n int) bool    // which events are answered with 400, if any
	accepted map[int][]time.Time // by number of the event
	order    []int               // in which they came first
	attempts int
	told     []string // rules of the forwarder's own events

	server *http.Server // nil while the endpoint is down
	conns  map[net.Conn]bool
}

// behaviour answers a request and reports whether that means that the event is accepted.
type behaviour func(w http.ResponseWriter, r *http.Request) bool

// newEndpoint starts an endpoint that accepts everything, with TLS unless that is nil.
func newEndpoint(t *testing.T, name string, config *tls.Config) *endpoint {
	t.Helper()
	e := &endpoint{name: name, tls: config, accepted: map[int][]time.Time{}}
	e.address = fmt.Sprintf("%s:%d", ownAddress(), endpointPort)
	e.url = "http://" + e.address + "/"
	if config != nil {
		e.url = "https://" + e.address + "/"
	}
	if err := e.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.down)
	return e
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	behave := e.behave.Load()
	var n struct {
		Rule   string         `json:"rule"`
		Fields map[string]any `json:"output_fields"`
	}
	err := json.NewDecoder(r.Body).Decode(&n)
	e.mu.Lock()
	e.attempts++
	number, ours := n.Fields["n"].(float64)
	if !ours && err == nil { // what the forwarder has to say itself
		e.told = append(e.told, n.Rule)
		e.mu.Unlock()
		return
	}
	refused := e.refuse != nil && e.refuse(int(number))
	e.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // cut off: it comes again
		return
	}
	if refused {
		http.Error(w, "no such field", http.StatusBadRequest)
		return
	}
	if behave != nil && !(*behave)(w, r) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.accepted[int(number)]) == 0 {
		e.order = append(e.order, int(number))
	}
	e.accepted[int(number)] = append(e.accepted[int(number)], time.Now())
}

// up makes the endpoint listen.
func (e *endpoint) up() error {
	listen, err := net.Listen("tcp", e.address)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns = map[net.Conn]bool{}
	e.server = &http.Server{Handler: e, ConnState: e.track, ErrorLog: silent}
	server := e.server
	if e.tls != nil {
		listen = tls.NewListener(listen, e.tls)
	}
	go func() { _ = server.Serve(listen) }()
	return nil
}

// down makes the endpoint refuse connections and cuts those that there are.
func (e *endpoint) down() {
	e.mu.Lock()
	server := e.server
	e.server = nil
	e.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (e *endpoint) track(c net.Conn, state http.ConnState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(e.conns, c)
		return
	}
	e.conns[c] = true
}

// hangUp closes the connections that there are.
func (e *endpoint) hangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close()
	}
}

// answers makes the endpoint behave so; nil heals it.
func (e *endpoint) answers(b behaviour) {
	if b == nil {
		e.behave.Store(nil)
		return
	}
	e.behave.Store(&b)
}

func (e *endpoint) tries() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.attempts
}

// has is how many different events were accepted.
func (e *endpoint) has() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.accepted)
}

// heard reports whether the forwarder has sent an event of its own with the given rule.
func (e *endpoint) heard(rule string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.told, rule)
}

// duplicates counts how often events were accepted again.
func (e *endpoint) duplicates() (sum int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, times := range e.accepted {
		sum += len(times) - 1
	}
	return sum
}

// disorder returns the first event that came after one with a larger number, 0 if there is
// none.
func (e *endpoint) disorder() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.IsSorted(e.order) {
		return 0
	}
	for i, n := range e.order[1:] {
		if n < e.order[i] {
			return n
		}
	}
	return 0
}

// status answers with a status and headers, given as name and value.
func status(code int, header ...string) behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for pair := range slices.Chunk(header, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.WriteHeader(code)
		return code < 300
	}
}

// slow accepts each event after a while.
func slow(d time.Duration) behaviour {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		rest(r.Context(), d)
		return true
	}
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// drip answers with a status and a body that comes byte by byte and has no end.
func drip(code int) behaviour {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(code)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		for ctx.Err() == nil {
			if _, err := w.Write([]byte{'.'}); err != nil {
				break
			}
			_ = http.NewResponseController(w).Flush()
			rest(ctx, 50*time.Millisecond)
		}
		return code < 300
	}
}

// reset cuts the connection in the middle of the answer's first line.
func reset(w http.ResponseWriter, _ *http.Request) bool {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = c.Write([]byte("HTTP/1.1 20"))
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	return false
}

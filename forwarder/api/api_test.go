package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// memory is a journal in memory that counts who follows it.
type memory struct {
	mu        sync.Mutex
	events    []event.Event // the event at place n is events[n-1]
	changed   chan struct{}
	following int
	follows   int
	fail      error
}

func newMemory(n int) *memory {
	m := &memory{changed: make(chan struct{})}
	for range n {
		m.add()
	}
	return m
}

func (m *memory) add() {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.events) + 1
	m.events = append(m.events, event.Event{
		UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Rule: fmt.Sprintf("rule %d", n), Priority: event.Warning,
		Output: "<script>alert(1)</script>", Source: "syscall", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Fields: []event.Field{{Name: "n", Value: event.NumberValue(fmt.Sprint(n))}},
	})
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) Last(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.events)), nil
}

func (m *memory) Follow(ctx context.Context, n int, add func(uint64, event.Event)) error {
	m.mu.Lock()
	m.following++
	m.follows++
	next := max(len(m.events)-n, 0)
	err := m.fail
	m.fail = nil
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.following--
	}()
	if err != nil {
		return err
	}
	for {
		m.mu.Lock()
		fresh, changed := m.events[next:], m.changed
		m.mu.Unlock()
		for _, e := range fresh {
			next++
			add(uint64(next), e)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *memory) state() (following, follows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.following, m.follows
}

// serve starts an API over the journal and stops it with the test.
func serve(t *testing.T, m *memory, change func(*Options)) *httptest.Server {
	t.Helper()
	ring := NewRing()
	o := Options{
		Events: ring, Feed: NewFeed(ring, m, quiet), Guard: auth.New(auth.Config{}), Version: "v1", Log: quiet,
		Outputs: func() []Output { return nil },
		Page:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }),
	}
	if change != nil {
		change(&o)
	}
	a := New(o)
	server := httptest.NewServer(a.Router())
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { o.Feed.Run(ctx) })
	t.Cleanup(func() {
		a.Stop()
		server.Close()
		cancel()
		wait.Wait()
	})
	return server
}

func get(t *testing.T, server *httptest.Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// page is the answer of /api/v2/events.
type page struct {
	Events []struct {
		Sequence uint64
		Event    struct{ Rule string }
	}
	Last uint64
}

func TestEventsAreTheNewestOnesNewestFirst(t *testing.T) {
	server := serve(t, newMemory(5), nil)
	resp, text := get(t, server, "/api/v2/events?limit=2")
	var got page
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != 2 || got.Events[0].Event.Rule != "rule 5" || got.Events[1].Sequence != 4 || got.Last != 5 {
		t.Errorf("got %s", text)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be cached")
	}
	if strings.Contains(text, "<script>") {
		t.Error("markup is not escaped")
	}
}

func TestNoEventsAreAnEmptyList(t *testing.T) {
	if _, text := get(t, serve(t, newMemory(0), nil), "/api/v2/events"); text != `{"events":[],"last":0}`+"\n" {
		t.Errorf("got %s", text)
	}
}

func TestBadRequestsAreProblems(t *testing.T) {
	server := serve(t, newMemory(1), nil)
	for path, status := range map[string]int{
		"/api/v2/events?limit=0": 400, "/api/v2/events?limit=1001": 400, "/api/v2/events?limit=x": 400,
		"/api/v2/events/stream?after=x": 400, "/api/v2/nothing": 404,
	} {
		resp, text := get(t, server, path)
		if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), text)
		}
	}
}

func TestOutputsShowTheirState(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server := serve(t, newMemory(0), func(o *Options) {
		o.Outputs = func() []Output {
			return []Output{{Name: "oncall", Kind: "slack", State: StateFailing, Breaker: "closed", Limit: 8, Pending: 3, Silenced: 2, LastSuccess: &at, LastError: "503"}}
		}
	})
	want := `{"outputs":[{"name":"oncall","kind":"slack","state":"failing","breaker":"closed","limit":8,"inFlight":0,` +
		`"pending":3,"delivered":0,"retries":0,"deadLetters":0,"lost":0,"filtered":0,"silenced":2,"suppressed":0,` +
		`"lastSuccess":"2026-01-02T03:04:05Z","lastError":"503"}]}` + "\n"
	if _, text := get(t, server, "/api/v2/outputs"); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if _, text := get(t, serve(t, newMemory(0), nil), "/api/v2/outputs"); text != `{"outputs":[]}`+"\n" {
		t.Errorf("got %s", text)
	}
}

func TestEveryAnswerConfinesThePage(t *testing.T) {
	server := serve(t, newMemory(0), nil)
	for _, path := range []string{"/", "/api/v2/outputs", "/healthz", "/api/v2/nothing"} {
		resp, _ := get(t, server, path)
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"} {
			if resp.Header.Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
	}
}

func TestCredentialsGuardPageAndData(t *testing.T) {
	server := serve(t, newMemory(1), func(o *Options) {
		o.Guard = auth.New(auth.Config{Username: "ann", Password: config.NewSecret("pw")})
	})
	for _, path := range []string{"/", "/api/v2/events", "/api/v2/events/stream", "/api/v2/outputs", "/api/v2/version"} {
		if resp, _ := get(t, server, path); resp.StatusCode != 401 {
			t.Errorf("%s without a credential: %d", path, resp.StatusCode)
		}
	}
	if resp, _ := get(t, server, "/healthz"); resp.StatusCode != 200 {
		t.Errorf("/healthz: %d", resp.StatusCode)
	}
	if resp, _ := get(t, server, "/api/v2/events", "Authorization", "Basic YW5uOnB3"); resp.StatusCode != 200 {
		t.Errorf("with the credential: %d", resp.StatusCode)
	}
}

func TestALocalServerAnswersOnlyAsThisMachine(t *testing.T) {
	server := serve(t, newMemory(1), func(o *Options) { o.LocalOnly = true })
	for host, status := range map[string]int{
		"localhost:2802": 200, "LOCALHOST": 200, "127.0.0.1:2802": 200, "[::1]:2802": 200, "saker.localhost": 200,
		"evil.example": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example:2802": 403, "10.0.0.1": 403,
	} {
		if resp, _ := get(t, server, "/api/v2/events", "Host", host); resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, status)
		}
	}
}

func TestTheJournalIsReadOnlyWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(3)
		ring := NewRing()
		f := NewFeed(ring, m, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { f.Run(ctx) })
		expect := func(when string, following, follows int) {
			t.Helper()
			synctest.Wait()
			if got1, got2 := m.state(); got1 != following || got2 != follows {
				t.Errorf("%s: %d are reading, %d have begun to; want %d, %d", when, got1, got2, following, follows)
			}
		}
		expect("at first", 0, 0)
		leave := f.enter(ctx)
		if _, last := ring.newest(1); last != 3 {
			t.Errorf("the reader found the ring at %d", last)
		}
		expect("with a reader", 1, 1)
		time.Sleep(10 * feedIdle)
		expect("with a reader after a while", 1, 1)
		leave()
		time.Sleep(feedIdle / 2)
		expect("soon after it left", 1, 1)
		time.Sleep(feedIdle)
		expect("later", 0, 1)
		for range 2 {
			m.add()
		}
		leave = f.enter(ctx)
		if _, last := ring.newest(1); last != 5 {
			t.Errorf("the next reader found the ring at %d", last)
		}
		expect("with another reader", 1, 2)
		leave()
		cancel()
		wait.Wait()
	})
}

func TestTheFeedStartsAgainAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		m.fail = errors.New("journal is away")
		ring := NewRing()
		f := NewFeed(ring, m, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { f.Run(ctx) })
		leave := f.enter(ctx)
		time.Sleep(feedPause)
		synctest.Wait()
		if _, follows := m.state(); follows != 2 {
			t.Errorf("the journal was read %d times", follows)
		}
		if _, last := ring.newest(1); last != 1 {
			t.Errorf("the ring is at %d", last)
		}
		leave()
		cancel()
		wait.Wait()
	})
}

func TestTheRingForgetsTheOldest(t *testing.T) {
	r := NewRing()
	big := event.Event{Output: strings.Repeat("x", ringBytes/10)}
	for n := range 30 {
		r.Add(uint64(n+1), big)
	}
	items, last := r.newest(ringEvents)
	if last != 30 || len(items) != 9 || r.bytes > ringBytes {
		t.Errorf("%d events up to %d in %d bytes", len(items), last, r.bytes)
	}
	r = NewRing()
	for n := range ringEvents + 50 {
		r.Add(uint64(n+1), event.Event{})
	}
	r.Add(7, event.Event{})
	items, last = r.newest(2 * ringEvents)
	if len(items) != ringEvents || items[0].sequence != 51 || last != ringEvents+50 {
		t.Errorf("%d events from %d to %d", len(items), items[0].sequence, last)
	}
}

func TestAfterReturnsTheNewestOfWhatIsMissing(t *testing.T) {
	r := NewRing()
	for n := range 10 {
		r.Add(uint64(n+1), event.Event{})
	}
	for _, tc := range []struct {
		after   uint64
		n       int
		places  []uint64
		skipped uint64
	}{
		{8, 5, []uint64{9, 10}, 0},
		{10, 5, nil, 0},
		{3, 3, []uint64{8, 9, 10}, 4},
		{0, 3, []uint64{8, 9, 10}, 0},
	} {
		found, skipped, _ := r.after(tc.after, tc.n)
		var places []uint64
		for _, it := range found {
			places = append(places, it.sequence)
		}
		if diff := cmp.Diff(tc.places, places); diff != "" || skipped != tc.skipped {
			t.Errorf("after %d: skipped %d, want %d; %s", tc.after, skipped, tc.skipped, diff)
		}
	}
}

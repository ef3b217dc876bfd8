package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// memory is a journal that remembers in memory.
type memory struct {
	mu     sync.Mutex
	events []event.Event
	err    error
	// gate, if any, is waited for before each append.
	gate chan struct{}
}

func (m *memory) Append(_ context.Context, batch []event.Event) error {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.events = append(m.events, batch...)
	return nil
}

func (m *memory) stored() []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]event.Event(nil), m.events...)
}

// counts is an observer that counts.
type counts struct {
	mu       sync.Mutex
	accepted int
	rejected map[Reason]int
}

func (c *counts) Accepted(batch []event.Event, _ string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted += len(batch)
}

func (c *counts) Rejected(why Reason, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rejected == nil {
		c.rejected = map[Reason]int{}
	}
	c.rejected[why]++
}

// fixture is a Handler with what stands around it.
type fixture struct {
	*Handler
	journal *memory
	counts  *counts
}

func newFixture(t testing.TB, change func(*Options)) fixture {
	t.Helper()
	en, err := NewEnricher(Enrichment{})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{journal: &memory{}, counts: &counts{}}
	o := Options{
		Journal: f.journal, Enricher: en, Guard: auth.New(auth.Config{}), Observer: f.counts,
		Limits:   Limits{MaxBodyBytes: 64 << 10, MaxEvents: 10, MaxRequests: 4, MaxInFlightBytes: 1 << 20, MaxConnections: 100},
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
		NotReady: func() []string { return nil },
		Log:      slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	f.Handler = New(o)
	return f
}

// answer is what a test compares of a response.
type answer struct {
	Status      int
	ContentType string
	Body        string
}

// call sends a request over a real connection.
func call(t testing.TB, server *httptest.Server, method, path, body string, header ...string) (answer, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(text)}, resp.Header
}

const (
	plainText  = "text/plain; charset=utf-8"
	badBody    = "Please send a valid request body\n"
	badMethod  = "Please send with post http method\n"
	goodEvent  = `{"output":"o","priority":"Warning","rule":"r","time":"2026-01-02T03:04:05Z","output_fields":{"a":1}}`
	wrongEvent = `{"output":"o","priority":"loud","rule":"r","time":"2026-01-02T03:04:05Z","output_fields":{"a":1}}`
	emptyEvent = `{"output":"o","priority":"Warning","rule":"r","time":"2026-01-02T03:04:05Z","output_fields":{}}`
)

var (
	stored   = answer{200, "", ""}
	invalid1 = answer{400, plainText, badBody}
)

func TestEndpointsAnswerLikeFalcosidekick(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	for _, tc := range []struct {
		name, method, path, body string
		want                     answer
		events                   int
	}{
		{"event at /", "POST", "/", goodEvent, stored, 1},
		{"event at any path", "POST", "/foo/bar", goodEvent, stored, 1},
		{"event below a known path", "POST", "/ping/", goodEvent, stored, 1},
		{"event at /debug/vars", "POST", "/debug/vars", goodEvent, stored, 1},
		{"event at /readyz", "POST", "/readyz", goodEvent, stored, 1},
		{"event with a query", "POST", "/?x=1", goodEvent, stored, 1},
		{"no body", "POST", "/", "", invalid1, 0},
		{"no JSON", "POST", "/", "hello", invalid1, 0},
		{"JSON null", "POST", "/", "null", invalid1, 0},
		{"half an event", "POST", "/", goodEvent[:40], invalid1, 0},
		{"event without its fields", "POST", "/", emptyEvent, invalid1, 0},
		{"unknown priority", "POST", "/", wrongEvent, invalid1, 0},
		{"GET", "GET", "/", "", answer{400, plainText, badMethod}, 0},
		{"PUT", "PUT", "/", goodEvent, answer{400, plainText, badMethod}, 0},
		{"DELETE on any path", "DELETE", "/foo", "", answer{400, plainText, badMethod}, 0},
		{"a method nobody knows", "BREW", "/", "", answer{400, plainText, badMethod}, 0},
		{"HEAD", "HEAD", "/", "", answer{400, plainText, ""}, 0},
		{"ping by GET", "GET", "/ping", "", answer{200, plainText, "pong\n"}, 0},
		{"ping by POST", "POST", "/ping", goodEvent, answer{200, plainText, "pong\n"}, 0},
		{"healthz by GET", "GET", "/healthz", "", answer{200, "application/json", `{"status": "ok"}`}, 0},
		{"healthz by PUT", "PUT", "/healthz", "", answer{200, "application/json", `{"status": "ok"}`}, 0},
		{"readyz", "GET", "/readyz", "", answer{200, "application/json", "{\"status\":\"ready\"}\n"}, 0},
		{"test by POST", "POST", "/test", "", stored, 1},
		{"test by GET", "GET", "/test", "", answer{400, plainText, badMethod}, 0},
		{"test by PUT", "PUT", "/test", "", answer{400, plainText, badMethod}, 0},
		{"metrics", "GET", "/metrics", "", answer{200, plainText, "metrics"}, 0},
		{"unclean path", "POST", "//", goodEvent, answer{307, "", ""}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(f.journal.stored())
			got, _ := call(t, server, tc.method, tc.path, tc.body)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the answer differs (-want +got):\n%s", diff)
			}
			if n := len(f.journal.stored()) - before; n != tc.events {
				t.Errorf("%d events were stored, want %d", n, tc.events)
			}
		})
	}
	_, header := call(t, server, "POST", "//a/../b?x=1", goodEvent)
	if got := header.Get("Location"); got != "/b?x=1" {
		t.Errorf("an unclean path is redirected to %q", got)
	}
}

func TestContentTypeIsNeverLookedAt(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "nonsense"} {
		if got, _ := call(t, server, "POST", "/", goodEvent, "Content-Type", kind); got != stored {
			t.Errorf("%q: %+v", kind, got)
		}
	}
}

func TestTheTestEventIsFalcosidekicks(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	call(t, server, "POST", "/test", "ignored")
	e := f.journal.stored()[0]
	if time.Since(e.Time) > time.Minute || e.Time.Nanosecond() != 0 || e.Time.Location() != time.UTC {
		t.Errorf("the time is %v", e.Time)
	}
	e.UUID, e.Time = "U", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := `{"uuid":"U","output":"This is a test from falcosidekick","priority":"Debug","rule":"Test rule",` +
		`"time":"2026-01-02T03:04:05Z","output_fields":{"proc.name":"falcosidekick","user.name":"falcosidekick"},` +
		`"source":"internal","tags":["example","test"],"hostname":"falcosidekick"}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAJournalThatCannotStoreMakesTheSenderTryAgain(t *testing.T) {
	f := newFixture(t, nil)
	f.journal.err = errors.New("disk /secret/place is full")
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	got, header := call(t, server, "POST", "/", goodEvent)
	if got.Status != 503 || header.Get("Retry-After") != "5" || strings.Contains(got.Body, "secret") {
		t.Errorf("got %+v, Retry-After %q", got, header.Get("Retry-After"))
	}
	if f.counts.rejected[ReasonJournal] != 1 || f.counts.accepted != 0 {
		t.Errorf("counted %+v", f.counts)
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.NotReady = func() []string { return []string{"journal: no space"} } })
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	got, header := call(t, server, "GET", "/readyz", "")
	want := answer{503, "application/json", `{"status":"not ready","reasons":["journal: no space"]}` + "\n"}
	if got != want || header.Get("Retry-After") == "" {
		t.Errorf("got %+v", got)
	}
}

func TestRequestsBeyondTheLimitWaitAndAreThenToldToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.journal.gate = make(chan struct{})
		router := f.Router(Everything)
		send := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			router.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(goodEvent)))
			return w
		}
		var wait sync.WaitGroup
		for range f.Limits.MaxRequests {
			wait.Go(func() {
				if w := send(); w.Code != 200 {
					t.Errorf("a request within the limit got %d", w.Code)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		w := send()
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || time.Since(start) != slotWait {
			t.Errorf("one more got %d after %s", w.Code, time.Since(start))
		}
		wait.Go(func() {
			if w := send(); w.Code != 200 {
				t.Errorf("a request that waited got %d", w.Code)
			}
		})
		synctest.Wait()
		close(f.journal.gate)
		wait.Wait()
	})
}

func TestAPanicIsAnswered(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })
	})
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	if got, _ := call(t, server, "GET", "/metrics", ""); got.Status != 500 {
		t.Errorf("got %+v", got)
	}
	if f.counts.rejected[ReasonPanic] != 1 {
		t.Error("the panic was not counted")
	}
}

func TestCredentials(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Guard = auth.New(auth.Config{Token: config.NewSecret("t0ken"), Username: "ann", Password: config.NewSecret("pass:word")})
	})
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	for _, tc := range []struct {
		name, method, path, authorization string
		status                            int
	}{
		{"none", "POST", "/", "", 401},
		{"none for the test event", "POST", "/test", "", 401},
		{"none for metrics", "GET", "/metrics", "", 401},
		{"none for health", "GET", "/healthz", "", 200},
		{"none for ping", "GET", "/ping", "", 200},
		{"none for readiness", "GET", "/readyz", "", 200},
		{"none with the wrong method", "GET", "/", "", 400},
		{"bearer", "POST", "/", "Bearer t0ken", 200},
		{"bearer, scheme in lower case", "POST", "/", "bearer t0ken", 200},
		{"wrong bearer", "POST", "/", "Bearer t0keN", 401},
		{"empty bearer", "POST", "/", "Bearer ", 401},
		{"password as bearer", "POST", "/", "Bearer pass:word", 401},
		{"metrics with bearer", "GET", "/metrics", "Bearer t0ken", 200},
		{"basic", "POST", "/", basic("ann", "pass:word"), 200},
		{"basic, wrong password", "POST", "/", basic("ann", "pass"), 401},
		{"basic, wrong user", "POST", "/", basic("bob", "pass:word"), 401},
		{"token as the password of anybody", "POST", "/", basic("bob", "t0ken"), 200},
		{"unknown scheme", "POST", "/", "Digest t0ken", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, header := call(t, server, tc.method, tc.path, goodEvent, "Authorization", tc.authorization)
			if got.Status != tc.status {
				t.Errorf("got %+v, want status %d", got, tc.status)
			}
			if tc.status == 401 && len(header.Values("WWW-Authenticate")) != 2 {
				t.Error("the answer does not say how to authenticate")
			}
		})
	}
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestOnlyAnAuthenticatedSenderChoosesTheUUID(t *testing.T) {
	withID := strings.Replace(goodEvent, "{", `{"uuid":"`+fixedUUID+`",`, 1)
	for _, secret := range []string{"", "t0ken"} {
		f := newFixture(t, func(o *Options) { o.Guard = auth.New(auth.Config{Token: config.NewSecret(secret)}) })
		server := httptest.NewServer(f.Router(Everything))
		call(t, server, "POST", "/", withID, "Authorization", "Bearer "+secret)
		server.Close()
		if got := f.journal.stored()[0].UUID; (got == fixedUUID) != (secret != "") {
			t.Errorf("with the token %q the event got the UUID %q", secret, got)
		}
	}
}

func TestASenderWithAClientCertificateChoosesTheUUID(t *testing.T) {
	f := newFixture(t, nil)
	r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Replace(goodEvent, "{", `{"uuid":"`+fixedUUID+`",`, 1)))
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
	f.Router(Everything).ServeHTTP(httptest.NewRecorder(), r)
	if got := f.journal.stored()[0].UUID; got != fixedUUID {
		t.Errorf("the event got the UUID %q", got)
	}
}

func TestAForeignWebPageCannotForgeEvents(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	for _, path := range []string{"/", "/test"} {
		for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
			if got, _ := call(t, server, "POST", path, goodEvent, header...); got.Status != 403 {
				t.Errorf("%s with %v: %+v", path, header, got)
			}
		}
	}
	if got, _ := call(t, server, "POST", "/", goodEvent, "Origin", server.URL); got != stored {
		t.Errorf("a page of the same origin: %+v", got)
	}
}

func TestMovedPathsAnswerOnlyWhereTheyWereMovedTo(t *testing.T) {
	f := newFixture(t, nil)
	for _, tc := range []struct {
		moved        []string
		method, path string
		here, there  int
	}{
		{[]string{"/healthz"}, "GET", "/healthz", 400, 200},
		{[]string{"/healthz"}, "POST", "/healthz", 200, 200},
		{[]string{"/healthz"}, "GET", "/ping", 200, 404},
		{[]string{"/healthz"}, "POST", "/", 200, 404},
		{[]string{"/"}, "POST", "/", 404, 200},
		{[]string{"/"}, "POST", "/foo", 404, 200},
		{[]string{"/"}, "GET", "/ping", 200, 400},
		{[]string{"/", "/ping"}, "GET", "/ping", 404, 200},
		{[]string{"/readyz"}, "GET", "/readyz", 400, 200},
	} {
		t.Run(fmt.Sprintf("%v %s %s", tc.moved, tc.method, tc.path), func(t *testing.T) {
			for _, side := range []struct {
				name   string
				router http.Handler
				status int
			}{{"TLS", f.Router(Without(tc.moved...)), tc.here}, {"plain", f.Router(Only(tc.moved...)), tc.there}} {
				w := httptest.NewRecorder()
				side.router.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader(goodEvent)))
				if w.Code != side.status {
					t.Errorf("%s server: %d, want %d", side.name, w.Code, side.status)
				}
			}
		})
	}
}

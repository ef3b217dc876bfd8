package api

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/forwarder/auth"
)

// frame is one server-sent event.
type frame struct{ ID, Event, Data string }

// reader reads a stream.
type reader struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func follow(t *testing.T, server *httptest.Server, path string, header ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("got %d %s", resp.StatusCode, kind)
	}
	r := &reader{t, bufio.NewScanner(resp.Body), func() {
		cancel()
		resp.Body.Close()
	}}
	t.Cleanup(r.close)
	return r
}

// next returns the next event and leaves out comments and settings.
func (r *reader) next() frame {
	r.t.Helper()
	var f frame
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "id":
			f.ID = value
		case "event":
			f.Event = value
		case "data":
			f.Data = value
		case "":
			if f.Event != "" {
				return f
			}
		}
	}
	r.t.Fatalf("the stream ended: %v", r.lines.Err())
	return f
}

func TestAStreamGoesOnWhereTheClientLeft(t *testing.T) {
	m := newMemory(3)
	server := serve(t, m, nil)
	for _, tc := range []struct {
		name, path, lastID string
		first              string
	}{
		{"after the id that the browser sends", "/api/v2/events/stream", "1", "2"},
		{"the browser's id counts more than the parameter", "/api/v2/events/stream?after=2", "1", "2"},
		{"after the parameter", "/api/v2/events/stream?after=2", "", "3"},
		{"from the start", "/api/v2/events/stream?after=0", "", "1"},
		{"an id of another journal", "/api/v2/events/stream", "900", "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := follow(t, server, tc.path, "Last-Event-ID", tc.lastID)
			got := r.next()
			if got.ID != tc.first || got.Event != "alert" || !strings.Contains(got.Data, `"rule":"rule `+tc.first+`"`) {
				t.Errorf("got %+v", got)
			}
		})
	}
	fresh := follow(t, server, "/api/v2/events/stream")
	m.add()
	if got := fresh.next(); got.ID != "4" {
		t.Errorf("a new stream began with %+v", got)
	}
}

func TestAStreamSaysHowManyItLeftOut(t *testing.T) {
	r := follow(t, serve(t, newMemory(700), nil), "/api/v2/events/stream?after=100")
	if got := r.next(); got.Event != "gap" || got.Data != `{"skipped":400}` {
		t.Errorf("got %+v", got)
	}
	if got := r.next(); got.ID != "501" {
		t.Errorf("went on with %+v", got)
	}
}

func TestStoppingEndsStreams(t *testing.T) {
	m := newMemory(0)
	ring := NewRing()
	feed := NewFeed(ring, m, quiet)
	a := New(Options{Events: ring, Feed: feed, Guard: auth.New(auth.Config{}), Page: http.NotFoundHandler(), Log: quiet})
	server := httptest.NewServer(a.Router())
	defer server.Close()
	r := follow(t, server, "/api/v2/events/stream")
	a.Stop()
	for r.lines.Scan() {
	}
	if err := r.lines.Err(); err != nil {
		t.Error(err)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	ring := NewRing()
	a := New(Options{Events: ring, Feed: NewFeed(ring, newMemory(0), quiet), Guard: auth.New(auth.Config{}), Page: http.NotFoundHandler(), Log: quiet})
	for range maxStreams {
		a.streams <- struct{}{}
	}
	w := httptest.NewRecorder()
	a.Router().ServeHTTP(w, httptest.NewRequest("GET", "/api/v2/events/stream", http.NoBody))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d", w.Code)
	}
}

// stuck is a client that reads nothing: a write ends when its deadline has passed.
type stuck struct {
	http.ResponseWriter
	deadline time.Time
}

func (s *stuck) SetReadDeadline(time.Time) error { return nil }

func (s *stuck) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewRing()
		a := New(Options{Events: ring, Feed: NewFeed(ring, newMemory(0), quiet), Guard: auth.New(auth.Config{}), Page: http.NotFoundHandler(), Log: quiet})
		begin := time.Now()
		a.Router().ServeHTTP(&stuck{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest("GET", "/api/v2/events/stream", http.NoBody))
		if took := time.Since(begin); took != writeTimeout {
			t.Errorf("it was dropped after %s", took)
		}
		if len(a.streams) != 0 {
			t.Error("its place was not given back")
		}
	})
}

func TestAQuietStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewRing()
		a := New(Options{Events: ring, Feed: NewFeed(ring, newMemory(0), quiet), Guard: auth.New(auth.Config{}), Page: http.NotFoundHandler(), Log: quiet})
		w := httptest.NewRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), 2*heartbeat+time.Second)
		defer cancel()
		a.Router().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/v2/events/stream", http.NoBody))
		if n := strings.Count(w.Body.String(), ": still here"); n != 2 {
			t.Errorf("%d signs of life in %q", n, w.Body)
		}
	})
}

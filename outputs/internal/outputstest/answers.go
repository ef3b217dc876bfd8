package outputstest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
)

func (h HTTP) statuses(t *testing.T) {
	want := map[int]Outcome{
		200: Delivered, 201: Delivered, 202: Delivered, 204: Delivered, 206: Delivered,
		302: Held, 304: Held,
		400: Rejected, 413: Rejected, 422: Rejected,
		401: Held, 402: Held, 403: Held, 404: Held, 405: Held, 407: Held, 410: Held,
		408: NotNow, 409: NotNow, 425: NotNow, 429: NotNow,
		500: NotNow, 502: NotNow, 503: NotNow, 504: NotNow,
	}
	if h.Answer != nil { // a bare status does not tell whether the service has accepted
		maps.DeleteFunc(want, func(status int, _ Outcome) bool { return status/100 == 2 })
	}
	maps.Copy(want, h.Statuses)
	s, sender := h.begin(t)
	for _, status := range slices.Sorted(maps.Keys(want)) {
		s.answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		err := sender.Send(t.Context(), plain())
		if got := OutcomeOf(err); got != want[status] {
			t.Errorf("status %d is %q (%v), want %q", status, got, err, want[status])
		}
		if err != nil && !strings.Contains(err.Error(), strconv.Itoa(status)) {
			t.Errorf("status %d: the error %q does not name it", status, err)
		}
		if d := outputs.Delay(err); d != 0 {
			t.Errorf("status %d asks for a pause of %v although the answer does not", status, d)
		}
	}
}

func (h HTTP) hollow(t *testing.T) {
	s, sender := h.begin(t)
	for _, body := range slices.Sorted(maps.Keys(h.Hollow)) {
		s.answerWith(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		err := sender.Send(t.Context(), plain())
		if got := OutcomeOf(err); got != h.Hollow[body] {
			t.Errorf("200 with %q is %q (%v), want %q", body, got, err, h.Hollow[body])
		}
		NoSecret(t, h.Secret, fmt.Sprint(err))
	}
}

func (h HTTP) retryAfter(t *testing.T) {
	s, sender := h.begin(t)
	for _, c := range []struct {
		status   int
		header   string
		min, max time.Duration
	}{
		{429, "7", 7 * time.Second, 7 * time.Second},
		{503, "7", 7 * time.Second, 7 * time.Second},
		{503, time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat), 9 * time.Minute, 10 * time.Minute},
		{503, time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), 0, 0},
		{429, "soon", 0, 0},
		{429, "-3", 0, 0},
		{429, "99999999999999999999999", time.Minute, 24 * time.Hour},
	} {
		s.answerWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.header)
			w.WriteHeader(c.status)
		})
		err := sender.Send(t.Context(), plain())
		if OutcomeOf(err) != NotNow {
			t.Errorf("%d with Retry-After %q is %q, want %q", c.status, c.header, OutcomeOf(err), NotNow)
		}
		if d := outputs.Delay(err); d < c.min || d > c.max {
			t.Errorf("%d with Retry-After %q asks for a pause of %v, want %v to %v", c.status, c.header, d, c.min, c.max)
		}
	}
}

func (h HTTP) cancelled(t *testing.T) {
	s, sender := h.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Send(ctx, plain()); OutcomeOf(err) != NotNow {
		t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
	}
	if n := len(s.take()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func (h HTTP) hangs(t *testing.T) {
	hang := func(t *testing.T, begin func(http.ResponseWriter)) error {
		t.Helper()
		s, sender := h.begin(t)
		arrived, over := make(chan struct{}, 16), make(chan struct{})
		t.Cleanup(func() { close(over) }) // a Send that does not return must not hang the test
		s.answerWith(func(w http.ResponseWriter, r *http.Request) {
			begin(w)
			arrived <- struct{}{}
			select {
			case <-r.Context().Done():
			case <-over:
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- sender.Send(ctx, plain()) }()
		await(t, arrived, "the request")
		cancel()
		return await(t, done, "Send to return after its context ended")
	}
	t.Run("before it answers", func(t *testing.T) {
		err := hang(t, func(http.ResponseWriter) {})
		if OutcomeOf(err) != NotNow {
			t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
		}
		NoSecret(t, h.Secret, fmt.Sprint(err))
	})
	t.Run("in the middle of its answer", func(t *testing.T) {
		err := hang(t, func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "please ")
			_ = http.NewResponseController(w).Flush()
		})
		if OutcomeOf(err) != NotNow {
			t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
		}
	})
}

// await returns what c delivers, and fails the test when that takes too long.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case v := <-c:
		return v
	case <-timeout.C:
		t.Fatalf("waited %v for %s", patience, what)
	}
	var none T
	return none
}

func (h HTTP) refused(t *testing.T) {
	s, sender := h.begin(t)
	s.Close()
	err := sender.Send(t.Context(), plain())
	if OutcomeOf(err) != NotNow {
		t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
	}
	NoSecret(t, h.Secret, fmt.Sprint(err))
}

func (h HTTP) reset(t *testing.T) {
	s, sender := h.begin(t)
	s.answerWith(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("take over the connection: %v", err)
			return
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an orderly end
		}
		c.Close()
	})
	err := sender.Send(t.Context(), plain())
	if OutcomeOf(err) != NotNow {
		t.Errorf("send is %q (%v), want %q", OutcomeOf(err), err, NotNow)
	}
	NoSecret(t, h.Secret, fmt.Sprint(err))
}

func (h HTTP) strangers(t *testing.T) {
	s, sender := h.begin(t)
	stranger := h.serve(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.answerWith(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, stranger.URL+r.RequestURI, status)
		})
		err := sender.Send(t.Context(), plain())
		if OutcomeOf(err) != Held {
			t.Errorf("a redirect with %d is %q (%v), want %q", status, OutcomeOf(err), err, Held)
		}
		NoSecret(t, h.Secret, fmt.Sprint(err))
		if n := len(stranger.take()); n != 0 {
			t.Errorf("after a redirect with %d the stranger got %d requests", status, n)
		}
	}
}

func (h HTTP) changedMethods(t *testing.T) {
	s, sender := h.begin(t)
	for _, status := range []int{301, 302, 303} {
		s.take()
		s.answerWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		err := sender.Send(t.Context(), plain())
		if OutcomeOf(err) != Held {
			t.Errorf("a redirect with %d is %q (%v), want %q", status, OutcomeOf(err), err, Held)
		}
		for _, r := range s.take() {
			if strings.HasPrefix(r.uri, "/elsewhere") {
				t.Errorf("after a redirect with %d, %s %s was sent", status, r.method, r.uri)
			}
		}
	}
}

func (h HTTP) sameHost(t *testing.T) {
	s, sender := h.begin(t)
	for _, status := range []int{307, 308} {
		s.take()
		s.answerWith(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				h.accept(w, r)
				return
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		if err := sender.Send(t.Context(), plain()); err != nil {
			t.Errorf("a redirect with %d on the same host: %v", status, err)
			continue
		}
		got := s.take()
		first, last := got[0], got[len(got)-1]
		if len(got) < 2 || last.method != first.method || last.body != first.body {
			t.Errorf("after a redirect with %d: %d requests, the last %s with %d bytes, want %s with %d bytes",
				status, len(got), last.method, len(last.body), first.method, len(first.body))
		}
	}
}

func (h HTTP) reuse(t *testing.T) {
	s, sender := h.begin(t)
	for i := range 6 {
		s.answerWith(nil)
		if i%2 == 1 {
			s.answerWith(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, strings.Repeat("busy ", 4000))
			})
		}
		if err := sender.Send(t.Context(), plain()); (err != nil) != (i%2 == 1) {
			t.Fatalf("send %d: %v", i, err)
		}
	}
	if n := s.connections(); n > h.endpoints() {
		t.Errorf("six sends one after the other opened %d connections", n)
	}
}

// endpoints is how many servers the configuration names.
func (h HTTP) endpoints() int { return max(1, strings.Count(h.Config, "URL")) }

func (h HTTP) concurrent(t *testing.T) {
	if Kind(t, h.Kind).Serial {
		t.Skip("the kind allows one Send at a time")
	}
	s, sender := h.begin(t)
	const n = 16
	before := len(s.take())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := sender.Send(t.Context(), plain()); err != nil {
				t.Errorf("send: %v", err)
			}
		})
	}
	wg.Wait()
	if got := len(s.take()) - before; got < n {
		t.Errorf("%d of %d events arrived", got, n)
	}
}

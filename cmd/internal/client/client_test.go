package client

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is what a server was asked.
type request struct{ Method, URI, Auth, Type, Agent, Body string }

// serve answers every request with a status and a text, and returns what it was asked.
func serve(t *testing.T, status int, kind, text string) (*httptest.Server, *request) {
	t.Helper()
	var got request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.UserAgent(), string(body)}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s, &got
}

func dial(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequestsGoWhereTheyShouldWithTheirCredential(t *testing.T) {
	s, got := serve(t, 200, "application/json", `{"n":3}`)
	for _, c := range []struct {
		name string
		o    Options
		do   func(c *Client, v any) error
		want request
	}{
		{
			"a question with a token",
			Options{URL: s.URL, Token: config.NewSecret("t0ken"), UserAgent: "saker/1"},
			func(c *Client, v any) error {
				return c.Get(t.Context(), "/silences", url.Values{"after": {"a b"}}, v)
			},
			request{"GET", "/api/v2/silences?after=a+b", "Bearer t0ken", "", "saker/1", ""},
		},
		{
			"a change with user and password, below a path",
			Options{URL: s.URL + "/saker/", Username: "ann", Password: config.NewSecret("pw")},
			func(c *Client, v any) error { return c.Post(t.Context(), "/silences", map[string]int{"a": 1}, v) },
			request{"POST", "/saker/api/v2/silences", "Basic YW5uOnB3", "application/json", "Go-http-client/1.1", `{"a":1}`},
		},
		{
			"a removal",
			Options{URL: s.URL},
			func(c *Client, v any) error { return c.Delete(t.Context(), "/silences/a%2Fb", v) },
			request{"DELETE", "/api/v2/silences/a%2Fb", "", "", "Go-http-client/1.1", ""},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v struct{ N int }
			if err := c.do(dial(t, c.o), &v); err != nil || v.N != 3 {
				t.Errorf("answer %+v, %v", v, err)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEventsArePostedToTheAddressItself(t *testing.T) {
	s, got := serve(t, 200, "", "")
	if err := dial(t, Options{URL: s.URL}).SendEvents(t.Context(), []byte("{}\n{}\n")); err != nil {
		t.Fatal(err)
	}
	if want := (request{"POST", "/", "", "application/json", "Go-http-client/1.1", "{}\n{}\n"}); *got != want {
		t.Errorf("got %+v", *got)
	}
}

func TestARefusalSaysWhatTheServerSays(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, text string
		want       StatusError
	}{
		{409, "application/problem+json", `{"detail":"there is no output"}`, StatusError{409, "there is no output", true}},
		{400, "text/plain; charset=utf-8", "Please send a valid request body\n", StatusError{400, "the answer is 400 Bad Request: Please send a valid request body", false}},
		{404, "text/html", "<h1>nothing</h1>", StatusError{404, "the answer is 404 Not Found", false}},
		{502, "application/problem+json", "<h1>", StatusError{502, "the answer is 502 Bad Gateway", false}},
		{302, "", "", StatusError{302, "the answer is 302 Found", false}},
	} {
		s, _ := serve(t, c.status, c.kind, c.text)
		err := dial(t, Options{URL: s.URL}).Get(t.Context(), "/x", nil, nil)
		got, ok := errors.AsType[*StatusError](err)
		if !ok || *got != c.want {
			t.Errorf("got %+v, want %+v", err, c.want)
		}
	}
}

func TestARedirectionDoesNotTakeTheCredentialElsewhere(t *testing.T) {
	other, got := serve(t, 200, "application/json", "{}")
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	err := dial(t, Options{URL: s.URL, Token: config.NewSecret("t0ken")}).Get(t.Context(), "/x", nil, nil)
	if e, ok := errors.AsType[*StatusError](err); !ok || e.Status != 307 || got.Method != "" {
		t.Errorf("got %v, and the other server %+v", err, *got)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	err := dial(t, Options{URL: s.URL}).Get(t.Context(), "/x", nil, nil)
	e, ok := errors.AsType[*UnreachableError](err)
	if !ok || e.URL != s.URL || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestAnAddressThatIsNoneIsRefusedWithoutShowingIt(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1:2802", "ftp://a", "http://", "http://ann:s3cret@a", "http://a b:s3cret"} {
		if _, err := New(Options{URL: u}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestACertificateOfAnAuthorityThatWasNamedIsTaken(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer s.Close()
	s.Config.ErrorLog = nil
	var v struct{}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, Options{URL: s.URL, CACertFile: file}).Get(t.Context(), "/x", nil, &v); err != nil {
		t.Error(err)
	}
	if err := dial(t, Options{URL: s.URL}).Get(t.Context(), "/x", nil, &v); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
	if _, err := New(Options{URL: s.URL, CACertFile: file + "x"}); err == nil {
		t.Error("a file that isn't there was taken")
	}
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{URL: s.URL, CACertFile: file}); err == nil {
		t.Error("a file without a certificate was taken")
	}
}

func TestAStreamIsReadMessageByMessage(t *testing.T) {
	text := "retry: 2000\n\n: still here\n\nid: 7\nevent: alert\ndata: {\"a\":1}\n\nevent: gap\ndata: {\"skipped\":3}\n\nid: 9\nevent: alert\ndata: a\ndata: b\n\nid: 10\nevent: alert\ndata: cut off"
	s, got := serve(t, 200, "text/event-stream", text)
	var frames []string
	err := dial(t, Options{URL: s.URL}).Stream(t.Context(), "/events/stream", url.Values{"after": {"6"}}, func(f Frame) error {
		frames = append(frames, fmt.Sprintf("%s %s %q", f.ID, f.Event, f.Data))
		return nil
	})
	if !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
	want := []string{`7 alert "{\"a\":1}"`, `7 gap "{\"skipped\":3}"`, `9 alert "a\nb"`}
	if diff := cmp.Diff(want, frames); diff != "" || got.URI != "/api/v2/events/stream?after=6" {
		t.Errorf("%s, asked for %s", diff, got.URI)
	}
}

func TestAStreamEndsWithItsReader(t *testing.T) {
	s, _ := serve(t, 200, "text/event-stream", "data: a\n\ndata: b\n\n")
	enough := errors.New("enough")
	calls := 0
	err := dial(t, Options{URL: s.URL}).Stream(t.Context(), "/x", nil, func(Frame) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, then %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = dial(t, Options{URL: s.URL}).Stream(ctx, "/x", nil, func(Frame) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add("id: 7\nevent: alert\ndata: {\"a\":1}\n\n")
	f.Add(": x\r\ndata\ndata:\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := frames(strings.NewReader(text), func(f Frame) error {
			if len(f.Data) == 0 || len(f.Data) > len(text) {
				t.Errorf("a message of %d bytes in a text of %d", len(f.Data), len(text))
			}
			if _, err := json.Marshal(f); err != nil {
				t.Error(err)
			}
			return nil
		})
		if !errors.Is(err, io.EOF) {
			t.Errorf("the text ends with %v", err)
		}
	})
}

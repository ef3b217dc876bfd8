package outputstest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// server is an endpoint that keeps what it was sent.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
	conns    int
	answer   http.HandlerFunc // nil: the service accepts
}

// serve starts a server that lives until the test ends.
func (h HTTP) serve(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request: %v", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.requests = append(s.requests, newRequest(t, r, body))
		answer := s.answer
		s.mu.Unlock()
		if answer == nil {
			answer = h.accept
		}
		answer(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// accept answers as the service does when all is well.
func (h HTTP) accept(w http.ResponseWriter, r *http.Request) {
	if h.Answer == nil {
		fmt.Fprintln(w, "accepted")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Answer(w, r, body)
}

// answerWith changes the answer; nil means that the service accepts.
func (s *server) answerWith(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// take returns the requests since the last call.
func (s *server) take() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

// connections is how many connections have been opened.
func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// request is a recorded request.
type request struct {
	method, uri string
	header      http.Header
	body        string
}

func newRequest(t *testing.T, r *http.Request, body []byte) request {
	if r.Header.Get("Content-Encoding") == "gzip" {
		body = gunzip(t, body)
	}
	header := r.Header.Clone()
	for _, name := range []string{"Accept-Encoding", "Content-Length"} {
		header.Del(name)
	}
	return request{r.Method, r.RequestURI, header, string(body)}
}

func gunzip(t *testing.T, body []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Errorf("the body is not gzip: %v", err)
		return body
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Errorf("the body is not gzip: %v", err)
	}
	return plain
}

// shownBody is the longest body that a golden file holds in full, in bytes.
const shownBody = 8 << 10

// String is the request as golden files show it. The bytes of a longer body are pinned by
// their sum.
func (r request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.method, r.uri)
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, v := range r.header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteString("\n" + shorten(r.body))
	return b.String()
}

// shorten returns what a golden file shows of text: all of it, or its start and its sum.
func shorten(text string) string {
	switch {
	case len(text) > shownBody:
		return fmt.Sprintf("%s\n[%d bytes in all, sha256 %x]\n", strings.ToValidUTF8(text[:500], ""), len(text), sha256.Sum256([]byte(text)))
	case strings.HasSuffix(text, "\n"):
		return text
	}
	return text + "\n[no newline at the end]\n"
}

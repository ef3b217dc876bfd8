package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/outputs"
)

// exchange sends a request to a server that answers with handler.
func exchange(t *testing.T, handler http.HandlerFunc, limit int64, secrets ...string) (*http.Response, error) {
	t.Helper()
	known := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, known) })
	s := httptest.NewServer(handler)
	defer s.Close()
	client, err := New(Config{CheckCert: true}, outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/path/t0ken", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	return Exchange(client, req, limit, secrets...)
}

func TestAnExchangedAnswerIsInMemory(t *testing.T) {
	res, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "b")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "accepted s3cret")
	}, 15, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "accepted s3cret" || res.StatusCode != 201 || res.Header.Get("X-A") != "b" || res.ContentLength != 15 {
		t.Errorf("got %d %q (%v) of length %d", res.StatusCode, body, err, res.ContentLength)
	}
}

func TestAnAnswerThatIsNotWholeIsAnError(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"too long": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345678") },
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "7")
			_, _ = io.WriteString(w, "123")
		},
	} {
		if res, err := exchange(t, handler, 7); err == nil || outputs.Rejected(err) {
			t.Errorf("%s: got %v, %v", name, res, err)
		}
	}
}

func TestARefusalIsKeptInPartAndWithoutSecrets(t *testing.T) {
	res, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "no s3cret, s3cret-longer: "+strings.Repeat("x", 2*MaxAnswer))
	}, 1<<20, "s3cret", "", "s3cret-longer")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.HasPrefix(string(body), "no [hidden], [hidden]: x") || len(body) > MaxAnswer+64 {
		t.Errorf("got %d bytes, %.40q (%v)", len(body), body, err)
	}
}

func TestAFailedExchangeShowsNoAddress(t *testing.T) {
	_, err := exchange(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1)
	if err == nil || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("got %v", err)
	}
}

func TestAnExchangeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Exchange(s.Client(), req, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOneLineIsFitForALog(t *testing.T) {
	if got := OneLine(" a\n\tb\x00c\xff "); got != "a b c\uFFFD" {
		t.Errorf("got %q", got)
	}
	if got := OneLine(strings.Repeat("é", 1000)); len(got) > 520 || !strings.HasSuffix(got, "é…") {
		t.Errorf("got %d bytes, %s", len(got), fmt.Sprint(got[len(got)-8:]))
	}
}

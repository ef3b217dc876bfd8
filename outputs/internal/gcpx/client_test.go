package gcpx_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs/internal/gcpx"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const scope = "https://www.googleapis.com/auth/pubsub"

// open makes a client of account's. It is closed when the test ends.
func open(t *testing.T, account *gcpxtest.Account) *gcpx.Client {
	t.Helper()
	h, err := httpx.New(httpx.Config{CheckCert: true}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	c := gcpx.NewClient(gcpx.Config{Credentials: config.NewSecret(account.Credentials)}, h, scope)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// answer starts a service that gives the same answer to everybody with a token.
func answer(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !gcpxtest.Check(r) {
			t.Errorf("the request has the token %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestATokenIsGotOnceAndForTheScope(t *testing.T) {
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	c := open(t, account)
	address := answer(t, 200, "{}")
	for range 3 {
		if _, err := c.Post(t.Context(), address, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := account.Given(); n != 1 {
		t.Errorf("%d tokens were got, want 1", n)
	}
	if got := account.Claim("scope"); got != scope {
		t.Errorf("the token is for %v, want %s", got, scope)
	}
}

func TestARefusedTokenIsReplaced(t *testing.T) {
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	c := open(t, account)
	var refuse atomic.Bool
	refuse.Store(true)
	var tokens []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		if refuse.Swap(false) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	if _, err := c.Post(t.Context(), s.URL, nil, nil); outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("a refused token is %q (%v), want held", outputstest.OutcomeOf(err), err)
	}
	if _, err := c.Post(t.Context(), s.URL, nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Errorf("the requests had the tokens %q, want two", tokens)
	}
}

func TestAnAccountThatIsRefusedIsHeld(t *testing.T) {
	outputstest.NoLeak(t)
	for status, want := range map[int]outputstest.Outcome{
		400: outputstest.Held, 401: outputstest.Held, 403: outputstest.Held,
		429: outputstest.NotNow, 500: outputstest.NotNow, 503: outputstest.NotNow,
	} {
		account := gcpxtest.New(t)
		account.Answer(status)
		c := open(t, account)
		_, err := c.Post(t.Context(), "http://127.0.0.1:1", nil, nil)
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%d of the token endpoint is %q (%v), want %q", status, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error %q shows an address", err)
		}
	}
}

func TestWhatIsNoKeyIsHeld(t *testing.T) {
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	account.Credentials = "eyJ0eXBlIjoic2VydmljZV9hY2NvdW50In0=" // {"type":"service_account"}
	_, err := open(t, account).Post(t.Context(), "http://127.0.0.1:1", nil, nil)
	if outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("got %v, want an error that holds", err)
	}
}

func TestTheBodyOfAnAnswerDecides(t *testing.T) {
	outputstest.NoLeak(t)
	for name, c := range map[string]struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		"an invalid argument is the event's fault": {400, `{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`, outputstest.Rejected},
		"a disabled key has to be mended":          {400, `{"error":{"code":400,"status":"FAILED_PRECONDITION"}}`, outputstest.Held},
		"a missing permission has to be mended":    {403, `{"error":{"code":403,"status":"PERMISSION_DENIED"}}`, outputstest.Held},
		"too many requests pass with 403":          {403, `{"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}]}}`, outputstest.NotNow},
		"an exhausted quota passes":                {429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`, outputstest.NotNow},
		"what is no JSON counts by its status":     {400, `Bad Request`, outputstest.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, gcpxtest.New(t)).Post(t.Context(), answer(t, c.status, c.body), nil, nil)
			if got := outputstest.OutcomeOf(err); got != c.want || gcpx.Status(err) != c.status {
				t.Errorf("%d %s is %q with status %d (%v), want %q", c.status, c.body, got, gcpx.Status(err), err, c.want)
			}
		})
	}
}

func TestAnIDTokenIsForItsAudience(t *testing.T) {
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	h, err := httpx.New(httpx.Config{CheckCert: true}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	c := gcpx.NewIDClient(gcpx.Config{Credentials: config.NewSecret(account.Credentials)}, h, "https://falco.run.app")
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Post(t.Context(), answer(t, 200, ""), nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := account.Claim("target_audience"); got != "https://falco.run.app" {
		t.Errorf("the token is for %v", got)
	}
}

func TestAnEndedContextAsksForNoToken(t *testing.T) {
	outputstest.NoLeak(t)
	account := gcpxtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, account).Post(ctx, "http://127.0.0.1:1", nil, nil); err == nil {
		t.Error("there is no error")
	}
	if n := account.Given(); n != 0 {
		t.Errorf("%d tokens were got", n)
	}
}

func FuzzAnyAnswerIsJudgedByItsStatusAtLeast(f *testing.F) {
	for _, body := range []string{
		`{"error":{"status":"FAILED_PRECONDITION","errors":[{"reason":"rateLimitExceeded"}]}}`, `{"error":"invalid_grant"}`, `[]`, "",
	} {
		f.Add(400, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status/100 == 2 {
			return
		}
		err := gcpx.Judge(status, http.Header{}, []byte(body))
		if err == nil || gcpx.Status(err) != status {
			t.Errorf("%d with %q is %v", status, body, err)
		}
	})
}

package httpx

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestOnlyAnAbsoluteWebAddressIsAccepted(t *testing.T) {
	for address, want := range map[string]string{
		"https://example.com":           "",
		"http://user:pw@h:8080/a/b?c=d": "",
		"HTTPS://[::1]:443/":            "",
		"":                              "begins with http",
		"example.com/token":             "begins with http",
		"//example.com/token":           "begins with http",
		"ftp://example.com/token":       "begins with http",
		"nats://example.com/token":      "begins with http",
		"https:///token":                "with a host",
		"https:token":                   "with a host",
		"https://:443/token":            "with a host",
		"https://h:port/token":          "must be a URL",
		"https://h/%zztoken":            "must be a URL",
		"https://h/\x7ftoken":           "must be a URL",
		"https://h/#token":              "without a fragment",
		" https://example.com/token":    "must be a URL",
	} {
		err := CheckURL(address)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want an error with %q", address, err, want)
		case err != nil && strings.Contains(err.Error(), "token"):
			t.Errorf("%q: the error %q shows the address", address, err)
		}
	}
}

func TestARedirectIsFollowedOnlyToTheSameService(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"https://h/a", "https://h/b", true},
		{"https://h/a", "https://H/b", true},
		{"http://h/a", "https://h/a", true},
		{"http://h:80/a", "https://h:8443/a", true},
		{"https://h/a", "http://h/a", false},
		{"https://h/a", "https://h:8443/a", false},
		{"https://h/a", "https://h.evil/a", false},
		{"http://h/a", "https://evil/a", false},
		{"http://h/a", "ftp://h/a", false},
	} {
		from, _ := url.Parse(c.from)
		to, _ := url.Parse(c.to)
		if got := sameService(from, to); got != c.want {
			t.Errorf("%s to %s: got %t, want %t", c.from, c.to, got, c.want)
		}
	}
}

func TestEncodeIsTheBytesThatReceiversKnow(t *testing.T) {
	got, err := Encode(map[string]any{"b": "<&>\u2028é", "a": 1})
	if want := `{"a":1,"b":"\u003c\u0026\u003e\u2028é"}` + "\n"; err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	if _, err := Encode(func() {}); !outputs.Rejected(err) {
		t.Errorf("a payload without JSON gives %v, want it rejected", err)
	}
}

func TestHeadersAreTheDefaultsUnlessReplaced(t *testing.T) {
	outputstest.NoLeak(t)
	var got http.Header
	var host string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, host = r.Header.Clone(), r.Host
	}))
	defer s.Close()
	for _, c := range []struct {
		agent  string
		header http.Header
		want   map[string]string
		host   string
	}{
		{"Saker/1.2", nil, map[string]string{"Content-Type": ContentType, "User-Agent": "Saker/1.2"}, s.Listener.Addr().String()},
		{"", nil, map[string]string{"User-Agent": "Saker"}, s.Listener.Addr().String()},
		{
			"Saker/1.2",
			http.Header{"Content-Type": {"text/plain"}, "User-Agent": {"mine"}, "X-A": {"b"}, "Host": {"other.example"}},
			map[string]string{"Content-Type": "text/plain", "User-Agent": "mine", "X-A": "b"},
			"other.example",
		},
	} {
		client := newClient(t, Config{CheckCert: true}, outputs.Env{UserAgent: c.agent})
		if _, err := Do(t.Context(), client, http.MethodPut, s.URL, nil, c.header); err != nil {
			t.Fatal(err)
		}
		for name, want := range c.want {
			if got.Get(name) != want {
				t.Errorf("agent %q, header %v: %s is %q, want %q", c.agent, c.header, name, got.Get(name), want)
			}
		}
		if host != c.host {
			t.Errorf("the host is %q, want %q", host, c.host)
		}
	}
}

func TestSetHeadersReplacesInAnyCase(t *testing.T) {
	h := http.Header{"Content-Type": {"a"}}
	SetHeaders(h, Headers{"content-type": config.NewSecret("b"), "x-new": config.NewSecret("c")})
	if diff := cmp.Diff(http.Header{"Content-Type": {"b"}, "X-New": {"c"}}, h); diff != "" {
		t.Error(diff)
	}
}

func TestNoMoreThanTheLimitOfAnAnswerIsRead(t *testing.T) {
	outputstest.NoLeak(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 4*MaxAnswer))
	}))
	defer s.Close()
	answer, err := post(t, newClient(t, Config{}, outputs.Env{}), s.URL)
	if err != nil || len(answer) != MaxAnswer {
		t.Errorf("read %d bytes (%v), want %d", len(answer), err, MaxAnswer)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// endless is a body that never ends and never comes.
type endless struct {
	closed chan struct{}
	close  func()
}

func newEndless() endless {
	closed := make(chan struct{})
	return endless{closed, sync.OnceFunc(func() { close(closed) })}
}

func (b endless) Read([]byte) (int, error) {
	<-b.closed
	return 0, http.ErrBodyReadAfterClose
}

func (b endless) Close() error {
	b.close()
	return nil
}

func TestTheStatusCountsWhenTheRestOfTheAnswerNeverComes(t *testing.T) {
	for status, want := range map[int]outputstest.Outcome{202: outputstest.Delivered, 400: outputstest.Rejected, 503: outputstest.NotNow} {
		synctest.Test(t, func(t *testing.T) {
			client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: newEndless()}, nil
			})}
			begin := time.Now()
			_, err := Do(t.Context(), client, http.MethodPost, "http://h/", nil, nil)
			if got := outputstest.OutcomeOf(err); got != want {
				t.Errorf("status %d is %q (%v), want %q", status, got, err, want)
			}
			if took := time.Since(begin); took != answerTime {
				t.Errorf("status %d: waited %v for the rest, want %v", status, took, answerTime)
			}
		})
	}
}

// The test runs itself in another process, because Go reads the proxy variables once.
func TestTheProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if proxy := os.Getenv("HTTP_PROXY"); os.Getenv("SAKER_TEST_CHILD") == "1" {
		answer, err := post(t, newClient(t, Config{}, outputs.Env{}), "http://saker.invalid/events")
		if strings.Contains(proxy, "s3cret") {
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("with a malformed proxy the error is %v", err)
			}
		} else if err != nil || answer != "proxied http://saker.invalid/events" {
			t.Errorf("the answer is %q (%v)", answer, err)
		}
		return
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "proxied "+r.RequestURI)
	}))
	defer s.Close()
	for _, proxy := range []string{s.URL, "http://user:s3cret@%zz"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = []string{"SAKER_TEST_CHILD=1", "HTTP_PROXY=" + proxy}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func BenchmarkPostJSON(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer s.Close()
	client, err := New(Config{}, outputs.Env{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdleConnections()
	payload := map[string]string{"text": strings.Repeat("x", 500)}
	b.ReportAllocs()
	for b.Loop() {
		if err := PostJSON(b.Context(), client, s.URL, payload, nil); err != nil {
			b.Fatal(err)
		}
	}
}

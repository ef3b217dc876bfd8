package httpx

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// tunnel is a proxy that speaks CONNECT, wants a password, and passes plain requests on.
type tunnel struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string // method and target of each request
	refuse int      // the status it answers instead
	tasks  sync.WaitGroup
}

const proxyPassword = "pr0xy-pa55"

func newTunnel(t *testing.T) *tunnel {
	t.Helper()
	p := &tunnel{}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.Close()
		p.tasks.Wait()
	})
	return p
}

// address is the proxy's URL with the password in it.
func (p *tunnel) address() string {
	return "http://saker:" + proxyPassword + "@" + p.Listener.Addr().String()
}

func (p *tunnel) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	refuse := p.refuse
	p.mu.Unlock()
	if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("saker:"+proxyPassword)) {
		refuse = http.StatusProxyAuthRequired
	}
	if refuse != 0 {
		w.WriteHeader(refuse)
		return
	}
	if r.Method != http.MethodConnect {
		_, _ = io.WriteString(w, "passed on")
		return
	}
	to, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		to.Close()
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.tasks.Go(func() { pipe(to, buffered.Reader) })
	p.tasks.Go(func() { pipe(from, bufio.NewReader(to)) })
}

// pipe copies until one side ends, and then ends the other.
func pipe(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	to.Close()
}

// take returns what was asked since the last call.
func (p *tunnel) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := strings.Join(p.asked, ", ")
	p.asked = nil
	return asked
}

func TestAnOutputsOwnProxyIsUsed(t *testing.T) {
	outputstest.NoLeak(t)
	p := newTunnel(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "through the tunnel") }))
	defer secure.Close()
	client := newClient(t, Config{Proxy: config.NewSecret(p.address())}, outputs.Env{})

	answer, err := post(t, client, secure.URL+"/events")
	if err != nil || answer != "through the tunnel" {
		t.Errorf("over https: got %q, %v", answer, err)
	}
	if got, want := p.take(), "CONNECT "+secure.Listener.Addr().String(); got != want {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
	answer, err = post(t, client, "http://saker.invalid/events")
	if err != nil || answer != "passed on" {
		t.Errorf("over http: got %q, %v", answer, err)
	}
	if got, want := p.take(), "POST http://saker.invalid/events"; got != want {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, secure.URL+"/sdk", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Exchange(client, req, 100)
	if err != nil {
		t.Fatalf("a library's request: %v", err)
	}
	res.Body.Close()
	client.CloseIdleConnections()
}

func TestAProxyThatRefusesHoldsTheQueueAndOneThatFailsDoesNot(t *testing.T) {
	outputstest.NoLeak(t)
	p := newTunnel(t)
	client := newClient(t, Config{Proxy: config.NewSecret(p.address())}, outputs.Env{})
	wrong := newClient(t, Config{Proxy: config.NewSecret(strings.Replace(p.address(), "saker:", "other:", 1))}, outputs.Env{})
	for _, c := range []struct {
		name   string
		client *http.Client
		status int
		want   outputstest.Outcome
		text   string
	}{
		{"a wrong password", wrong, 0, outputstest.Held, "the proxy answered 407 Proxy Authentication Required"},
		{"a forbidden target", client, 403, outputstest.Held, "the proxy answered 403 Forbidden"},
		{"an overloaded proxy", client, 503, outputstest.NotNow, "the proxy answered 503 Service Unavailable"},
	} {
		p.mu.Lock()
		p.refuse = c.status
		p.mu.Unlock()
		_, err := post(t, c.client, "https://saker.invalid/events")
		if got := outputstest.OutcomeOf(err); got != c.want || err == nil || err.Error() != c.text {
			t.Errorf("%s is %q (%v), want %q (%s)", c.name, got, err, c.want, c.text)
		}
	}
	p.Close()
	_, err := post(t, client, "https://saker.invalid/events")
	if outputstest.OutcomeOf(err) != outputstest.NotNow || strings.Contains(fmt.Sprintf("%v %+v", err, err), proxyPassword) {
		t.Errorf("a proxy that is down is %v", err)
	}
}

func TestNoneGoesPastTheEnvironmentsProxies(t *testing.T) {
	choose, err := proxyFor(noProxy)
	if err != nil || choose != nil {
		t.Errorf("none has a proxy (%v)", err)
	}
}

func TestAProxysAddressIsCheckedWithoutShowingIt(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "none": true, "http://p:3128": true, "https://u:s3cret@p": true, "socks5://[::1]:1080": true, "socks5h://p": true,
		"p:3128": false, "ftp://u:s3cret@p": false, "http://": false, "http://u:s3cret@%zz": false, "none ": false, "//u:s3cret@p": false,
	} {
		err := Config{Proxy: config.NewSecret(address)}.Validate()
		if (err == nil) != ok {
			t.Errorf("%q: got %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error %q shows the address", address, err)
		}
		if _, newErr := New(Config{Proxy: config.NewSecret(address)}, outputs.Env{}); (newErr == nil) != ok {
			t.Errorf("%q: New returns %v", address, newErr)
		}
	}
}

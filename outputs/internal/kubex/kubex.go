// Package kubex is a small client of the Kubernetes API for the outputs that speak to it:
// one request, one answer, one error that says what it means for delivery.
//
// Where the API server is and who we are comes from the pod's service account or from a
// kubeconfig file, with all of its ways to authenticate: token, token file, client
// certificate, password and credential plugin. Files are read again when they have changed,
// for tokens and certificates are replaced while we run. Connections, proxies and limits
// are those of httpx.
//
// Invariants: no error shows a credential or a URL; no answer is read beyond MaxAnswer;
// nothing outlives ctx.
package kubex

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// MaxAnswer is the longest answer that is read, in bytes. The API server's store takes no
// object of more than 1.5 MiB.
const MaxAnswer = 4 << 20

// checkEvery is how often files of the configuration are looked at, at most.
const checkEvery = 5 * time.Second

// Settings say which API server to speak to, and as whom.
type Settings struct {
	// Kubeconfig is the path of a kubeconfig file or its text; "" for the pod's service
	// account.
	Kubeconfig string
	// PreferPod takes the pod's service account, if there is one, before Kubeconfig.
	PreferPod bool
	// Proxy is an address as the key proxy of httpx.Config has it. When it is empty the
	// kubeconfig's own proxy-url counts, and then the environment's.
	Proxy string
}

// Client speaks to one API server. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	origin origin
	log    *slog.Logger

	current atomic.Pointer[session]
	tls     atomic.Pointer[tls.Config] // of current, with a plugin's certificate

	mu      sync.Mutex // guards what follows and the change of current
	checked time.Time
	refused string // version of files that did not load, which is said once
}

// New makes a Client. It reads the files, so that a missing or malformed one is an error
// here, but never touches the network and runs no plugin.
func New(s Settings, env outputs.Env) (*Client, error) {
	o, err := s.origin(accountFolder)
	if err != nil {
		return nil, err
	}
	return open(o, env)
}

func open(o origin, env outputs.Env) (*Client, error) {
	o.shared = env.TLS
	c := &Client{origin: o, log: env.Log, checked: time.Now()}
	now, err := o.load()
	if err != nil {
		return nil, err
	}
	c.current.Store(now)
	c.tls.Store(now.tls)
	c.http = httpx.NewCustom(tlsSource{c}, c.proxy, env)
	return c, nil
}

// tlsSource gives the connections the settings in force.
type tlsSource struct{ *Client }

// Config implements httpx.TLSSource.
func (s tlsSource) Config() *tls.Config { return s.tls.Load() }

func (c *Client) proxy(req *http.Request) (*url.URL, error) {
	if choose := c.current.Load().proxy; choose != nil {
		return choose(req)
	}
	return nil, nil
}

// Namespace is the pod's own namespace, or that of the kubeconfig's context; "" for none.
func (c *Client) Namespace() string { return c.current.Load().namespace }

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Path joins segments, escaped, to an absolute path. A name from outside is first checked by
// CheckName, for no escape keeps . and .. from meaning another folder.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// Do sends body, if any, to path on the API server and returns the body of a 2xx answer.
// Content-Type is application/json; header replaces it and adds to it, and may be nil. Any
// other answer is an *Error within one of the classes of package outputs. Credentials that
// the server does not take are renewed, where that is possible, and tried once more.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	c.renew()
	s := c.current.Load()
	for again := false; ; again = true {
		cred, err := s.auth.credential(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := c.once(ctx, s, cred, method, path, body, header)
		if e, ok := errors.AsType[*Error](err); again || !ok || e.Code != http.StatusUnauthorized || !s.auth.expire(cred) {
			return answer, err
		}
	}
}

func (c *Client) once(ctx context.Context, s *session, cred credential, method, path string, body []byte, header http.Header) ([]byte, error) {
	if cred.certificate != nil {
		c.present(s, cred.certificate)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the API server's address is not a valid URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	maps.Copy(req.Header, s.header)
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if cred.authorization != "" {
		req.Header.Set("Authorization", cred.authorization)
	}
	res, err := httpx.Exchange(c.http, req, MaxAnswer, cred.secrets()...) //nolint:bodyclose // it has been read whole
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(res.Body) // in memory already
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, statusError(res.StatusCode, res.Header, answer)
	}
	return answer, nil
}

// present makes new connections show a certificate that a plugin has issued.
func (c *Client) present(s *session, cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.Load() != s {
		return
	}
	if now := c.tls.Load(); len(now.Certificates) == 1 && bytes.Equal(now.Certificates[0].Certificate[0], cert.Certificate[0]) {
		return
	}
	settings := s.tls.Clone()
	settings.Certificates = []tls.Certificate{*cert}
	c.tls.Store(settings)
}

// renew loads the files again when they have changed. Files that do not load leave the
// earlier ones in force: an operator who is half-way through must not stop delivery.
func (c *Client) renew() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < checkEvery {
		return
	}
	c.checked = now
	c.reload()
}

func (c *Client) reload() {
	files := c.current.Load().files
	v := version(files)
	if v == loaded(files) {
		return
	}
	// What was refused is tried again: it may name a file that was not there yet.
	s, err := c.origin.load()
	if err != nil {
		if c.log != nil && v != c.refused {
			c.log.Warn("the files for the Kubernetes API have changed but cannot be used, the earlier ones stay in force", "error", err)
		}
		c.refused = v
		return
	}
	c.refused = ""
	c.tls.Store(s.tls) // first: new credentials are not shown to a server the old settings trust
	c.current.Store(s)
}

// session is what the configuration says, loaded.
type session struct {
	server    string // URL without a slash at the end
	namespace string
	tls       *tls.Config
	proxy     func(*http.Request) (*url.URL, error)
	header    http.Header // of impersonation
	auth      authority
	files     []file // whose change means to load again
}

// authority is where a session gets its credentials from.
type authority interface {
	// credential returns what the next request shows.
	credential(ctx context.Context) (credential, error)
	// expire forgets a credential that was not taken, and reports whether there may be a
	// newer one.
	expire(used credential) bool
}

// credential is what one request shows of who we are.
type credential struct {
	authorization string
	certificate   *tls.Certificate
	password      string // a part of authorization that could show in another form
}

// secrets are what an answer must not show. To hide texts of few letters would keep no
// secret, and spoil the answer.
func (c credential) secrets() []string {
	_, token, _ := strings.Cut(c.authorization, " ")
	all := []string{c.authorization, token, c.password}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < shortest })
}

// shortest is the length of the shortest text that counts as a secret, in bytes.
const shortest = 4

// static is a credential that does not change.
type static credential

func (s static) credential(context.Context) (credential, error) { return credential(s), nil }
func (s static) expire(credential) bool                         { return false }

package httpx

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
)

// transport sends requests, names the sender, and renews itself when a certificate file
// has changed.
type transport struct {
	agents []string // the one value of User-Agent
	tls    TLSSource
	proxy  func(*http.Request) (*url.URL, error)

	mu      sync.Mutex // guards the making of a new current
	current atomic.Pointer[conns]
	target  atomic.Pointer[target]
}

// conns are the connections made with the same TLS settings.
type conns struct {
	*http.Transport
	settings *tls.Config
}

func newTransport(agent string, source TLSSource, proxy func(*http.Request) (*url.URL, error)) *transport {
	t := &transport{agents: []string{agent}, tls: source, proxy: proxy}
	settings := source.Config()
	t.current.Store(&conns{newRoundTripper(settings.Clone(), proxy), settings})
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.conns()
	if req.Header.Get("User-Agent") == "" {
		req = req.WithContext(req.Context()) // a copy: a RoundTripper must not change its request
		req.Header = req.Header.Clone()
		req.Header["User-Agent"] = t.agents
	}
	return c.RoundTrip(req)
}

// target is an address, parsed.
type target struct {
	address string
	url     *url.URL
}

// parse parses an address, the same as the last time without any work: most outputs have
// only one.
func (t *transport) parse(address string) (*url.URL, error) {
	if last := t.target.Load(); last != nil && last.address == address {
		return last.url, nil
	}
	u, err := url.Parse(address)
	if err == nil {
		t.target.Store(&target{address, u})
	}
	return u, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (t *transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }

// conns returns the connections to use: new ones when certificate files have changed.
func (t *transport) conns() *conns {
	c, settings := t.current.Load(), t.tls.Config()
	if c.settings == settings {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c = t.current.Load(); c.settings == settings {
		return c
	}
	fresh := &conns{newRoundTripper(settings.Clone(), t.proxy), settings}
	t.current.Store(fresh)
	c.CloseIdleConnections()
	return fresh
}

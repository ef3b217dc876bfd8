package httpx

import (
	"cmp"
	"crypto/tls"
	"net/http"
	"net/url"

	"github.com/saker-security/saker/outputs"
)

// TLSSource is where a client gets its TLS settings from. Config returns the same pointer
// until they have changed, for another one costs all connections, and may be called by
// several goroutines at once. What it points to is not changed.
type TLSSource interface{ Config() *tls.Config }

// NewCustom makes a client like that of New whose TLS settings and proxy are not those of a
// Config: they come from source, and from proxy for each new connection. A nil proxy is
// none.
func NewCustom(source TLSSource, proxy func(*http.Request) (*url.URL, error), env outputs.Env) *http.Client {
	return &http.Client{
		Transport:     newTransport(cmp.Or(env.UserAgent, defaultAgent), source, proxy),
		CheckRedirect: checkRedirect,
	}
}

// ProxyOf returns what chooses the proxy of a request by an address as the key proxy of
// Config has it; nil for none. The error does not show the address.
func ProxyOf(address string) (func(*http.Request) (*url.URL, error), error) { return proxyFor(address) }

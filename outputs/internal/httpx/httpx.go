// Package httpx is the HTTP client that outputs share: one well-tuned transport, one way
// to post, one reading of what an answer means for delivery.
//
// An output embeds Config in its own configuration, makes a client with New when it is
// built, and calls PostJSON (or Do, for anything else) in Send. The error it gets back is
// already of the class that deliver expects, as StatusError tells: nil for any 2xx,
// outputs.Reject when the event is at fault, outputs.Hold when somebody has to mend the
// endpoint or the configuration, a plain error when it may work later.
//
// Invariants: no error shows a URL, a request header or what an endpoint repeats of them,
// because tokens live there; no answer is read beyond MaxAnswer; nothing outlives ctx.
package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

// Config are the keys that every output with this client has.
type Config struct {
	CheckCert bool          `key:"checkcert" default:"true" doc:"Verify the endpoint's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath to the endpoint. The endpoint's certificate is then always verified."`
	Proxy     config.Secret `key:"proxy" doc:"URL of the proxy for this output: http, https or socks5, with user and password if need be. Empty for what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, none for no proxy."`
}

// Validate checks the proxy.
func (c Config) Validate() error { return config.At("proxy", CheckProxy(c.Proxy.Reveal())) }

// Limits of the transport. The time a whole request may take is ctx's.
const (
	dialTimeout      = 30 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	pingTimeout      = 15 * time.Second // a dead HTTP/2 connection is noticed after two of these
	maxIdleConns     = 128              // as many as requests that one output has under way, and more
	maxAnswerHeader  = 64 << 10
	maxRedirects     = 5
)

// defaultAgent is what requests name when the environment names nothing.
const defaultAgent = "Saker"

// New makes a client for c. The authorities it trusts are the system's and those of
// env.TLS. It reads certificate files, so that a missing or malformed one is an error here
// and not at the first event, and reads them again when they have changed. It does not
// touch the network.
//
// The client has no timeout of its own: each request ends with its context. A redirect is
// followed only when it keeps the method and the host (or goes from http to https on the
// same host); any other answer of class 3xx is an error, because following it would turn
// a POST into an empty GET or show a token to a stranger.
func New(c Config, env outputs.Env) (*http.Client, error) {
	proxy, err := proxyFor(c.Proxy.Reveal())
	if err != nil {
		return nil, fmt.Errorf("proxy %w", err)
	}
	source, err := tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     newTransport(cmp.Or(env.UserAgent, defaultAgent), source, proxy),
		CheckRedirect: checkRedirect,
	}, nil
}

// newRoundTripper makes the transport proper, with the given TLS settings and proxy.
func newRoundTripper(settings *tls.Config, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyAnswered,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext,
		TLSClientConfig:        settings,
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	from, to := via[len(via)-1], req
	if len(via) > maxRedirects || to.Method != via[0].Method || !sameService(from.URL, to.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

// sameService reports whether to may be told what from was told.
func sameService(from, to *url.URL) bool {
	if from.Scheme == "http" && to.Scheme == "https" {
		return strings.EqualFold(from.Hostname(), to.Hostname())
	}
	return from.Scheme == to.Scheme && strings.EqualFold(from.Host, to.Host)
}

// CheckURL reports what is wrong with an address from the configuration: it must be an
// absolute http or https URL with a host. The error does not show the address.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("must be a URL such as https://host/path")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be a URL that begins with http:// or https://")
	case u.Hostname() == "":
		return errors.New("must be a URL with a host, such as https://host/path")
	case u.Fragment != "":
		return errors.New("must be a URL without a fragment (#)")
	}
	return nil
}

// PostJSON posts payload, encoded by Encode, to address. Its headers are those of Header,
// then those of header, which may be nil.
func PostJSON(ctx context.Context, client *http.Client, address string, payload any, header http.Header) error {
	body, err := Encode(payload)
	if err != nil {
		return err
	}
	_, err = Do(ctx, client, http.MethodPost, address, body, header)
	return err
}

package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/saker-security/saker/outputs"
)

// noProxy is the value of Config.Proxy that goes past the environment's proxies.
const noProxy = "none"

// CheckProxy reports what is wrong with a proxy's address from the configuration, which
// may also be empty or none. The error does not show the address.
func CheckProxy(address string) error {
	_, err := proxyFor(address)
	return err
}

// proxyFor returns what chooses the proxy of a request, nil for none.
func proxyFor(address string) (func(*http.Request) (*url.URL, error), error) {
	switch address {
	case "":
		return environmentProxy, nil
	case noProxy:
		return nil, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("must be a URL such as http://proxy:3128, or none")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return nil, errors.New("must be a URL that begins with http://, https:// or socks5://, or none")
	case u.Hostname() == "":
		return nil, errors.New("must be a URL with a host, such as http://proxy:3128")
	}
	return http.ProxyURL(u), nil
}

// environmentProxy is http.ProxyFromEnvironment without the proxy's URL in its error: it
// may hold a password.
func environmentProxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("the proxy that the environment names is not a URL")
	}
	return u, nil
}

// proxyAnswered classes what a proxy answers to CONNECT: what it refuses, somebody has to
// allow.
func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	err := fmt.Errorf("the proxy answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	if class(res.StatusCode) == later {
		return err
	}
	return outputs.Hold(err)
}

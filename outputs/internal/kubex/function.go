package kubex

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Function is a function of the cluster that is called with each event: at the address of
// its service, or through the API server's proxy of it when there is a kubeconfig, for whom
// the cluster's own addresses are out of reach.
type Function struct {
	// Namespace, Service and Port are the service that answers for the function.
	Namespace, Service string
	Port               int
	// Host is the service's address for Direct: "gateway.openfaas".
	Host string
	// Path is the function's own, "" or with a slash at the start.
	Path string
	// Direct and Proxied are the headers of either way, beside Content-Type.
	Direct, Proxied func(e event.Event) http.Header
}

// Caller is a Sender that calls a Function.
type Caller struct {
	Function
	http *http.Client // nil with a kubeconfig
	kube *Client      // nil without one
	path string       // address or path for either
}

// NewCaller makes a Sender that calls f. It does not touch the network.
func NewCaller(f Function, c httpx.Config, kubeconfig string, env outputs.Env) (*Caller, error) {
	port := strconv.Itoa(f.Port)
	if kubeconfig == "" {
		client, err := httpx.New(c, env)
		if err != nil {
			return nil, err
		}
		return &Caller{Function: f, http: client, path: "http://" + f.Host + ":" + port + f.Path}, nil
	}
	kube, err := New(Settings{Kubeconfig: kubeconfig, Proxy: c.Proxy.Reveal()}, env)
	if err != nil {
		return nil, err
	}
	path := Path("api", "v1", "namespaces", f.Namespace, "services", f.Service+":"+port, "proxy")
	return &Caller{Function: f, kube: kube, path: path + cmp.Or(f.Path, "/")}, nil
}

// Send calls the function with one event.
func (c *Caller) Send(ctx context.Context, batch []event.Event) error {
	e := batch[0]
	body := e.AppendJSON(make([]byte, 0, 1536))
	if c.kube != nil {
		_, err := c.kube.Do(ctx, http.MethodPost, c.path, body, c.Proxied(e))
		return err
	}
	_, err := httpx.Do(ctx, c.http, http.MethodPost, c.path, append(body, '\n'), c.Direct(e))
	return err
}

// Close lets go of idle connections.
func (c *Caller) Close() error {
	if c.kube != nil {
		return c.kube.Close()
	}
	c.http.CloseIdleConnections()
	return nil
}

// EventID is the header with the event's UUID, the same in every attempt.
func EventID(e event.Event) http.Header {
	h := http.Header{}
	if e.UUID != "" {
		h.Set("event-id", e.UUID)
	}
	return h
}

// CheckName reports whether name can be a part of a path or of a host's name.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return errors.New("must be a name of letters, digits, -, _ and . that begins and ends with a letter or digit")
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// CheckPort reports whether port is one of TCP.
func CheckPort(port int) error {
	if port < 1 || port > 65535 {
		return errors.New("must be a port from 1 to 65535")
	}
	return nil
}

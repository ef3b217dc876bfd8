// Package unixhttp is the client of runtimes that speak HTTP over a Unix socket: Docker and
// Podman. It bounds what a runtime may answer.
package unixhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/saker-security/saker/sensor/container"
)

// MaxAnswer is how many bytes of one answer or event are read, MaxList how many of a list. A
// container's description has some kilobytes, a list of a thousand containers about a
// megabyte. Whoever is behind the socket may be hostile, and what is read takes several times
// as much memory.
const (
	MaxAnswer = 1 << 20
	MaxList   = 16 << 20
)

// Client speaks to the server behind one socket.
type Client struct{ http http.Client }

// New returns a client. It does not connect.
func New(socket string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		MaxIdleConns:       4,
		DisableCompression: true,
	}}}
}

// Close ends the idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Get reads the JSON at path, which may have a query, into the value that into points to,
// and returns the answer's header. The error is container.ErrUnknown for status 404.
func (c *Client) Get(ctx context.Context, path string, into any) (http.Header, error) {
	return c.get(ctx, path, into, MaxAnswer)
}

// List is Get for a list.
func (c *Client) List(ctx context.Context, path string, into any) error {
	_, err := c.get(ctx, path, into, MaxList)
	return err
}

func (c *Client) get(ctx context.Context, path string, into any, limit int64) (http.Header, error) {
	resp, err := c.request(ctx, path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if into == nil {
		return resp.Header, nil
	}
	body := &io.LimitedReader{R: resp.Body, N: limit}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		if body.N <= 0 {
			return nil, fmt.Errorf("%s: the answer has more than %d bytes", path, limit)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return resp.Header, nil
}

func (c *Client) request(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runtime"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	// What is left of a short body is read, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 4096)
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, container.ErrUnknown
	}
	return nil, fmt.Errorf("%s: the runtime answers %s", path, resp.Status)
}

// event is one object of the stream that Docker and Podman share.
type event struct {
	Action string
	Actor  struct{ ID string }
}

// Events reads the stream of events at path and calls changed for each that makes, starts or
// removes a container, until ctx or the connection ends. It never returns nil.
func (c *Client) Events(ctx context.Context, path string, changed func(container.Change)) error {
	resp, err := c.request(ctx, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// The limit holds for each object of the endless stream.
	body := &io.LimitedReader{R: resp.Body, N: MaxAnswer}
	for dec := json.NewDecoder(body); ; {
		var e event
		if err := dec.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read events: %w", err)
		}
		body.N = MaxAnswer
		switch e.Action {
		case "create", "start":
			changed(container.Change{ID: e.Actor.ID})
		case "destroy", "remove":
			changed(container.Change{ID: e.Actor.ID, Removed: true})
		}
	}
}

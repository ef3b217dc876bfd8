// Package client talks to a running forwarder for the commands that look after it: it asks
// the API of the page, follows its stream of alerts, and posts events to where alerts are
// taken.
//
//	saker deadletters, events, route, silence ── client ── HTTP ──▶ forwarder/api
//	saker events send ───────────────────────── client ── HTTP ──▶ forwarder/ingest
//
// Credentials go to the server that was named and to no other: redirects are not followed.
// Answers are bounded. Errors tell apart that nobody answers (UnreachableError) and that
// the answer is a refusal (StatusError).
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
)

const (
	dialTimeout = 10 * time.Second
	// answerTimeout is how long an answer may take. The longest requests answer within the
	// minute that a server gives them.
	answerTimeout = 90 * time.Second
	// maxAnswer is the most bytes of an answer, maxProblem of one that says what is wrong.
	maxAnswer  = 64 << 20
	maxProblem = 64 << 10
)

// Options say whom to talk to, and as whom.
type Options struct {
	// URL is the server's address: scheme, host and port, and the path that it stands below.
	URL string
	// Token, or else Username and Password, are sent with each request.
	Token    config.Secret
	Username string
	Password config.Secret
	// CACertFile names authorities to trust beside the system's.
	CACertFile string
	UserAgent  string
}

// Client asks one server. It may be used by several goroutines at once.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
}

// New makes a Client. It reads the file of authorities and connects to nobody.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		// The text may hold a password, so it is not shown.
		return nil, errors.New("the address must be a URL such as http://127.0.0.1:2802")
	}
	if base.User != nil {
		return nil, errors.New("the address must not hold a user name or a password")
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout:       answerTimeout,
		ForceAttemptHTTP2:     true,
	}
	if o.CACertFile != "" {
		pool, err := authorities(o.CACertFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{o: o, base: base, http: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// authorities are the system's and those in a file.
func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return pool, nil
}

// URL is the address that was given.
func (c *Client) URL() string { return c.base.String() }

// Close closes the connections that wait for another request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get asks for a path of the API, "/silences", and decodes the answer into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, v)
}

// Post sends body as JSON to a path of the API and decodes the answer into v.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	return c.call(ctx, http.MethodPost, path, nil, text, v)
}

// Delete deletes what stands at a path of the API and decodes the answer into v.
func (c *Client) Delete(ctx context.Context, path string, v any) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, v)
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.do(ctx, method, "/api/v2"+path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return refusal(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	return nil
}

// SendEvents posts events, JSON texts one after the other, to where alerts are taken.
func (c *Client) SendEvents(ctx context.Context, events []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.do(ctx, http.MethodPost, "", nil, events)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return refusal(resp)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblem))
	return err
}

// do sends a request. The path is below the address that was given.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	at := strings.TrimSuffix(c.base.String(), "/") + cmp.Or(path, "/")
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.o.UserAgent != "" {
		req.Header.Set("User-Agent", c.o.UserAgent)
	}
	switch {
	case !c.o.Token.IsZero():
		req.Header.Set("Authorization", "Bearer "+c.o.Token.Reveal())
	case c.o.Username != "":
		req.SetBasicAuth(c.o.Username, c.o.Password.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ctx.Err()
		}
		return nil, &UnreachableError{c.base.String(), err}
	}
	return resp, nil
}

// UnreachableError says that no answer came.
type UnreachableError struct {
	// URL is the address that was asked.
	URL string
	Err error
}

// Error says what went wrong with the connection.
func (e *UnreachableError) Error() string { return fmt.Sprintf("%s does not answer: %v", e.URL, e.Err) }

// Unwrap returns what went wrong.
func (e *UnreachableError) Unwrap() error { return e.Err }

// StatusError is an answer that is not a success.
type StatusError struct {
	Status int
	// Detail is what the server says about it, in its words or those of the status.
	Detail string
	// Problem tells that the answer has the form of the API's; any other comes from a server
	// that is something else, or from one in between.
	Problem bool
}

// Error returns the detail.
func (e *StatusError) Error() string { return e.Detail }

// refusal reads an answer that is not a success.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		text = nil // the status says enough
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" {
		var p struct {
			Detail string `json:"detail"`
		}
		if json.Unmarshal(text, &p) == nil && p.Detail != "" {
			return &StatusError{resp.StatusCode, p.Detail, true}
		}
	}
	detail := fmt.Sprintf("the answer is %s", resp.Status)
	if said := strings.TrimSpace(string(text)); said != "" && kind == "text/plain" {
		detail += ": " + said
	}
	return &StatusError{resp.StatusCode, detail, false}
}

package report

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxPostBytes is how much one request carries, but for a single alert that is larger.
const maxPostBytes = 512 << 10

// A poster makes the requests.
type poster struct {
	HTTP
	client *http.Client
}

func newPoster(c HTTP) (*poster, error) {
	tlsConfig, err := clientTLS(c)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     tlsConfig,
		ForceAttemptHTTP2:   true,
		DisableKeepAlives:   !c.KeepAlive,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: c.Timeout,
	}
	return &poster{HTTP: c, client: &http.Client{
		Transport: transport,
		// A redirect would turn the POST into a GET, which delivers nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func clientTLS(c HTTP) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // the user asks for it
	if c.CACert != "" || c.CABundle != "" || c.CAPath != "" {
		var err error
		if t.RootCAs, err = authorities(c); err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
	}
	if !c.MTLS {
		return t, nil
	}
	if _, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey); err != nil {
		return nil, fmt.Errorf("load the client certificate: %w", err)
	}
	// Read for every connection, so that a renewed certificate is used without a restart.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		return &cert, err
	}
	return t, nil
}

// authorities returns the system's certificate authorities and those of the user.
func authorities(c HTTP) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{c.CACert, c.CABundle} {
		if name == "" {
			continue
		}
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%q holds no certificate", name)
		}
	}
	if c.CAPath == "" {
		return pool, nil
	}
	return pool, addFolder(pool, c.CAPath)
}

// addFolder adds what certificates there are in a folder, where other files may be too.
func addFolder(pool *x509.CertPool, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		// A name that leads nowhere or to a folder is like a file without certificates.
		if pem, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
			found = pool.AppendCertsFromPEM(pem) || found
		}
	}
	if !found {
		return fmt.Errorf("%q holds no certificate", dir)
	}
	return nil
}

// post sends alerts in one request. Nil means that all are accepted, an error of
// *rejectedError that they never will be, any other that they may be later.
func (p *poster) post(ctx context.Context, alerts []entry) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	req, err := p.request(ctx, alerts)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the URL may hold a password
		}
		return fmt.Errorf("post alerts: %w", err)
	}
	defer resp.Body.Close()
	const explanation = 4 << 10
	text, err := io.ReadAll(io.LimitReader(resp.Body, explanation))
	if resp.StatusCode/100 == 2 {
		return nil // the answer's text doesn't matter
	}
	if err != nil {
		return fmt.Errorf("post alerts: read the answer: %w", err)
	}
	return statusError(resp, text)
}

func (p *poster) request(ctx context.Context, alerts []entry) (*http.Request, error) {
	var body bytes.Buffer
	var out io.Writer = &body
	var zip *gzip.Writer
	if p.Compress {
		zip = gzip.NewWriter(&body)
		out = zip
	}
	for i, a := range alerts {
		if i > 0 {
			_, _ = out.Write([]byte{'\n'}) // a buffer takes everything
		}
		_, _ = out.Write(a.data)
	}
	if zip != nil {
		if err := zip.Close(); err != nil {
			return nil, fmt.Errorf("compress alerts: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, &body)
	if err != nil {
		return nil, errors.New("post alerts: the URL is malformed")
	}
	req.Header.Set("Content-Type", "application/json")
	if len(alerts) > 1 {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	if p.Compress {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("User-Agent", p.UserAgent)
	switch {
	case !p.Token.IsZero():
		req.Header.Set("Authorization", "Bearer "+p.Token.Reveal())
	case p.Username != "":
		req.SetBasicAuth(p.Username, p.Password.Reveal())
	}
	return req, nil
}

// A rejectedError says that the receiver will never accept what was posted.
type rejectedError struct{ err error }

func (e *rejectedError) Error() string { return e.err.Error() }
func (e *rejectedError) Unwrap() error { return e.err }

// A busyError says that the receiver wants to be left alone for a time.
type busyError struct {
	after time.Duration
	err   error
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

// statusError says what an answer other than 2xx means. Only what is wrong with the alert
// itself is for good; a wrong token or path is repaired one day.
func statusError(resp *http.Response, text []byte) error {
	const most = 200
	said := strings.TrimSpace(string(text[:min(len(text), most)]))
	err := fmt.Errorf("post alerts: the receiver answered %s: %q", resp.Status, said)
	switch resp.StatusCode {
	case http.StatusBadRequest:
		// Servers answer this to plain HTTP on their TLS port: the URL is wrong, not the alert.
		if strings.Contains(strings.ToUpper(said), "HTTPS") {
			return err
		}
		return &rejectedError{err}
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return &rejectedError{err}
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), time.Now()); after > 0 {
		return &busyError{after, err}
	}
	return err
}

// retryAfter reads the header: seconds or a date. 0 if it says nothing.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(header), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

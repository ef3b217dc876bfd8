package audit

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateInterval is how often the webhook looks whether its certificate was replaced.
const certificateInterval = 10 * time.Second

// certificate is a server certificate that is read again when its file changes.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time
	looked  time.Time
}

func tlsConfig(c Webhook, log *slog.Logger) (*tls.Config, error) {
	cert := &certificate{cert: c.TLSCert, key: c.TLSKey, log: log}
	if err := cert.load(); err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	if c.ClientCA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read client_ca: %w", err)
	}
	t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read client_ca: there is no certificate in %q", c.ClientCA)
	}
	return t, nil
}

// load reads the files.
func (c *certificate) load() error {
	info, err := os.Stat(c.cert)
	if err != nil {
		return fmt.Errorf("read tls_cert: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read tls_cert and tls_key: %w", err)
	}
	c.loaded, c.changed, c.looked = &pair, info.ModTime(), time.Now()
	return nil
}

// get returns the certificate for a handshake. One that cannot be read any more stays in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateInterval {
		return c.loaded, nil
	}
	c.looked = time.Now()
	info, err := os.Stat(c.cert)
	if err == nil && info.ModTime().Equal(c.changed) {
		return c.loaded, nil
	}
	if err := c.load(); err != nil {
		c.log.Warn("the audit webhook's certificate cannot be read anew, the one before is used on", "error", err)
	}
	return c.loaded, nil
}

package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// recheck is how often, at most, certificate files are looked at for a change.
const recheck = 10 * time.Second

// Certificates name the files of a TLS server.
type Certificates struct {
	CertFile, KeyFile string
	// ClientCAFile, when set, makes clients present a certificate that one of its
	// authorities signed.
	ClientCAFile string
}

// TLS reads the files of c and returns a configuration that reads them again once they
// have changed. Files that are wrong now are an error; files that turn wrong later are
// logged once, and the last good ones stay in use.
func TLS(c Certificates, log *slog.Logger) (*tls.Config, error) {
	return tlsAt(c, log, time.Now)
}

func tlsAt(c Certificates, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	stamp, err := c.stamp()
	if err != nil {
		return nil, err
	}
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	r := &reloader{files: c, log: log, now: now, current: config, stamp: stamp, checked: now()}
	outer := config.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.config(), nil }
	return outer, nil
}

func (c Certificates) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate %q and key %q: %w", c.CertFile, c.KeyFile, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if c.ClientCAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authorities: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the clients' authorities %q: %w", c.ClientCAFile, errNoCertificate)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}

var errNoCertificate = errors.New("the file holds no PEM certificate")

// fileStamp tells whether a file is the one seen before. Kubernetes replaces mounted
// secrets by renaming a symbolic link, which Stat follows.
type fileStamp struct {
	modified time.Time
	size     int64
}

func (c Certificates) stamp() ([3]fileStamp, error) {
	var s [3]fileStamp
	for i, name := range []string{c.CertFile, c.KeyFile, c.ClientCAFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return s, fmt.Errorf("read TLS files: %w", err)
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// reloader hands out the configuration made of the newest good files.
type reloader struct {
	files Certificates
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	current *tls.Config
	stamp   [3]fileStamp
	checked time.Time
	broken  bool
}

func (r *reloader) config() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Sub(r.checked) < recheck {
		return r.current
	}
	r.checked = r.now()
	stamp, err := r.files.stamp()
	if err == nil && stamp == r.stamp {
		return r.current
	}
	var fresh *tls.Config
	if err == nil {
		fresh, err = r.files.load()
	}
	switch {
	case err == nil:
		r.current, r.stamp, r.broken = fresh, stamp, false
		r.log.Info("TLS files were read again", "cert", r.files.CertFile)
	case !r.broken:
		r.broken = true
		r.log.Error("changed TLS files are not usable, the previous ones stay in use", "error", err)
	}
	return r.current
}

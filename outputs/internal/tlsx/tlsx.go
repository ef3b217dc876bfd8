// Package tlsx makes the TLS settings of outputs from what the user says: which
// authorities to trust, which certificate to show, whether to verify at all.
//
// A Source reads certificate files when it is made, so that a missing or malformed one is
// an error at start, and again when they have changed. Package httpx uses it for
// everything that speaks HTTP; an output of another protocol asks it for the settings
// whenever it connects.
package tlsx

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/outputs"
)

const (
	// CheckEvery is how often certificate files are looked at, at most.
	CheckEvery = 5 * time.Second
	// maxFile is the largest certificate file that is read, in bytes.
	maxFile = 4 << 20
)

// Settings are what a user says about the TLS of one output.
type Settings struct {
	// Insecure turns verification of the server's certificate off; MutualTLS turns it on
	// again.
	Insecure bool
	// MutualTLS shows a client certificate.
	MutualTLS bool
	// CertFile, KeyFile and CACertFile are the output's own files, which stand before those
	// that all outputs share. CACertFile counts without MutualTLS, too.
	CertFile, KeyFile, CACertFile string
}

// Source is where an output gets its TLS settings from.
type Source struct {
	// Every is how often certificate files are looked at, at most; New sets CheckEvery.
	Every time.Duration

	settings Settings
	files    fileSet
	log      *slog.Logger

	current atomic.Pointer[tls.Config]

	mu      sync.Mutex // guards what follows and the making of a new configuration
	checked time.Time
	seen    string // version of the files in force
	refused string // version of files that did not load, which is said once
}

// New makes a Source of the output's settings and of the files that all outputs share.
func New(s Settings, env outputs.Env) (*Source, error) {
	src := &Source{Every: CheckEvery, settings: s, files: filesOf(s, env.TLS), log: env.Log, checked: time.Now()}
	if !src.files.empty() {
		src.seen = src.files.version()
	}
	c, err := src.files.load(s)
	if err != nil {
		return nil, err
	}
	src.current.Store(c)
	return src, nil
}

// Config returns the settings in force: the same pointer as before, unless certificate
// files have changed since. They are looked at every 5 seconds at most. New files that do
// not load leave the old ones in force, because an operator who is half-way through
// replacing a pair must not stop delivery. The result must not be changed; clone it to add
// a server's name.
func (s *Source) Config() *tls.Config {
	if s.files.empty() || !s.mu.TryLock() {
		return s.current.Load()
	}
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= s.Every {
		s.checked = now
		s.renew()
	}
	return s.current.Load()
}

// ConfigFor is Config with the server's name, which is verified and asked for, set.
func (s *Source) ConfigFor(host string) *tls.Config {
	c := s.Config().Clone()
	c.ServerName = host
	return c
}

func (s *Source) renew() {
	version := s.files.version()
	if version == s.seen || version == s.refused {
		return
	}
	c, err := s.files.load(s.settings)
	if err != nil {
		s.refused = version
		if s.log != nil {
			s.log.Warn("certificate files have changed but cannot be used, the earlier ones stay in force", "error", err)
		}
		return
	}
	s.seen, s.refused = version, ""
	s.current.Store(c)
}

// fileSet are the certificate files of an output; an empty path means none.
type fileSet struct {
	authorities []authority
	cert, key   string
}

type authority struct {
	path string
	// optional says that the file is a default nobody named, which may be missing.
	optional bool
}

// filesOf chooses the files: each mutual TLS file is the output's own, or the one set for
// its purpose, or the one with the conventional name in the shared folder.
func filesOf(s Settings, t outputs.TLSClient) fileSet {
	var f fileSet
	if t.CACertFile != "" {
		f.authorities = append(f.authorities, authority{path: t.CACertFile})
	}
	own := cmp.Or(s.CACertFile, t.MutualCACertFile)
	switch {
	case s.MutualTLS:
		f.cert = cmp.Or(s.CertFile, t.MutualCertFile, filepath.Join(t.MutualFilesPath, "client.crt"))
		f.key = cmp.Or(s.KeyFile, t.MutualKeyFile, filepath.Join(t.MutualFilesPath, "client.key"))
		f.authorities = append(f.authorities, authority{
			path:     cmp.Or(own, filepath.Join(t.MutualFilesPath, "ca.crt")),
			optional: own == "",
		})
	case s.CACertFile != "":
		f.authorities = append(f.authorities, authority{path: s.CACertFile})
	}
	return f
}

func (f fileSet) empty() bool { return f.cert == "" && len(f.authorities) == 0 }

// paths are all files of the set.
func (f fileSet) paths() []string {
	var all []string
	for _, a := range f.authorities {
		all = append(all, a.path)
	}
	if f.cert != "" {
		all = append(all, f.cert, f.key)
	}
	return all
}

// load reads the files into TLS settings.
func (f fileSet) load(s Settings) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Insecure && !s.MutualTLS {
		c.InsecureSkipVerify = true
	}
	if len(f.authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		for _, a := range f.authorities {
			if err := a.addTo(pool); err != nil {
				return nil, err
			}
		}
		c.RootCAs = pool
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (a authority) addTo(pool *x509.CertPool) error {
	info, err := os.Stat(a.path)
	if a.optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load certificate authorities: %w", err)
	}
	if info.Size() > maxFile {
		return fmt.Errorf("load certificate authorities: %q is larger than %d bytes", a.path, maxFile)
	}
	pem, err := os.ReadFile(a.path)
	if err != nil {
		return fmt.Errorf("load certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("load certificate authorities: %q holds no PEM certificate", a.path)
	}
	return nil
}

// version identifies the files' present content by their times and sizes.
func (f fileSet) version() string {
	var v strings.Builder
	for _, p := range f.paths() {
		info, err := os.Stat(p)
		if err != nil {
			v.WriteString("-;")
			continue
		}
		fmt.Fprintf(&v, "%d,%d;", info.ModTime().UnixNano(), info.Size())
	}
	return v.String()
}

package httpx

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/outputs"
)

// checkEvery is how often certificate files are looked at, at most.
const checkEvery = 5 * time.Second

// maxCertFile is the largest certificate file that is read, in bytes.
const maxCertFile = 4 << 20

// fileSet are the certificate files of a client; an empty path means none.
type fileSet struct {
	authorities []authority
	cert, key   string
}

type authority struct {
	path string
	// optional says that the file is a default nobody named, which may be missing.
	optional bool
}

// certFiles chooses the files: each mutual TLS file is the one set for its purpose, or the
// one with the conventional name in the shared folder.
func certFiles(c Config, t outputs.TLSClient) fileSet {
	var f fileSet
	if t.CACertFile != "" {
		f.authorities = append(f.authorities, authority{path: t.CACertFile})
	}
	if c.MutualTLS {
		f.cert = cmp.Or(t.MutualCertFile, filepath.Join(t.MutualFilesPath, "client.crt"))
		f.key = cmp.Or(t.MutualKeyFile, filepath.Join(t.MutualFilesPath, "client.key"))
		f.authorities = append(f.authorities, authority{
			path:     cmp.Or(t.MutualCACertFile, filepath.Join(t.MutualFilesPath, "ca.crt")),
			optional: t.MutualCACertFile == "",
		})
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
func (f fileSet) load(c Config) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if !c.CheckCert && !c.MutualTLS {
		settings.InsecureSkipVerify = true
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
		settings.RootCAs = pool
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}

func (a authority) addTo(pool *x509.CertPool) error {
	info, err := os.Stat(a.path)
	if a.optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load certificate authorities: %w", err)
	}
	if info.Size() > maxCertFile {
		return fmt.Errorf("load certificate authorities: %q is larger than %d bytes", a.path, maxCertFile)
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

// transport sends requests, names the sender, and renews itself when a certificate file
// has changed.
type transport struct {
	config Config
	agents []string // the one value of User-Agent
	files  fileSet
	proxy  func(*http.Request) (*url.URL, error)
	log    *slog.Logger
	every  time.Duration

	current atomic.Pointer[http.Transport]
	target  atomic.Pointer[target]

	mu      sync.Mutex // guards what follows and the making of a new transport
	checked time.Time
	seen    string // version of the files in force
	refused string // version of files that did not load, which is said once
}

func newTransport(c Config, env outputs.Env, agent string, files fileSet, settings *tls.Config, proxy func(*http.Request) (*url.URL, error)) *transport {
	t := &transport{config: c, agents: []string{agent}, files: files, proxy: proxy, log: env.Log, every: checkEvery, checked: time.Now()}
	if !files.empty() {
		t.seen = files.version()
	}
	t.current.Store(newRoundTripper(settings, proxy))
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.renew()
	if req.Header.Get("User-Agent") == "" {
		req = req.WithContext(req.Context()) // a copy: a RoundTripper must not change its request
		req.Header = req.Header.Clone()
		req.Header["User-Agent"] = t.agents
	}
	return t.current.Load().RoundTrip(req)
}

// target is an address, parsed.
type target struct {
	address string
	url     *url.URL
}

// parse parses an address, the same as the last time without any work: most outputs have
// only one.
func (t *transport) parse(address string) (*url.URL, error) {
	if last := t.target.Load(); last != nil && last.address == address {
		return last.url, nil
	}
	u, err := url.Parse(address)
	if err == nil {
		t.target.Store(&target{address, u})
	}
	return u, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (t *transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }

// renew takes up changed certificate files. New files that do not load leave the old ones
// in force: an operator who is half-way through replacing a pair must not stop delivery.
func (t *transport) renew() {
	if t.files.empty() || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.checked) >= t.every {
		t.checked = now
	} else {
		return
	}
	version := t.files.version()
	if version == t.seen || version == t.refused {
		return
	}
	settings, err := t.files.load(t.config)
	if err != nil {
		t.refused = version
		if t.log != nil {
			t.log.Warn("certificate files have changed but cannot be used, the earlier ones stay in force", "error", err)
		}
		return
	}
	t.seen, t.refused = version, ""
	t.current.Swap(newRoundTripper(settings, t.proxy)).CloseIdleConnections()
}

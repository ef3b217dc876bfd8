package report

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
)

func testPoster(t *testing.T, c HTTP) *poster {
	t.Helper()
	p, err := newPoster(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// seen is what a server got.
type seen struct {
	header http.Header
	body   string
}

// echo is a server that keeps the last request.
func echo(t *testing.T, last *seen) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body := io.Reader(req.Body)
		if req.Header.Get("Content-Encoding") == "gzip" {
			zip, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = zip
		}
		text, err := io.ReadAll(body)
		if err != nil || req.Method != http.MethodPost {
			t.Errorf("%s: %v", req.Method, err)
		}
		*last = seen{req.Header.Clone(), string(text)}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestRequestsSayWhatTheyCarry(t *testing.T) {
	var got seen
	srv := echo(t, &got)
	srv.Start()
	base := testConfig(t, srv.URL+"/some/path").HTTP
	one, two := entries(0, 1, 10), entries(0, 2, 10)
	tests := []struct {
		name   string
		change func(*HTTP)
		alerts []entry
		body   string
		header map[string]string
	}{
		{"one alert", func(*HTTP) {}, one, "alert 0 xx", map[string]string{
			"Content-Type": "application/json", "User-Agent": "falcosecurity/falco", "Authorization": "",
		}},
		{"several", func(*HTTP) {}, two, "alert 0 xx\nalert 1 xx", map[string]string{"Content-Type": "application/x-ndjson"}},
		{"compressed", func(c *HTTP) { c.Compress = true }, two, "alert 0 xx\nalert 1 xx", map[string]string{"Content-Encoding": "gzip"}},
		{"another user agent", func(c *HTTP) { c.UserAgent = "me/1" }, one, "alert 0 xx", map[string]string{"User-Agent": "me/1"}},
		{"a token", func(c *HTTP) { c.Token = config.NewSecret("t0") }, one, "alert 0 xx", map[string]string{"Authorization": "Bearer t0"}},
		{"a password", func(c *HTTP) { c.Username, c.Password = "u", config.NewSecret("p") }, one, "alert 0 xx", map[string]string{"Authorization": "Basic dTpw"}},
		{"a password in the URL", func(c *HTTP) { c.URL = strings.Replace(c.URL, "//", "//u:p@", 1) }, one, "alert 0 xx", map[string]string{"Authorization": "Basic dTpw"}},
		{"no connection kept", func(c *HTTP) { c.KeepAlive = false }, one, "alert 0 xx", map[string]string{"Connection": "close"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := base
			tt.change(&c)
			if err := testPoster(t, c).post(t.Context(), tt.alerts); err != nil {
				t.Fatal(err)
			}
			if got.body != tt.body {
				t.Errorf("the body is %q", got.body)
			}
			for name, want := range tt.header {
				if got := got.header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestEveryStatusHasAMeaning(t *testing.T) {
	const accepted, rejected, later = "accepted", "rejected", "later"
	for _, tt := range []struct {
		status int
		text   string
		want   string
	}{
		{200, "", accepted},
		{201, "", accepted},
		{202, "x", accepted},
		{204, "", accepted},
		{301, "", later},
		{307, "", later},
		{400, "Please send a valid request body\n", rejected},
		{400, "Client sent an HTTP request to an HTTPS server.\n", later},
		{400, "<center>The plain HTTP request was sent to HTTPS port</center>", later},
		{401, "", later},
		{403, "", later},
		{404, "", later},
		{405, "", later},
		{408, "", later},
		{413, "", rejected},
		{415, "", rejected},
		{422, "", rejected},
		{429, "", later},
		{500, "", later},
		{502, "", later},
		{503, strings.Repeat("x", 1<<20), later},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.text)
		}))
		err := testPoster(t, testConfig(t, srv.URL).HTTP).post(t.Context(), entries(0, 1, 1))
		got := later
		if err == nil {
			got = accepted
		} else if _, ok := errors.AsType[*rejectedError](err); ok {
			got = rejected
		}
		if got != tt.want {
			t.Errorf("%d %.20q is taken for %s, want %s", tt.status, tt.text, got, tt.want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%d: the error has %d bytes", tt.status, len(err.Error()))
		}
		srv.Close()
	}
}

// certificates makes an authority and a certificate for 127.0.0.1 that it has signed, and
// returns the names of the files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = private
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, private
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, caKey := make(authority, authority, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "sensor"}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, leafKey := make(leaf, authority, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", caDER), write("tls.crt", "CERTIFICATE", leafDER), write("tls.key", "PRIVATE KEY", keyDER)
}

func TestTLSIsVerifiedAndMutual(t *testing.T) {
	ca, cert, key := certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pemCA, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(pemCA)
	var got seen
	srv := echo(t, &got)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	srv.StartTLS()

	base := testConfig(t, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)).HTTP
	base.ClientCert, base.ClientKey = cert, key
	for _, tt := range []struct {
		name   string
		change func(*HTTP)
		want   string
	}{
		{"ca_cert and client certificate", func(c *HTTP) { c.CACert, c.MTLS = ca, true }, ""},
		{"ca_bundle", func(c *HTTP) { c.CABundle, c.MTLS = ca, true }, ""},
		{"ca_path", func(c *HTTP) { c.CAPath, c.MTLS = filepath.Dir(ca), true }, ""},
		{"insecure", func(c *HTTP) { c.Insecure, c.MTLS = true, true }, ""},
		{"unknown authority", func(c *HTTP) { c.MTLS = true }, "unknown authority"},
		{"no client certificate", func(c *HTTP) { c.CACert = ca }, "certificate required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := base
			tt.change(&c)
			err := testPoster(t, c).post(t.Context(), entries(0, 1, 1))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFilesThatCannotBeUsedAreSaidAtTheStart(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	base := testConfig(t, "https://localhost")
	for want, change := range map[string]func(*Config){
		"read certificate authorities: open /nowhere": func(c *Config) { c.HTTP.CACert = "/nowhere" },
		"holds no certificate":                        func(c *Config) { c.HTTP.CABundle = empty },
		"load the client certificate: open /nowhere":  func(c *Config) { c.HTTP.MTLS, c.HTTP.ClientCert = true, "/nowhere" },
		"open spool":                                      func(c *Config) { c.Spool.Dir = filepath.Join(empty, "x") },
		"http_output.url: is required":                    func(c *Config) { c.HTTP.URL = "" },
		"http_output.url: must be a URL":                  func(c *Config) { c.HTTP.URL = "localhost:2801" },
		"http_output.batch: must be between 1 and 1000":   func(c *Config) { c.HTTP.Batch = 0 },
		"http_output.timeout: must be more than 0":        func(c *Config) { c.HTTP.Timeout = 0 },
		"http_output.token: excludes username":            func(c *Config) { c.HTTP.Username, c.HTTP.Token = "u", config.NewSecret("t") },
		"http_output.mtls: needs client_cert":             func(c *Config) { c.HTTP.MTLS, c.HTTP.ClientKey = true, "" },
		"spool.maxbytes: must be at least 4MiB":           func(c *Config) { c.Spool.Dir, c.Spool.MaxBytes = t.TempDir(), 1000 },
		"file_output.filename: is required when file_out": func(c *Config) { c.File.Enabled, c.File.Filename = true, "" },
	} {
		c := base
		change(&c)
		if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAFileOfFalcoIsRead(t *testing.T) {
	const file = `
json_output: true
json_include_output_property: false
json_include_tags_property: false
time_format_iso_8601: true
stdout_output: {enabled: false}
syslog_output: {enabled: false}
file_output: {enabled: true, keep_alive: true, filename: /tmp/events}
http_output:
  enabled: true
  url: "http://falcosidekick:2801/"
  user_agent: "falcosecurity/falco"
  insecure: true
  ca_cert: ""
  ca_bundle: ""
  ca_path: /etc/ssl/certs/
  mtls: false
  client_cert: /etc/ssl/certs/client.crt
  client_key: /etc/ssl/certs/client.key
  compress_uploads: false
  keep_alive: true
  token: t0
  batch: 100
  timeout: 3
spool: {dir: /x, maxbytes: 1GiB}
`
	var c Config
	if _, err := config.Load(config.Source{File: "falco.yaml", Text: []byte(file)}, config.Section{Into: []any{&c}}); err != nil {
		t.Fatal(err)
	}
	if !c.JSON || c.IncludeOutput || c.IncludeTags || !c.IncludeOutputFields || !c.ISOTime || c.Stdout.Enabled || c.Syslog.Enabled {
		t.Errorf("the form is read as %+v", c)
	}
	if c.File != (File{Enabled: true, KeepAlive: true, Filename: "/tmp/events"}) {
		t.Errorf("the file is read as %+v", c.File)
	}
	if h := c.HTTP; !h.Enabled || h.URL != "http://falcosidekick:2801/" || !h.Insecure || h.CAPath != "/etc/ssl/certs/" ||
		h.Token.Reveal() != "t0" || h.Batch != 100 || h.Timeout != 3*time.Second {
		t.Errorf("HTTP is read as %+v", h)
	}
	if c.Spool != (Spool{Dir: "/x", MaxBytes: 1 << 30, MaxAge: 7 * 24 * time.Hour, Sync: time.Second}) {
		t.Errorf("the spool is read as %+v", c.Spool)
	}
}

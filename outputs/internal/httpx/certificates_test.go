package httpx

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

// serveTLS starts a server with a certificate of c that answers with its client's name
// and the protocol. With clients it demands a certificate of theirs.
func serveTLS(t *testing.T, c, clients *outputstest.CA) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(c.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, name+" "+r.Proto)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		s.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		s.TLS.ClientCAs = x509.NewCertPool()
		s.TLS.ClientCAs.AddCert(clients.Cert)
	}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newClient(t *testing.T, c Config, env outputs.Env) *http.Client {
	t.Helper()
	client, err := New(c, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func post(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	answer, err := Do(t.Context(), client, http.MethodPost, url, []byte("{}"), nil)
	return string(answer), err
}

func TestOnlyEndpointsWithATrustedCertificateGetEvents(t *testing.T) {
	outputstest.NoLeak(t)
	authority, stranger := outputstest.NewCA(t), outputstest.NewCA(t)
	dir := t.TempDir()
	trusted := write(t, dir, "trusted.crt", authority.PEM)
	s := serveTLS(t, authority, nil)
	for _, c := range []struct {
		name   string
		config Config
		tls    outputs.TLSClient
		ok     bool
	}{
		{"an unknown authority", Config{CheckCert: true}, outputs.TLSClient{}, false},
		{"the wrong authority", Config{CheckCert: true}, outputs.TLSClient{CACertFile: write(t, dir, "stranger.crt", stranger.PEM)}, false},
		{"an authority that is added", Config{CheckCert: true}, outputs.TLSClient{CACertFile: trusted}, true},
		{"no check", Config{CheckCert: false}, outputs.TLSClient{}, true},
	} {
		answer, err := post(t, newClient(t, c.config, outputs.Env{TLS: c.tls}), s.URL)
		if (err == nil) != c.ok {
			t.Errorf("%s: answer %q, error %v", c.name, answer, err)
		}
		if err == nil && answer != "nobody HTTP/2.0" {
			t.Errorf("%s: the answer is %q, want one over HTTP/2", c.name, answer)
		}
	}
}

func TestMutualTLSShowsTheClientsCertificate(t *testing.T) {
	outputstest.NoLeak(t)
	authority := outputstest.NewCA(t)
	s := serveTLS(t, authority, authority)
	cert, key := authority.Issue(t, "the forwarder")
	shared := t.TempDir()
	write(t, shared, "client.crt", cert)
	write(t, shared, "client.key", key)
	write(t, shared, "ca.crt", authority.PEM)
	other := t.TempDir()
	files := outputs.TLSClient{
		MutualFilesPath: "/nonexistent",
		MutualCertFile:  write(t, other, "a", cert), MutualKeyFile: write(t, other, "b", key), MutualCACertFile: write(t, other, "c", authority.PEM),
	}
	withoutCA := t.TempDir()
	write(t, withoutCA, "client.crt", cert)
	write(t, withoutCA, "client.key", key)
	for _, c := range []struct {
		name   string
		config Config
		tls    outputs.TLSClient
		ok     bool
	}{
		{"files in the shared folder", Config{CheckCert: true, MutualTLS: true}, outputs.TLSClient{MutualFilesPath: shared}, true},
		{"files of their own", Config{CheckCert: true, MutualTLS: true}, files, true},
		{"the check cannot be turned off", Config{CheckCert: false, MutualTLS: true}, outputs.TLSClient{MutualFilesPath: withoutCA}, false},
		{"the authority may stand elsewhere", Config{MutualTLS: true}, outputs.TLSClient{MutualFilesPath: withoutCA, CACertFile: files.MutualCACertFile}, true},
		{"without mutualtls none is shown", Config{}, outputs.TLSClient{MutualFilesPath: shared}, false},
	} {
		answer, err := post(t, newClient(t, c.config, outputs.Env{TLS: c.tls}), s.URL)
		if (err == nil) != c.ok {
			t.Errorf("%s: answer %q, error %v", c.name, answer, err)
		}
		if err == nil && answer != "the forwarder HTTP/2.0" {
			t.Errorf("%s: the answer is %q", c.name, answer)
		}
	}
}

func TestUnusableCertificateFilesAreRefusedAtStart(t *testing.T) {
	authority := outputstest.NewCA(t)
	cert, key := authority.Issue(t, "client")
	_, otherKey := authority.Issue(t, "other")
	dir := t.TempDir()
	certFile, keyFile := write(t, dir, "cert", cert), write(t, dir, "key", key)
	other, garbage := write(t, dir, "other", otherKey), write(t, dir, "garbage", []byte("garbage"))
	for _, c := range []struct {
		name string
		tls  outputs.TLSClient
		want string
	}{
		{"no authority", outputs.TLSClient{CACertFile: filepath.Join(dir, "none")}, "none: no such file"},
		{"an authority that is none", outputs.TLSClient{CACertFile: garbage}, "holds no PEM certificate"},
		{"a folder for an authority", outputs.TLSClient{CACertFile: dir}, "is a directory"},
		{"no client certificate", outputs.TLSClient{MutualFilesPath: dir}, "client.crt: no such file"},
		{"another's key", outputs.TLSClient{MutualCertFile: certFile, MutualKeyFile: other}, "private key does not match"},
		{"a certificate that is none", outputs.TLSClient{MutualCertFile: garbage, MutualKeyFile: keyFile}, "load client certificate"},
		{"no authority although one is named", outputs.TLSClient{MutualCertFile: certFile, MutualKeyFile: keyFile, MutualCACertFile: filepath.Join(dir, "none")}, "none: no such file"},
	} {
		_, err := New(Config{CheckCert: true, MutualTLS: true}, outputs.Env{TLS: c.tls})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestChangedCertificateFilesAreTakenUp(t *testing.T) {
	outputstest.NoLeak(t)
	authority := outputstest.NewCA(t)
	s := serveTLS(t, authority, authority)
	dir := t.TempDir()
	replace := func(name string, age time.Duration) {
		cert, key := authority.Issue(t, name)
		for file, content := range map[string][]byte{"client.crt": cert, "client.key": key, "ca.crt": authority.PEM} {
			path := write(t, dir, file, content)
			when := time.Now().Add(-age)
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
	}
	var log bytes.Buffer
	replace("first", time.Hour)
	client := newClient(t, Config{MutualTLS: true}, outputs.Env{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		TLS: outputs.TLSClient{MutualFilesPath: dir},
	})
	client.Transport.(*transport).tls.(*tlsx.Source).Every = 0
	expect := func(want string) {
		t.Helper()
		answer, err := post(t, client, s.URL)
		if err != nil || answer != want+" HTTP/2.0" {
			t.Errorf("the answer is %q (%v), want %q", answer, err, want)
		}
	}
	expect("first")
	replace("second", time.Minute)
	expect("second")
	write(t, dir, "client.key", []byte("half a ke"))
	expect("second")
	expect("second")
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the log says %d times that the files cannot be used, want once:\n%s", n, log.String())
	}
	replace("third", 0)
	expect("third")
}

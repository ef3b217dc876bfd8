package listen

import (
	"context"
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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate and its key as PEM.
func (a *authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serverFiles writes a server's files into a folder of its own.
func serverFiles(t *testing.T, a *authority) Certificates {
	t.Helper()
	dir := t.TempDir()
	c := Certificates{CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key")}
	cert, key := a.issue(t, "first")
	write(t, c.CertFile, cert)
	write(t, c.KeyFile, key)
	return c
}

// start runs a server and returns its address and a function that stops it.
func start(t *testing.T, handler http.Handler, o Options) (string, func() error) {
	t.Helper()
	o.Name, o.Log = "test", quiet
	s, err := Open(t.Context(), "127.0.0.1:0", handler, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, 5*time.Second) }()
	stop := func() error {
		cancel()
		return <-done
	}
	return s.Addr().String(), stop
}

func client(t *testing.T, a *authority, pair ...[]byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	config := &tls.Config{RootCAs: pool}
	if len(pair) == 2 {
		c, err := tls.X509KeyPair(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{c}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	name := "nobody"
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	_, _ = io.WriteString(w, r.Proto+" "+name)
})

func body(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestTLSSpeaksHTTP2(t *testing.T) {
	a := newAuthority(t)
	config, err := TLS(serverFiles(t, a), quiet)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := start(t, hello, Options{TLS: config})
	c := client(t, a)
	if got, err := body(t, c, "https://"+addr); got != "HTTP/2.0 nobody" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	got, err := body(t, client(t, a), "http://"+addr)
	if err != nil || !strings.Contains(got, "HTTP request to an HTTPS server") {
		t.Errorf("plain HTTP to the TLS port: %q, %v", got, err)
	}
	c.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestMutualTLSAsksForACertificateOfItsAuthority(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	files := serverFiles(t, a)
	files.ClientCAFile = filepath.Join(t.TempDir(), "ca.crt")
	write(t, files.ClientCAFile, a.pem)
	config, err := TLS(files, quiet)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := start(t, hello, Options{TLS: config})
	cert, key := a.issue(t, "sensor")
	if got, err := body(t, client(t, a, cert, key), "https://"+addr); got != "HTTP/2.0 sensor" || err != nil {
		t.Errorf("with a certificate: %q, %v", got, err)
	}
	if got, err := body(t, client(t, a), "https://"+addr); err == nil {
		t.Errorf("without a certificate: %q", got)
	}
	cert, key = stranger.issue(t, "stranger")
	if got, err := body(t, client(t, a, cert, key), "https://"+addr); err == nil {
		t.Errorf("with a stranger's certificate: %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestChangedCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	files := serverFiles(t, a)
	now := time.Now()
	config, err := tlsAt(files, quiet, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		current, err := config.GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		return current.Certificates[0].Leaf.Subject.CommonName
	}
	cert, key := a.issue(t, "second")
	write(t, files.CertFile, cert)
	write(t, files.KeyFile, key)
	touch(t, files, now.Add(time.Minute))
	if got := served(); got != "first" {
		t.Errorf("the files were looked at too early: %q", got)
	}
	now = now.Add(recheck)
	if got := served(); got != "second" {
		t.Errorf("after the change %q is served", got)
	}
	write(t, files.KeyFile, []byte("no key"))
	touch(t, files, now.Add(2*time.Minute))
	now = now.Add(recheck)
	if got := served(); got != "second" {
		t.Errorf("with a broken file %q is served", got)
	}
	if err := os.Remove(files.CertFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	if got := served(); got != "second" {
		t.Errorf("without the file %q is served", got)
	}
	cert, key = a.issue(t, "third")
	write(t, files.CertFile, cert)
	write(t, files.KeyFile, key)
	now = now.Add(recheck)
	if got := served(); got != "third" {
		t.Errorf("after the repair %q is served", got)
	}
}

// touch moves the files' times, which may be too coarse to tell two writes apart.
func touch(t *testing.T, c Certificates, at time.Time) {
	t.Helper()
	for _, name := range []string{c.CertFile, c.KeyFile} {
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadTLSFilesAreAnErrorAtTheStart(t *testing.T) {
	a := newAuthority(t)
	good := serverFiles(t, a)
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, nil)
	other := serverFiles(t, a)
	for _, tc := range []struct {
		name  string
		files Certificates
		want  string
	}{
		{"no certificate", Certificates{CertFile: "/no/such", KeyFile: good.KeyFile}, "/no/such"},
		{"empty certificate", Certificates{CertFile: empty, KeyFile: good.KeyFile}, empty},
		{"key of another certificate", Certificates{CertFile: good.CertFile, KeyFile: other.KeyFile}, "does not match"},
		{"no authority", Certificates{CertFile: good.CertFile, KeyFile: good.KeyFile, ClientCAFile: "/no/such"}, "/no/such"},
		{"empty authority", Certificates{CertFile: good.CertFile, KeyFile: good.KeyFile, ClientCAFile: empty}, "no PEM certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := TLS(tc.files, quiet); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to name %s", err, tc.want)
			}
		})
	}
}

func TestAStopLetsRunningRequestsFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	addr, stop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if r.Context().Err() != nil {
			t.Error("the running request was cancelled")
		}
		_, _ = io.WriteString(w, "done")
	}), Options{})
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	type result struct {
		text string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		text, err := body(t, c, "http://"+addr)
		got <- result{text, err}
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("the server stopped with a request running: %v", err)
	default:
	}
	close(release)
	if r := <-got; r.text != "done" || r.err != nil {
		t.Errorf("the request got %q, %v", r.text, r.err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAStopCutsOffWhatOutlastsTheGracePeriod(t *testing.T) {
	entered := make(chan struct{})
	s, err := Open(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), Options{Name: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Millisecond) }()
	lost := make(chan error, 1)
	go func() {
		_, err := body(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+s.Addr().String())
		lost <- err
	}()
	<-entered
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "still running") {
		t.Errorf("got %v", err)
	}
	if err := <-lost; err == nil {
		t.Error("the request was answered")
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	first, err := Open(t.Context(), "127.0.0.1:0", hello, Options{Name: "first", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Open(t.Context(), first.Addr().String(), hello, Options{Name: "second", Log: quiet}); err == nil ||
		!strings.Contains(err.Error(), "second listener") {
		t.Errorf("got %v", err)
	}
}

func TestABrokenListenerEndsRunWithAnError(t *testing.T) {
	s, err := Open(t.Context(), "127.0.0.1:0", hello, Options{Name: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionBeyondTheLimitIsServedOnceAnotherCloses(t *testing.T) {
	addr, stop := start(t, hello, Options{MaxConnections: 1})
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := body(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+addr)
		answered <- err
	}()
	first.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

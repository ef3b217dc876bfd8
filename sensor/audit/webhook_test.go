package audit_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret-t0ken"

// server is a running source with a webhook.
type server struct {
	*audit.Source
	url    string
	client *http.Client
	log    *safeBuffer
	stop   func()
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func startServer(t *testing.T, w audit.Webhook, handle func(*audit.Event)) *server {
	t.Helper()
	w.Enabled, w.Path = true, "/k8s-audit"
	if w.Listen == "" {
		w.Listen = "127.0.0.1:0"
	}
	log := &safeBuffer{}
	ready := make(chan net.Addr, 1)
	source, err := audit.New(audit.Config{Webhook: w}, audit.Options{
		Log: slog.New(slog.NewTextHandler(log, nil)), Ready: func(a net.Addr) { ready <- a },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := source.Run(ctx, handle); err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{}
	scheme := "http"
	if w.TLSCert != "" {
		scheme = "https"
		transport.TLSClientConfig = &tls.Config{RootCAs: pool(t, w.TLSCert)}
	}
	s := &server{
		Source: source, url: scheme + "://" + (<-ready).String() + w.Path, client: &http.Client{Transport: transport}, log: log,
		stop: sync.OnceFunc(func() {
			transport.CloseIdleConnections()
			cancel()
			running.Wait()
		}),
	}
	t.Cleanup(s.stop)
	return s
}

func (s *server) post(t *testing.T, body io.Reader, change func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

const event1 = `{"kind":"Event","auditID":"1","stage":"ResponseComplete","stageTimestamp":"2026-11-23T21:30:00.000001Z","verb":"get"}`

func TestTheWebhookAnswersForWhatIsWrong(t *testing.T) {
	s := startServer(t, audit.Webhook{Token: config.NewSecret(secret)}, func(*audit.Event) {})
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			bearer(secret)(r)
			r.Header.Set(name, value)
		}
	}
	for _, tt := range []struct {
		name   string
		body   string
		change func(*http.Request)
		want   int
	}{
		{"an event is taken", event1, bearer(secret), 200},
		{"a charset does no harm", event1, set("Content-Type", "application/json; charset=utf-8"), 200},
		{"the scheme's case does not count", event1, set("Authorization", "bearer "+secret), 200},
		{"a list is taken", `{"kind":"EventList","items":[` + event1 + `]}`, bearer(secret), 200},
		{"a list without items is taken", `{"kind":"EventList"}`, bearer(secret), 200},
		{"an array is taken", `[` + event1 + `,{"kind":"EventList","items":[]}]`, bearer(secret), 200},
		{"a bad event among others does not refuse them", `[` + event1 + `,{"kind":"Event"}]`, bearer(secret), 200},
		{"no token", event1, nil, 401},
		{"a wrong token", event1, bearer("wrong"), 401},
		{"another scheme", event1, set("Authorization", "Basic "+secret), 401},
		{"no body", "", bearer(secret), 400},
		{"no JSON", "hello", bearer(secret), 400},
		{"JSON that breaks off", event1[:40], bearer(secret), 400},
		{"another kind", `{"kind":"Pod"}`, bearer(secret), 400},
		{"something nested without end", strings.Repeat("[", 100_000), bearer(secret), 400},
		{"another type", event1, set("Content-Type", "text/plain"), 415},
		{"no type", event1, set("Content-Type", ""), 415},
		{"too large", strings.Repeat(" ", audit.MaxBodyBytes+1), bearer(secret), 413},
		{"another method", "", func(r *http.Request) { bearer(secret)(r); r.Method = http.MethodPut }, 405},
		{"another path", event1, func(r *http.Request) { bearer(secret)(r); r.URL.Path = "/" }, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.post(t, strings.NewReader(tt.body), tt.change).StatusCode; got != tt.want {
				t.Errorf("answered with %d, want %d", got, tt.want)
			}
		})
	}
	// A body of unknown length that is too large is found out while it is read.
	endless := io.MultiReader(strings.NewReader("["), strings.NewReader(strings.Repeat(" ", audit.MaxBodyBytes)))
	if got := s.post(t, endless, bearer(secret)).StatusCode; got != 413 {
		t.Errorf("a long body without a length is answered with %d", got)
	}
	s.stop()
	stats := s.Stats()
	if stats.Events != 6 || stats.Dropped[audit.DropMalformed] != 1 || stats.Requests[audit.ResultUnauthorized] != 3 {
		t.Errorf("counted %+v", stats)
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the token is in the log")
	}
}

func TestAFullQueueMakesTheAPIServerTryAgain(t *testing.T) {
	hold := make(chan struct{})
	var once sync.Once
	held := make(chan struct{})
	s := startServer(t, audit.Webhook{}, func(*audit.Event) {
		once.Do(func() { close(held) })
		<-hold
	})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	large := func() io.Reader { return strings.NewReader(event1 + strings.Repeat(" ", 10<<20)) }
	for range 3 {
		if got := s.post(t, large(), nil).StatusCode; got != 200 {
			t.Fatalf("answered with %d while there is room", got)
		}
	}
	<-held
	resp := s.post(t, large(), nil)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a full queue answers with %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	release()
	s.stop()
	if got := s.Stats(); got.Events != 3 || got.Requests[audit.ResultBusy] != 1 {
		t.Errorf("counted %+v; what was answered with 200 must be judged", got)
	}
}

func TestWhatWasTakenIsJudgedBeforeTheSourceStops(t *testing.T) {
	var judged []string
	s := startServer(t, audit.Webhook{}, func(e *audit.Event) { judged = append(judged, e.Text()) })
	const n = 200
	for range n {
		s.post(t, strings.NewReader(event1), nil)
	}
	s.stop()
	if len(judged) != n {
		t.Errorf("%d of %d events were judged", len(judged), n)
	}
}

// certificate makes a certificate for 127.0.0.1 that signs itself, in a file with its key.
func certificate(t *testing.T, usage x509.ExtKeyUsage) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file = filepath.Join(t.TempDir(), "pair.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

func TestAClientWithoutACertificateIsTurnedAway(t *testing.T) {
	serverPair, clientPair := certificate(t, x509.ExtKeyUsageServerAuth), certificate(t, x509.ExtKeyUsageClientAuth)
	s := startServer(t, audit.Webhook{TLSCert: serverPair, TLSKey: serverPair, ClientCA: clientPair}, func(*audit.Event) {})
	if resp, err := s.client.Post(s.url, "application/json", strings.NewReader(event1)); err == nil {
		resp.Body.Close()
		t.Errorf("answered with %d", resp.StatusCode)
	}
	pair, err := tls.LoadX509KeyPair(clientPair, clientPair)
	if err != nil {
		t.Fatal(err)
	}
	s.client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	if got := s.post(t, strings.NewReader(event1), nil).StatusCode; got != 200 {
		t.Errorf("with a certificate answered with %d", got)
	}
}

// The bodies are those that a real API server posted (--audit-webhook-config-file).
func TestWhatARealAPIServerPostsIsTaken(t *testing.T) {
	pair := certificate(t, x509.ExtKeyUsageServerAuth)
	set, _ := loadRules(t, ours())
	evaluator := set.NewEvaluator(audit.SourceName)
	var got strings.Builder
	s := startServer(t, audit.Webhook{TLSCert: pair, TLSKey: pair, Token: config.NewSecret(secret)}, func(e *audit.Event) {
		for _, a := range audit.Alerts(nil, evaluator, e, "node-1") {
			fmt.Fprintf(&got, "%s | %s | %s\n", a.Priority, a.Rule, message(a))
		}
	})
	bodies, err := filepath.Glob("testdata/posted/*.json")
	if err != nil || len(bodies) == 0 {
		t.Fatalf("there are no recorded bodies: %v", err)
	}
	for _, name := range bodies {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if status := s.post(t, bytes.NewReader(body), bearer(secret)).StatusCode; status != 200 {
			t.Errorf("%s is answered with %d", name, status)
		}
	}
	s.stop()
	golden(t, "posted.golden", got.String())
}

func TestAnUnsafeWebhookIsWarnedOf(t *testing.T) {
	for _, tt := range []struct {
		listen string
		token  config.Secret
		want   int
	}{
		{"127.0.0.1:9765", config.Secret{}, 0},
		{"localhost:9765", config.Secret{}, 0},
		{"[::1]:9765", config.Secret{}, 0},
		{":9765", config.Secret{}, 2},
		{"10.0.0.1:9765", config.NewSecret(secret), 1},
	} {
		log := &safeBuffer{}
		c := audit.Config{Webhook: audit.Webhook{Enabled: true, Listen: tt.listen, Path: "/", Token: tt.token}}
		if _, err := audit.New(c, audit.Options{Log: slog.New(slog.NewTextHandler(log, nil))}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != tt.want {
			t.Errorf("%s has %d warnings, want %d:\n%s", tt.listen, got, tt.want, log)
		}
	}
}

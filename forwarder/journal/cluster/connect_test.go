package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// authority signs certificates for a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key, a.path, _ = a.issue(t, "ca", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// issue writes a certificate and its key to files.
func (a *authority) issue(t *testing.T, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key, a.write(t, name+".crt", "CERTIFICATE", der), a.write(t, name+".key", "PRIVATE KEY", keyDER)
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheServersAndTheForwarderProveWhoTheyAre(t *testing.T) {
	const password = "s3cret-pass"
	ca, other := newAuthority(t), newAuthority(t)
	_, _, serverCert, serverKey := ca.issue(t, "server", nil)
	_, _, clientCert, clientKey := ca.issue(t, "client", nil)
	_, _, strangeCert, strangeKey := other.issue(t, "stranger", nil)
	n := startNode(t, func(c *nodeConfig) {
		c.CACert, c.Cert, c.Key, c.Username, c.Password = ca.path, serverCert, serverKey, "saker", password
	})
	addr := strings.TrimPrefix(n.url(), "nats://")
	good := func(c *journal.Config) {
		c.URL, c.Replicas = config.NewSecret("tls://"+addr), 1
		c.Username, c.Password = "saker", config.NewSecret(password)
		c.TLS = journal.TLSConfig{CACertFile: ca.path, CertFile: clientCert, KeyFile: clientKey}
	}
	// A server may break off so early that its reason doesn't reach us. Then the journal
	// opens, says so and goes on trying.
	const anything = "?"
	for _, c := range []struct {
		name   string
		change func(*journal.Config)
		want   string // in the error; empty for success
	}{
		{"the right user and certificate", func(*journal.Config) {}, ""},
		{"the user in the url", func(c *journal.Config) {
			c.Username, c.Password = "", config.Secret{}
			c.URL = config.NewSecret("nats://saker:" + password + "@" + addr)
		}, ""},
		{"a wrong password", func(c *journal.Config) { c.Password = config.NewSecret(password + "x") }, "Authorization Violation"},
		{"a wrong password in the url", func(c *journal.Config) {
			c.Username, c.Password = "", config.Secret{}
			c.URL = config.NewSecret("tls://saker:" + password + "x@" + addr)
		}, "Authorization Violation"},
		{"no user", func(c *journal.Config) { c.Username, c.Password = "", config.Secret{} }, "Authorization Violation"},
		{"a token", func(c *journal.Config) {
			c.Username, c.Password, c.Token = "", config.Secret{}, config.NewSecret(password)
		}, "Authorization Violation"},
		{"another authority", func(c *journal.Config) { c.TLS.CACertFile = other.path }, "certificate signed by unknown authority"},
		{"no client certificate", func(c *journal.Config) { c.TLS.CertFile, c.TLS.KeyFile = "", "" }, anything},
		{"a stranger's certificate", func(c *journal.Config) { c.TLS.CertFile, c.TLS.KeyFile = strangeCert, strangeKey }, anything},
		{"no such file", func(c *journal.Config) { c.TLS.CACertFile = filepath.Join(ca.dir, "none") }, "no such file"},
		{"no TLS", func(c *journal.Config) {
			c.TLS = journal.TLSConfig{}
			c.URL = config.NewSecret("nats://" + addr)
		}, "certificate"},
	} {
		cfg := journal.DefaultConfig()
		good(&cfg)
		c.change(&cfg)
		var log bytes.Buffer
		j, err := Open(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == anything:
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if j != nil {
			if err := j.Append(t.Context(), samples(1)); (err != nil) != (c.want != "") {
				t.Errorf("%s: %v", c.name, err)
			}
			closeJournal(t, j)
		}
		if shown := fmt.Sprint(err, log.String()); strings.Contains(shown, password) {
			t.Errorf("%s: the password shows: %s", c.name, shown)
		}
	}
}

func TestWhatNoWaitingMendsEndsTheStart(t *testing.T) {
	alone := startNode(t, nil)
	for name, c := range map[string]struct {
		change func(*journal.Config)
		want   string
	}{
		"replicas without a cluster": {func(c *journal.Config) { c.Replicas = 3 }, "set journal.replicas to 1"},
		"no credentials file":        {func(c *journal.Config) { c.Credentials = "/nonexistent/x.creds" }, "no such file"},
		"no nkey file":               {func(c *journal.Config) { c.NKey = "/nonexistent/x.nk" }, "no such file"},
		"no url":                     {func(c *journal.Config) { c.URL = config.Secret{} }, "journal.url must be set"},
		"an invalid setting":         {func(c *journal.Config) { c.Replicas = 4 }, "must be 1, 3 or 5"},
	} {
		cfg := configFor(alone.url(), "X", 1)
		c.change(&cfg)
		j, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			closeJournal(t, j)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestServersWithoutJetStreamAreWaitedFor(t *testing.T) {
	bare := startNode(t, func(c *nodeConfig) { c.NoJetStream = true })
	j := openConfig(t, configFor(bare.url(), "X", 1))
	if err := j.Ready(); !errors.Is(err, journal.ErrUnavailable) || !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("ready = %v, want ErrUnavailable and what is missing", err)
	}
}

func TestAStreamKeepsItsReplicasAndTakesOtherLimits(t *testing.T) {
	prefix := newPrefix()
	openJournal(t, prefix, three)
	var log bytes.Buffer
	cfg := configFor(cluster(t).urls(), prefix, 1)
	cfg.MaxAge = time.Hour
	j, err := Open(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ready", j.Ready)
	defer closeJournal(t, j)
	info, err := j.info(t.Context())
	if err != nil || info.Config.Replicas != 3 || info.Config.MaxAge != time.Hour {
		t.Errorf("the stream has %d replicas and keeps events for %s, %v", info.Config.Replicas, info.Config.MaxAge, err)
	}
	if !strings.Contains(log.String(), "keeps more replicas") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestAnEventThatTheServersWouldRefuseIsTooLarge(t *testing.T) {
	n := startNode(t, func(c *nodeConfig) { c.MaxPayload = 256 << 10 })
	j := openConfig(t, configFor(n.url(), "X", 1))
	e := sample(1, event.Warning)
	e.Output = strings.Repeat("x", 250<<10)
	if err := j.Append(t.Context(), []event.Event{e}); err == nil || !strings.Contains(err.Error(), journal.ErrTooLarge.Error()) {
		t.Errorf("append = %v, want ErrTooLarge", err)
	}
}

func TestEventsThatTrickleNeedNoRequestEach(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "out", event.None)
	conn, err := nats.Connect(cluster(t).urls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	requests := 0
	if _, err := conn.Subscribe(c.pull.subject, func(*nats.Msg) { mu.Lock(); requests++; mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	const total = 160
	for i := range total {
		mustAppend(t, j, sample(i, event.Warning))
		ack(t, fetch(t, c, 1))
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if requests == 0 || requests > total/8 {
		t.Errorf("%d requests for %d events", requests, total)
	}
}

func TestWhatNobodyFetchesGoesToAnotherForwarder(t *testing.T) {
	prefix := newPrefix()
	a, b := openJournal(t, prefix), openJournal(t, prefix)
	ca := consumer(t, a, "out", event.None)
	nothingLeft(t, ca) // its request stands
	mustAppend(t, a, samples(10)...)
	mine := fetch(t, ca, 1)
	cb := consumer(t, b, "out", event.None)
	keep, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // as a delivery that takes long
		for keep.Err() == nil {
			_ = mine[0].InProgress()
			select {
			case <-keep.Done():
			case <-time.After(shortWait / 4):
			}
		}
	})
	defer wg.Wait()
	defer stop()
	theirs := map[string]bool{}
	eventually(t, "the others go to the other forwarder", func() error {
		ds, err := cb.Fetch(t.Context(), 10, 0, 100*time.Millisecond)
		ack(t, ds)
		for _, d := range ds {
			theirs[d.Event.Output] = true
		}
		if len(theirs) < 9 {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
	if theirs[mine[0].Event.Output] {
		t.Error("the event in hand went to the other forwarder, too")
	}
	ack(t, mine)
	settled(t, cb, func(l journal.Lag) bool { return l.Pending == 0 })
}

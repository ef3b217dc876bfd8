package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestANewCertificateIsTakenWithoutARestart(t *testing.T) {
	first, second := pair(t, "first"), pair(t, "second")
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pair.pem")
		write := func(text []byte, changed time.Time) {
			t.Helper()
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, changed, changed); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		write(first, start)
		c := &certificate{cert: file, key: file, log: slog.New(slog.DiscardHandler)}
		if err := c.load(); err != nil {
			t.Fatal(err)
		}
		get := func() string {
			t.Helper()
			pair, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.Subject.CommonName
		}
		if got := get(); got != "first" {
			t.Fatalf("the certificate is %s", got)
		}
		write([]byte("half a file"), start.Add(time.Minute))
		time.Sleep(certificateInterval)
		if got := get(); got != "first" {
			t.Errorf("with a file that is being written the certificate is %s", got)
		}
		write(second, start.Add(2*time.Minute))
		time.Sleep(certificateInterval)
		if got := get(); got != "second" {
			t.Errorf("after the new one was written the certificate is %s", got)
		}
	})
}

// pair is a certificate with its key.
func pair(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
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
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

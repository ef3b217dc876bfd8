package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// certificates returns a server's settings, and the files of an authority that vouches for
// it and of a client.
func certificates(t *testing.T) (*tls.Config, outputs.Env) {
	t.Helper()
	ca := outputstest.NewCA(t)
	cert, key := ca.Issue(t, "mail.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	dir := t.TempDir()
	clientCert, clientKey := ca.Issue(t, "saker")
	for name, content := range map[string][]byte{"ca.crt": ca.PEM, "client.crt": clientCert, "client.key": clientKey} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := outputstest.Env(t)
	env.TLS = outputs.TLSClient{CACertFile: filepath.Join(dir, "ca.crt"), MutualFilesPath: dir}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12}, env
}

func TestEachMechanismLogsIn(t *testing.T) {
	for keys, want := range map[string]string{
		"user: " + user + ", password: " + password:                       "plain  saker",
		"user: " + user + ", password: " + password + ", identity: other": "plain other saker",
		"authmechanism: LOGIN, user: " + user + ", password: " + password: "login saker",
		"authmechanism: oauthbearer, user: 'a,b=c', token: " + token:      "oauthbearer a=2Cb=3Dc 127.0.0.1",
		"authmechanism: xoauth2, user: " + user + ", token: " + token:     "xoauth2",
		"authmechanism: external, identity: someone":                      "external someone",
		"authmechanism: external, mutualtls: true":                        "external ",
		"authmechanism: anonymous, trace: me@example.com":                 "anonymous me@example.com",
	} {
		t.Run(want, func(t *testing.T) {
			settings, env := certificates(t)
			m := serve(t, settings, false)
			s := open(t, m, keys, env)
			if err := s.Send(t.Context(), batch("a")); err != nil {
				t.Fatal(err)
			}
			if m.logIn != want || len(m.take()) != 1 {
				t.Errorf("logged in as %q, want %q", m.logIn, want)
			}
		})
	}
}

func TestARefusedLogInIsHeldAndShowsNoSecret(t *testing.T) {
	for _, keys := range []string{
		"user: somebody, password: " + password + token,
		"authmechanism: login, user: somebody, password: " + password + token,
		"authmechanism: oauthbearer, token: " + password + token,
		"authmechanism: xoauth2, token: " + password + token,
	} {
		settings, env := certificates(t)
		m := serve(t, settings, false)
		s := open(t, m, keys, env)
		err := s.Send(t.Context(), batch("a"))
		if !outputs.Held(err) || !strings.Contains(err.Error(), "log in: ") {
			t.Errorf("%s: got %v", keys, err)
		}
		outputstest.NoSecret(t, password+" "+token, fmt.Sprint(err))
		outputstest.NoSecretIn(t, password+" "+token, s)
	}
}

func TestWhoHasNothingToLogInWithDoesNot(t *testing.T) {
	for _, keys := range []string{"tls: false", "tls: false, authmechanism: none, user: " + user + ", password: wrong"} {
		m := serve(t, nil, false, func(m *mailServer) { m.noAuth = true })
		s := open(t, m, keys, outputstest.Env(t))
		if err := s.Send(t.Context(), batch("a")); err != nil || m.logIn != "" {
			t.Errorf("%s: %v, logged in as %q", keys, err, m.logIn)
		}
	}
}

func TestTLSFromTheStart(t *testing.T) {
	settings, env := certificates(t)
	m := serve(t, settings, true)
	s := open(t, m, "implicittls: true, user: "+user+", password: "+password, env)
	if err := s.Send(t.Context(), batch("a", "b")); err != nil {
		t.Fatal(err)
	}
	if got := subjects(m.take()); got != "a b" {
		t.Errorf("%q arrived", got)
	}
}

func TestACertificateThatNobodyVouchesForIsRefused(t *testing.T) {
	settings, _ := certificates(t)
	for _, implicit := range []bool{true, false} {
		m := serve(t, settings, implicit)
		keys := fmt.Sprintf("implicittls: %t, user: %s, password: %s", implicit, user, password)
		err := open(t, m, keys, outputstest.Env(t)).Send(t.Context(), batch("a"))
		if outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.Contains(fmt.Sprint(err), "certificate") {
			t.Errorf("implicit %t: got %v", implicit, err)
		}
		if err := open(t, m, keys+", checkcert: false", outputstest.Env(t)).Send(t.Context(), batch("b")); err != nil {
			t.Errorf("implicit %t, without verification: %v", implicit, err)
		}
		if got := subjects(m.take()); got != "b" {
			t.Errorf("implicit %t: %q arrived", implicit, got)
		}
	}
}

func TestNothingIsSentInPlainToAServerWithoutSTARTTLS(t *testing.T) {
	m := serve(t, nil, false)
	err := open(t, m, "user: "+user+", password: "+password, outputstest.Env(t)).Send(t.Context(), batch("a"))
	if !outputs.Held(err) || !strings.Contains(err.Error(), "does not offer STARTTLS") {
		t.Errorf("got %v", err)
	}
	if m.logIn != "" || len(m.take()) != 0 {
		t.Error("the password or the mail was sent all the same")
	}
}

func TestEnhancedStatusCodes(t *testing.T) {
	for text, want := range map[string][3]int{
		"5.7.60 SMTP; denied":         {5, 7, 60},
		"4.2.0":                       {4, 2, 0},
		"5.7 no":                      {},
		"5.7.x no":                    {},
		"-5.7.1 no":                   {},
		"":                            {},
		"5.7.99999999999999999999 no": {},
	} {
		var got [3]int
		got[0], got[1], got[2] = enhanced(&textproto.Error{Code: 550, Msg: text})
		if got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func FuzzEnhanced(f *testing.F) {
	f.Add("5.7.1 no")
	f.Fuzz(func(t *testing.T, text string) {
		class, subject, detail := enhanced(&textproto.Error{Code: 550, Msg: text})
		if class < 0 || subject < 0 || detail < 0 {
			t.Errorf("%q: %d.%d.%d", text, class, subject, detail)
		}
	})
}

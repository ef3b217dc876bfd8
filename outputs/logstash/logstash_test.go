package logstash

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const at = "address: HOST, port: PORT"
	outputstest.Wire{
		Kind:     "logstash",
		Config:   "{" + at + "}",
		Serve:    func(t *testing.T) outputstest.Peer { return outputstest.Lines(t, outputstest.Listen(t)) },
		Clean:    func(text string) string { return strings.ReplaceAll(text, "\r\n", "<CR>\n") },
		Variants: map[string]string{"tags": "{" + at + ", tags: [falco, prod]}"},
		// Logstash's kernel takes lines whether Logstash reads them or not.
		Datagrams: true,
		Wrong: map[string]string{
			"{}":                          "address",
			"{address: 'tcp://h'}":        "address: must be the name",
			"{address: h, port: 0}":       "port: must be a port",
			"{address: h, port: tcp://x}": "port",
			"{address: h, tls: true, cacertfile: /nowhere/ca.crt}": "load certificate authorities",
			"{address: h, mutualtls: true, certfile: /nowhere/c}":  "load client certificate",
		},
	}.Run(t)
}

func TestWhatNobodyTakesIsTriedAgainLater(t *testing.T) {
	outputstest.NoLeak(t)
	l := outputstest.Listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s, err := outputstest.New("logstash", "{address: 127.0.0.1, port: "+port+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send: %v", err)
	}
}

func TestOfTwoFieldsThatGetOneNameTheOneWithoutIndexStays(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = event.SortFields([]event.Field{
		{Name: "a.1", Value: event.StringValue("kept")},
		{Name: "a[1]", Value: event.StringValue("gone")},
		{Name: "o", Value: event.CompositeValue(`{"b[2]":{"c[3]":12345678901234567890},"d":[1]}`)},
	})
	got := string(payload(nil, Config{}, e))
	if want := `"output_fields":{"a.1":"kept","o":{"b.2":{"c.3":12345678901234567890},"d":[1]}}`; !strings.Contains(got, want) {
		t.Errorf("%s lacks %s", got, want)
	}
}

func TestMutualTLSUsesTheOutputsOwnFiles(t *testing.T) {
	outputstest.NoLeak(t)
	authority := outputstest.NewCA(t)
	pair, err := tls.X509KeyPair(authority.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := authority.Issue(t, "client")
	for name, content := range map[string][]byte{"ca": authority.PEM, "cert": cert, "key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.Cert)
	peer := outputstest.Lines(t, tls.NewListener(outputstest.Listen(t), &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}))
	host, port, _ := net.SplitHostPort(peer.Address)
	s, err := outputstest.New("logstash", fmt.Sprintf("{address: %s, port: %s, mutualtls: true, certfile: %[3]s/cert, keyfile: %[3]s/key, cacertfile: %[3]s/ca}",
		host, port, dir), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Fatal(err)
	}
	if got := peer.Take(t, 1); !strings.Contains(got, outputstest.Plain().UUID) {
		t.Errorf("the server got %q", got)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

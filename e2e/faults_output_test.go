package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// faultTime is how long a destination is broken, and how many events a second come
// meanwhile.
func faultTime() (d time.Duration, rate int) {
	if os.Getenv("SAKER_SOAK") != "" {
		return 5 * time.Minute, 10
	}
	return 10 * time.Second, 100
}

// Each way in which a destination can fail, for a time, to two outputs: one with as many
// requests at once as the forwarder likes, one with one at a time, which keeps the order.
func TestNothingIsLostWhenADestinationFailsForAWhile(t *testing.T) {
	lasts, rate := faultTime()
	names := newNames(t)
	trusted, untrusted, authority := certificates(t)
	var broken atomic.Bool // chooses the certificate
	secure := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if broken.Load() {
			return untrusted, nil
		}
		return trusted, nil
	}}

	type fault struct {
		name       string
		tls        *tls.Config
		begin, end func(e *endpoint)
		host       string // in place of the address
	}
	answering := func(name string, b behaviour) fault {
		return fault{name: name, begin: func(e *endpoint) { e.answers(b) }, end: func(e *endpoint) { e.answers(nil) }}
	}
	faults := []fault{
		answering("error-500", status(http.StatusInternalServerError)),
		answering("busy-503", status(http.StatusServiceUnavailable, "Retry-After", "2")),
		answering("busy-503-until", func(w http.ResponseWriter, r *http.Request) bool {
			return status(http.StatusServiceUnavailable, "Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))(w, r)
		}),
		answering("too-many-429", status(http.StatusTooManyRequests, "Retry-After", "1")),
		answering("wrong-token-401", status(http.StatusUnauthorized)),
		answering("missing-404", status(http.StatusNotFound)),
		answering("hanging", hang),
		answering("slow-body-500", drip(http.StatusInternalServerError)),
		answering("reset", reset),
		{
			name:  "refused",
			begin: (*endpoint).down,
			end: func(e *endpoint) {
				if err := e.up(); err != nil {
					t.Error(err)
				}
			},
		},
		{
			name: "certificate", tls: secure,
			begin: func(e *endpoint) { broken.Store(true); e.hangUp() },
			end:   func(*endpoint) { broken.Store(false) },
		},
		{
			name: "unknown-name", host: "endpoint.test",
			begin: func(e *endpoint) { names.know.Store(false); e.hangUp() },
			end:   func(*endpoint) { names.know.Store(true) },
		},
	}

	var config strings.Builder
	fmt.Fprintf(&config, "tlsclient: {cacertfile: %q}\noutputs:\n", authority)
	var many, single []*endpoint
	add := func(name, host string, settings *tls.Config, concurrency int) *endpoint {
		e := newEndpoint(t, name, settings)
		url := e.url
		if host != "" {
			ip, _, _ := net.SplitHostPort(e.address)
			names.add(name+"."+host, ip)
			url = strings.Replace(url, ip, name+"."+host, 1)
		}
		fmt.Fprintf(&config, "  %s: {type: webhook, address: %q, timeout: 2s, maxconcurrentrequests: %d, retry: {initial: 100ms, max: 1s}}\n", name, url, concurrency)
		return e
	}
	for _, f := range faults {
		many = append(many, add(f.name, f.host, f.tls, 0))
		single = append(single, add(f.name+"-single", f.host, f.tls, 1))
	}
	healthy := add("healthy", "", nil, 0)
	s := newSite(t, "%s", config.String())
	s.inside = names.inside(t)
	s.run()
	source := newSender(s)
	stop := source.flow(rate)
	defer stop()
	everywhere := func(count int) {
		for i := range faults {
			for _, e := range []*endpoint{many[i], single[i]} {
				s.eventually("events arrive before the fault", func() error {
					if e.has() < count {
						return fmt.Errorf("%s has %d events", e.name, e.has())
					}
					return nil
				})
			}
		}
	}
	everywhere(20)

	before := make([]int, len(faults))
	for i, f := range faults {
		f.begin(many[i])
		f.begin(single[i])
		before[i] = many[i].tries()
	}
	rest(t.Context(), lasts) // the scenario
	s.eventually("the healthy output has everything that came meanwhile", func() error {
		if n := source.missing(healthy); len(n) > 50 {
			return fmt.Errorf("it lacks %d events", len(n))
		}
		return nil
	})
	for i, f := range faults {
		for _, e := range []*endpoint{many[i], single[i]} {
			if s.failures(e.name) == 0 {
				t.Errorf("%s: no attempt has failed", e.name)
			}
			if lacks := len(source.missing(e)); lacks < 100 {
				t.Errorf("%s lacks only %d events: it was not broken", e.name, lacks)
			}
		}
		// A destination that is down is probed, not hammered.
		if tries := many[i].tries() - before[i]; tries > 200+10*int(lasts/time.Second) {
			t.Errorf("%s was tried %d times while it was broken", f.name, tries)
		}
		f.end(many[i])
		f.end(single[i])
	}
	stop()
	source.settle()
	source.waitArrived(append(append(many, single...), healthy)...)
	s.stop()

	if healthy.duplicates() != 0 {
		t.Errorf("%d events came to the healthy output again", healthy.duplicates())
	}
	for i, f := range faults {
		t.Logf("%-16s %d events, %d came again; one at a time: %d came again; %d attempts", f.name, many[i].has(), many[i].duplicates(), single[i].duplicates(), many[i].tries())
		if n := many[i].duplicates(); n > 64 {
			t.Errorf("%s: %d events came again", f.name, n)
		}
		if n := single[i].duplicates(); n > 1 {
			t.Errorf("%s, one at a time: %d events came again", f.name, n)
		}
		if n := single[i].disorder(); n != 0 {
			t.Errorf("%s, one at a time: event %d came after one that was sent later", f.name, n)
		}
	}
}

// failures is how many attempts of an output came to nothing.
func (s *site) failures(output string) (sum float64) {
	s.Helper()
	for _, outcome := range []string{"failed", "held"} {
		sum += s.count(fmt.Sprintf("saker_output_attempts_total{outcome=%q,output=%q}", outcome, output))
	}
	return sum
}

// An endpoint that has accepted an event and then doesn't get to the end of its answer has
// the event, once.
func TestASlowBodyBehindAGoodStatusIsADelivery(t *testing.T) {
	e := newEndpoint(t, "hook", nil)
	e.answers(drip(http.StatusOK))
	s := newSite(t, "webhook: {address: %q, timeout: 1s}\n", e.url)
	s.run()
	source := newSender(s)
	source.mustSend(20)
	source.waitArrived(e)
	s.stop()
	if n := e.duplicates(); n != 0 {
		t.Errorf("%d events came again", n)
	}
}

// names is a name server of the tests' own.
type names struct {
	address string
	know    atomic.Bool
	ips     map[string][4]byte // by name; not changed any more when it is asked
}

// newNames starts a name server that knows what it is told with add.
func newNames(t *testing.T) *names {
	t.Helper()
	n := &names{address: ownAddress(), ips: map[string][4]byte{}}
	n.know.Store(true)
	conn, err := net.ListenPacket("udp", n.address+":53")
	if err != nil {
		missing(t, fmt.Sprintf("a name server needs root: %v", err))
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := n.answer(buffer[:size]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return n
}

func (n *names) add(name, ip string) { n.ips[name+"."] = [4]byte(net.ParseIP(ip).To4()) }

func (n *names) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	ip, known := n.ips[m.Questions[0].Name.String()]
	switch {
	case !known || !n.know.Load():
		m.RCode = dnsmessage.RCodeNameError
	case m.Questions[0].Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: ip},
		}}
	}
	return m.Pack()
}

// inside returns the command in which a program asks this name server.
func (n *names) inside(t *testing.T) []string {
	t.Helper()
	config := writeFile(t, "resolv.conf", "nameserver "+n.address+"\n")
	return []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, config}
}

// certificates makes an authority, whose file is returned, and two certificates for the
// tests' addresses, of which it has signed the first.
func certificates(t *testing.T) (trusted, untrusted *tls.Certificate, authority string) {
	t.Helper()
	some := ownAddress()
	template := func(serial int64) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("test ", serial)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			IsCA: serial == 1, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		for n := range 256 {
			address := net.ParseIP(some).To4()
			address[3] = byte(n)
			c.IPAddresses = append(c.IPAddresses, address)
		}
		return c
	}
	sign := func(c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) *tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parentKey == nil {
			parentKey = key
		}
		raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
	}
	root := template(1)
	ca := sign(root, root, nil)
	authority = writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})))
	leaf, stranger := template(2), template(3)
	trusted = sign(leaf, root, ca.PrivateKey.(*ecdsa.PrivateKey))
	return trusted, sign(stranger, stranger, nil), authority
}

package syslog

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

var header3164 = regexp.MustCompile(`(?m)^(\d+ )?(<\d+>)\S+ \S+ Falco\[\d+\]: `)

var header5424 = regexp.MustCompile(`(?m)^(?:\d+ )?(<\d+>1 \S+) \S+ Falco \d+ `)

func clean(text string) string {
	text = header3164.ReplaceAllString(text, "${2}TIME HOST Falco[PID]: ")
	return header5424.ReplaceAllString(text, "$1 HOST Falco PID ")
}

func Test(t *testing.T) {
	const at = "host: HOST, port: PORT"
	outputstest.Wire{
		Kind:   "syslog",
		Config: "{" + at + ", protocol: tcp}",
		Serve:  func(t *testing.T) outputstest.Peer { return outputstest.Lines(t, outputstest.Listen(t)) },
		// A server's kernel takes messages whether the server reads them or not.
		Datagrams: true,
		Clean:     clean,
		Variants: map[string]string{
			"cef":     "{" + at + ", format: cef}",
			"rfc5424": "{" + at + ", header: rfc5424, facility: 16}",
		},
		Wrong: map[string]string{
			"{}":                                       "host",
			"{host: h, protocol: sctp}":                "must be one of tcp, udp, unix, unixgram",
			"{host: 'tcp://h'}":                        "host: must be the name",
			"{host: h, port: syslog}":                  "port: must be a port",
			"{host: h, facility: 24}":                  "facility",
			"{host: h, protocol: udp, tls: true}":      "tls: needs protocol tcp",
			"{host: h, protocol: unix}":                "host: must be the path",
			"{host: h, format: leef}":                  "must be one of json, cef",
			"{host: h, mutualtls: true}":               "load client certificate",
			"{host: h, framing: octet, protocol: tcp}": "must be one of newline, octetcounting",
		},
	}.Run(t)
}

func open(t *testing.T, text string, env outputs.Env) outputs.Sender {
	t.Helper()
	s, err := outputstest.New("syslog", text, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func all() (events []event.Event) {
	for _, f := range outputstest.Events() {
		events = append(events, f.Event)
	}
	return events
}

func TestWhatNobodyTakesIsTriedAgainLater(t *testing.T) {
	outputstest.NoLeak(t)
	l := outputstest.Listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	for _, protocol := range []string{"tcp", "unix", "unixgram"} {
		host := map[bool]string{true: "127.0.0.1", false: filepath.Join(t.TempDir(), "none")}[protocol == "tcp"]
		s := open(t, fmt.Sprintf("{host: %s, port: %s, protocol: %s}", host, port, protocol), outputstest.Env(t))
		if err := s.Send(t.Context(), all()); outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

func TestAMessageOfRFC5424IsOne(t *testing.T) {
	w := writer{Config: Config{Header: "rfc5424", Facility: 23}, host: "höst 1", process: 7, now: time.Now}
	parser := rfc5424.NewParser()
	for _, e := range all() {
		text := w.message(nil, e)
		parsed, err := parser.Parse(text[:len(text)-1])
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		m := parsed.(*rfc5424.SyslogMessage)
		if *m.Facility != 23 || int(*m.Severity) != 8-int(e.Priority) || *m.Hostname != "h_st_1" || *m.Appname != "Falco" || *m.ProcID != "7" {
			t.Errorf("%q has the header %+v", text, m)
		}
		if !m.Timestamp.Equal(e.Time.Truncate(time.Microsecond)) {
			t.Errorf("the time is %v, want %v", m.Timestamp, e.Time)
		}
		if got, err := event.Decode([]byte(*m.Message)); err != nil || got.UUID != e.UUID {
			t.Errorf("the message is no event: %v", err)
		}
	}
}

func TestDatagramsHaveOneEventEachAndFit(t *testing.T) {
	outputstest.NoLeak(t)
	socket := filepath.Join(t.TempDir(), "log")
	unix, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	for name, c := range map[string]struct {
		config string
		from   net.PacketConn
	}{
		"udp":  {"{host: 127.0.0.1, protocol: udp, port: " + port + "}", udp},
		"unix": {"{host: " + socket + ", protocol: unixgram}", unix},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, c.config, outputstest.Env(t))
			long := outputstest.Plain()
			long.Output = strings.Repeat("x", 200_000)
			want := []event.Event{outputstest.Plain(), long, outputstest.Plain()}
			done := make(chan error, 1)
			go func() { done <- s.Send(t.Context(), want) }()
			buffer := make([]byte, 1<<16)
			for range want {
				if err := c.from.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, _, err := c.from.ReadFrom(buffer)
				if err != nil {
					t.Fatal(err)
				}
				_, text, _ := strings.Cut(string(buffer[:n]), "]: ")
				if _, err := event.Decode([]byte(strings.TrimSuffix(text, "\n"))); err != nil {
					t.Errorf("a datagram of %d bytes is no event: %v", n, err)
				}
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTLSIsVerifiedAndCountsOctets(t *testing.T) {
	outputstest.NoLeak(t)
	authority := outputstest.NewCA(t)
	pair, err := tls.X509KeyPair(authority.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(outputstest.Listen(t), &tls.Config{Certificates: []tls.Certificate{pair}})
	texts := make(chan string, 2)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(c)
			c.Close()
			texts <- string(text)
		}
	}()
	defer func() { l.Close(); <-ended }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	config := fmt.Sprintf("{host: 127.0.0.1, port: %s, tls: true, framing: octetcounting, header: rfc5424}", port)

	stranger := open(t, config, outputstest.Env(t))
	if err := stranger.Send(t.Context(), all()[:1]); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("a server of an unknown authority: %v", err)
	}
	<-texts
	env := outputstest.Env(t)
	env.TLS.CACertFile = file
	s, err := outputstest.New("syslog", config, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), all()); err != nil {
		t.Fatal(err)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	rest := <-texts
	for _, e := range all() {
		length, after, found := strings.Cut(rest, " ")
		n, err := strconv.Atoi(length)
		if !found || err != nil || n > len(after) {
			t.Fatalf("no length before %.40q", rest)
		}
		if !strings.Contains(after[:n], e.UUID) || strings.HasSuffix(after[:n], "\n") {
			t.Errorf("the message %.80q is not that of %s", after[:n], e.UUID)
		}
		rest = after[n:]
	}
	if rest != "" {
		t.Errorf("behind the last message stands %.80q", rest)
	}
}

func FuzzAnEventInCEFIsOneLineWithAllItsKeys(f *testing.F) {
	f.Add("a|b", `c=d\`, "e\nf", "g h")
	f.Fuzz(func(t *testing.T, rule, output, field, tag string) {
		e := outputstest.Plain()
		e.Rule, e.Output, e.Tags = rule, output, []string{tag}
		e.Fields = []event.Field{{Name: "x", Value: event.StringValue(field)}}
		text := string(appendCEF(nil, e))
		if strings.ContainsAny(text, "\n\r") {
			t.Errorf("%q has more than one line", text)
		}
		parts := strings.SplitN(regexp.MustCompile(`\\.`).ReplaceAllString(text, ""), "|", 8)
		if len(parts) != 8 || parts[4] != "Falco Event" || parts[6] != "7" {
			t.Fatalf("%q has the header %q", text, parts[:len(parts)-1])
		}
		if got := strings.Count(parts[7], "="); got != 7 {
			t.Errorf("%q has %d keys, want 7", text, got)
		}
	})
}

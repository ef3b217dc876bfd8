// Package syslog sends events to a syslog server over UDP, TCP, TLS or a unix socket.
//
// Nobody acknowledges in syslog. Over TCP an event counts as delivered once the server's
// kernel has it; a datagram once it has left.
package syslog

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/stream"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 100
	// maxDatagram is the most bytes of a datagram; one of UDP over IPv4 has up to 65 507.
	maxDatagram = 65_000
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "syslog",
		Title:   "Syslog",
		Doc:     "Sends each event as a message to a syslog server.",
		Page:    page,
		Batch:   maxBatch,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Host      string `key:"host" required:"true" doc:"Host of the syslog server; for unix and unixgram the path of its socket, such as /dev/log."`
	Port      string `key:"port" doc:"Port; empty for 514, or 6514 with tls."`
	Protocol  string `key:"protocol" default:"tcp" oneof:"tcp,udp,unix,unixgram" doc:"How the server is reached."`
	Format    string `key:"format" default:"json" oneof:"json,cef" doc:"What a message holds: the event's JSON, or ArcSight's Common Event Format."`
	Header    string `key:"header" default:"rfc3164" oneof:"rfc3164,rfc5424" doc:"What stands before it: rfc3164 is the BSD form with a time of RFC 3339, as Falcosidekick sends it; rfc5424 that of the later standard, with the event's own time."`
	Facility  int    `key:"facility" default:"0" doc:"Facility as a number from 0 (kern, as Falcosidekick sends) to 23 (local7)."`
	Framing   string `key:"framing" default:"newline" oneof:"newline,octetcounting" doc:"How messages in a stream are told from one another: by the newline at the end of each, or by their length before each (RFC 6587)."`
	TLS       bool   `key:"tls" default:"false" doc:"Use TLS over tcp (RFC 5425; most servers want framing octetcounting with it)."`
	CheckCert bool   `key:"checkcert" default:"true" doc:"Verify the server's certificate."`
	MutualTLS bool   `key:"mutualtls" default:"false" doc:"Use TLS and show the client certificate of mutualtlsclient or mutualtlsfilespath."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(key, fmt.Errorf(format, args...)))
	}
	socket := strings.HasPrefix(c.Protocol, "unix")
	switch {
	case socket && !strings.HasPrefix(c.Host, "/"):
		bad("host", "must be the path of a socket, such as /dev/log, with protocol %s", c.Protocol)
	case !socket && strings.ContainsAny(c.Host, "/ \t\n") || !socket && strings.Contains(c.Host, "://"):
		bad("host", "must be the name or address of a host, without a scheme or path")
	}
	if c.Port != "" {
		if n, err := strconv.Atoi(c.Port); err != nil || n < 1 || n > 65535 {
			bad("port", "must be a port from 1 to 65535")
		}
	}
	if c.Facility < 0 || c.Facility > 23 {
		bad("facility", "must be a number from 0 to 23")
	}
	if c.encrypted() && c.Protocol != "tcp" {
		bad("tls", "needs protocol tcp")
	}
	return errors.Join(errs...)
}

func (c Config) encrypted() bool { return c.TLS || c.MutualTLS }

// datagrams reports whether each message is a packet of its own.
func (c Config) datagrams() bool { return c.Protocol == "udp" || c.Protocol == "unixgram" }

// address returns what to connect to.
func (c Config) address() string {
	switch {
	case strings.HasPrefix(c.Protocol, "unix"):
		return c.Host
	case c.Port != "":
		return net.JoinHostPort(c.Host, c.Port)
	case c.encrypted():
		return net.JoinHostPort(c.Host, "6514")
	}
	return net.JoinHostPort(c.Host, "514")
}

type sender struct {
	Config
	tls    *tlsx.Source // nil without TLS
	stream *stream.Conn
	writer writer
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	s := &sender{Config: c, writer: writer{Config: c, host: host, process: os.Getpid(), now: time.Now}}
	if c.encrypted() {
		if s.tls, err = tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env); err != nil {
			return nil, err
		}
	}
	s.stream = stream.New(s.dial)
	return s, nil
}

func (s *sender) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	if s.tls == nil {
		return d.DialContext(ctx, s.Protocol, s.address())
	}
	secure := tls.Dialer{NetDialer: &d, Config: s.tls.ConfigFor(s.Host)}
	return secure.DialContext(ctx, s.Protocol, s.address())
}

// Send writes the events: each as a datagram, or all of them to the stream at once.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if !s.datagrams() {
		var text []byte
		for i := range batch {
			text = s.writer.framed(text, batch[i])
		}
		return s.stream.Write(ctx, text)
	}
	for i := range batch {
		e := falcotext.Shorten(batch[i], maxDatagram)
		if err := s.stream.Write(ctx, s.writer.message(nil, e)); err != nil {
			if i == 0 {
				return err
			}
			return notSent(i, len(batch), err)
		}
	}
	return nil
}

// notSent says that the events from one place on have not been sent.
func notSent(from, n int, err error) error {
	failed := outputs.Partial{}
	for i := from; i < n; i++ {
		failed[i] = err
	}
	return failed
}

// Close ends the connection.
func (s *sender) Close() error { return s.stream.Close() }

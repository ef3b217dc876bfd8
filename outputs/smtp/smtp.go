// Package smtp sends events as e-mail, each as a message of its own.
package smtp

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "smtp",
		Title: "SMTP",
		Doc:   "Sends each event as an e-mail.",
		Page:  page,
		Batch: 50, // over one connection
		// A second connection would only run into the server's limit of them.
		Serial: true,
		New:    New,
	})
}

// Config is what a user sets.
type Config struct {
	HostPort      string        `key:"hostport" required:"true" doc:"Address of the server, host:port."`
	TLS           bool          `key:"tls" default:"true" doc:"Use TLS: from the start on port 465 or with implicittls, otherwise by STARTTLS, without which nothing is sent."`
	ImplicitTLS   bool          `key:"implicittls" default:"false" doc:"Speak TLS from the start on any port."`
	CheckCert     bool          `key:"checkcert" default:"true" doc:"Verify the server's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS     bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath to the server, as for the mechanism external."`
	AuthMechanism string        `key:"authmechanism" default:"plain" oneof:"plain,login,oauthbearer,xoauth2,external,anonymous,none" doc:"How to log in, if the server asks for it. Plain and login do so only if there is a user or password."`
	User          string        `key:"user" doc:"User, for plain, login, oauthbearer and xoauth2."`
	Password      config.Secret `key:"password" doc:"Password, for plain and login."`
	Token         config.Secret `key:"token" doc:"OAuth access token, for oauthbearer and xoauth2."`
	Identity      string        `key:"identity" doc:"Identity to act as, for plain and external; empty for the user's own."`
	Trace         string        `key:"trace" doc:"What to leave with the server, for anonymous."`
	From          string        `key:"from" required:"true" doc:"Address of the sender."`
	To            string        `key:"to" required:"true" doc:"Addresses of the recipients, separated by commas."`
	OutputFormat  string        `key:"outputformat" default:"html" oneof:"html,text" doc:"Form of the messages: html is HTML and plain text, text is plain text only."`
	Helo          string        `key:"helo" default:"localhost" doc:"Name by which to greet the server."`
}

// Validate checks addresses.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := splitHostPort(c.HostPort); err != nil {
		errs = append(errs, config.At("hostport", err))
	}
	if from, err := addresses(c.From); err != nil || len(from) != 1 {
		errs = append(errs, config.At("from", errors.New("must be one e-mail address")))
	}
	if _, err := addresses(c.To); err != nil {
		errs = append(errs, config.At("to", err))
	}
	if c.Helo == "" || strings.ContainsFunc(c.Helo, notInName) {
		errs = append(errs, config.At("helo", errors.New("must be the name of a host")))
	}
	return errors.Join(errs...)
}

func notInName(r rune) bool { return r <= ' ' || r >= 0x7f }

func splitHostPort(address string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(address)
	if err == nil && host != "" {
		port, err = strconv.Atoi(service)
	}
	if err != nil || host == "" || port < 1 || port > 65535 {
		return "", 0, errors.New("must be host:port, such as smtp.example.com:587")
	}
	return host, port, nil
}

type sender struct {
	Config
	host     string
	port     int
	from     string
	to       []string
	tls      *tlsx.Source
	env      outputs.Env
	warnOnce map[string]bool // recipients whose refusal has been logged

	mu   sync.Mutex // held while the connection is in use
	conn *conn      // nil when there is none
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	host, port, err := splitHostPort(c.HostPort)
	if err != nil {
		return nil, err
	}
	from, err := addresses(c.From)
	if err != nil {
		return nil, err
	}
	to, err := addresses(c.To)
	if err != nil {
		return nil, err
	}
	source, err := tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	return &sender{
		Config: c, host: host, port: port, from: from[0], to: to, tls: source, env: env,
		warnOnce: map[string]bool{},
	}, nil
}

// Send sends the batch over one connection, which is kept for the next.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.alive(ctx) {
		s.drop()
	}
	failed := outputs.Partial{}
	for i, e := range batch {
		err := s.mail(ctx, e)
		if err == nil {
			continue
		}
		if outputs.Rejected(err) && len(batch) > 1 {
			failed[i] = err
			continue
		}
		if i == 0 {
			return err
		}
		// What stops this event stops those after it.
		for j := i; j < len(batch); j++ {
			failed[j] = err
		}
		break
	}
	return failed.OrNil()
}

// mail sends one event. The connection is used again if it is fit for that.
func (s *sender) mail(ctx context.Context, e event.Event) error {
	c, err := s.connection(ctx)
	if err != nil {
		return err
	}
	stop := c.until(ctx)
	err = s.transaction(c, message(s.Config, s.from, e))
	if !stop() {
		s.drop()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		s.drop()
		return fmt.Errorf("send mail: %w", context.Cause(ctx))
	case !c.recover(ctx, err):
		s.drop()
	}
	return err
}

// drop closes the connection.
func (s *sender) drop() {
	if s.conn != nil {
		s.conn.close()
		s.conn = nil
	}
}

// Close takes leave of the server.
func (s *sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.quit()
		s.conn = nil
	}
	return nil
}

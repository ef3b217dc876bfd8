// Package natsx is what the outputs to NATS and NATS Streaming share: how to connect, and
// the subject of an event.
package natsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

// Config are the keys of every output over NATS.
type Config struct {
	HostPort        config.Secret `key:"hostport" required:"true" doc:"Address of the server, nats://host:port, or several with commas between them. tls:// asks for TLS, ws:// and wss:// for WebSocket. User and password may stand in it, and make it a secret."`
	SubjectTemplate string        `key:"subjecttemplate" default:"falco.<priority>.<rule>" doc:"Subject of an event. <priority> stands for the priority in lower case, <rule> for the rule in lower case with _ for each run of other signs than letters and digits."`
	Username        string        `key:"username" doc:"User name, if it does not stand in hostport."`
	Password        config.Secret `key:"password" doc:"Password of username."`
	Token           config.Secret `key:"token" doc:"Token, for servers that want one."`
	CredentialsFile string        `key:"credentialsfile" doc:"File with the user's JWT and seed, as nsc writes it (.creds). It is read whenever a connection is made."`
	NKeySeed        config.Secret `key:"nkeyseed" doc:"Seed of the user's NKey (SU…)."`
	CheckCert       bool          `key:"checkcert" default:"true" doc:"Verify the server's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS       bool          `key:"mutualtls" default:"false" doc:"Ask for TLS and show the client certificate of mutualtlsclient or mutualtlsfilespath. The server's certificate is then always verified."`
}

// Validate checks the addresses, the subject, and that at most one way to log in is set.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", checkServers(c.HostPort.Reveal())),
		config.At("subjecttemplate", checkTemplate(c.SubjectTemplate)),
	}
	if c.Username == "" && !c.Password.IsZero() {
		errs = append(errs, config.At("username", errors.New("is required with password")))
	}
	if c.ways() > 1 {
		errs = append(errs, errors.New("only one of username, token, credentialsfile and nkeyseed can be set"))
	}
	if !c.NKeySeed.IsZero() {
		if _, err := nkeys.FromSeed([]byte(c.NKeySeed.Reveal())); err != nil {
			errs = append(errs, config.At("nkeyseed", errors.New("must be the seed of an NKey, which begins with SU")))
		}
	}
	return errors.Join(errs...)
}

// ways is how many ways to log in are set.
func (c Config) ways() (n int) {
	for _, set := range []bool{c.Username != "", !c.Token.IsZero(), c.CredentialsFile != "", !c.NKeySeed.IsZero()} {
		if set {
			n++
		}
	}
	return n
}

// servers are the addresses of list with the schemes that the client knows.
func servers(list string) []string {
	var all []string
	for server := range strings.SplitSeq(list, ",") {
		server = strings.TrimSpace(server)
		if server == "" {
			continue
		}
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		if rest, ok := strings.CutPrefix(server, "natss://"); ok {
			server = "tls://" + rest
		}
		all = append(all, server)
	}
	return all
}

func checkServers(list string) error {
	all := servers(list)
	if len(all) == 0 {
		return errors.New("must be an address such as nats://host:4222")
	}
	for _, server := range all {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" {
			return errors.New("must be an address such as nats://host:4222, or several with commas between them")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return errors.New("must begin with nats://, tls://, ws:// or wss://")
		}
	}
	return nil
}

// Dialer connects to a server as the user said.
type Dialer struct {
	servers config.Secret
	login   []nats.Option
	tls     *tlsx.Source
	secure  bool
}

// NewDialer makes a Dialer. It does not touch the network.
func NewDialer(c Config, env outputs.Env) (*Dialer, error) {
	source, err := tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	login, err := c.login()
	if err != nil {
		return nil, err
	}
	return &Dialer{c.HostPort, login, source, c.MutualTLS}, nil
}

func (c Config) login() ([]nats.Option, error) {
	switch {
	case c.Username != "":
		return []nats.Option{nats.UserInfo(c.Username, c.Password.Reveal())}, nil
	case !c.Token.IsZero():
		return []nats.Option{nats.Token(c.Token.Reveal())}, nil
	case c.CredentialsFile != "":
		if _, err := os.Stat(c.CredentialsFile); err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		return []nats.Option{nats.UserCredentials(c.CredentialsFile)}, nil
	case !c.NKeySeed.IsZero():
		seed := []byte(c.NKeySeed.Reveal())
		pair, err := nkeys.FromSeed(seed)
		if err != nil {
			return nil, errors.New("nkeyseed is no seed of an NKey")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, errors.New("nkeyseed is no seed of an NKey")
		}
		return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
	}
	return nil, nil
}

// Dial connects. What the connection opens belongs to session, which the caller holds
// within ctx. The connection does not come back by itself when it is lost. failed, if not
// nil, hears of errors that the server tells without being asked.
func (d *Dialer) Dial(ctx context.Context, session *dialx.Session, failed nats.ErrHandler) (*nats.Conn, error) {
	o := nats.GetDefaultOptions()
	o.Servers = servers(d.servers.Reveal())
	o.Name = "saker"
	o.AllowReconnect = false
	o.NoCallbacksAfterClientClose = true
	o.IgnoreDiscoveredServers = true
	o.Timeout = dialx.Timeout
	o.CustomDialer = contextDialer(func(network, address string) (net.Conn, error) {
		return session.Dial(ctx, network, address)
	})
	o.TLSConfig, o.Secure = d.tls.Config(), d.secure
	// Without a handler the client writes to standard error.
	o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	if failed != nil {
		o.AsyncErrorCB = failed
	}
	for _, apply := range d.login {
		if err := apply(&o); err != nil {
			return nil, fmt.Errorf("log in to NATS: %w", err)
		}
	}
	conn, err := o.Connect()
	if err == nil {
		return conn, nil
	}
	if ended := ctx.Err(); ended != nil {
		return nil, fmt.Errorf("connect to NATS: %w", ended)
	}
	return nil, ConnectError(err)
}

// contextDialer is a nats.CustomDialer.
type contextDialer func(network, address string) (net.Conn, error)

func (d contextDialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// ConnectError classes an error of making a connection: one of who we are, or of the
// server's certificate, waits for somebody to mend it.
func ConnectError(err error) error {
	err = fmt.Errorf("connect to NATS: %w", err)
	for _, held := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrSecureConnWanted, nats.ErrSecureConnRequired, nats.ErrNkeysNotSupported, os.ErrNotExist,
	} {
		if errors.Is(err, held) {
			return outputs.Hold(err)
		}
	}
	return err
}

// FlushTimeout bounds waiting for the server where the context does not.
const FlushTimeout = 30 * time.Second

// Flush returns once the server has read what was published.
func Flush(ctx context.Context, conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, FlushTimeout)
	defer cancel()
	return conn.FlushWithContext(ctx)
}

var (
	notInSlug = regexp.MustCompile(`[^a-z0-9]+`)
	// literal are subjects that can be published to.
	literal = regexp.MustCompile(`^[^\s.*>\x00-\x1f]+(\.[^\s.*>\x00-\x1f]+)*$`)
)

// emptyToken stands for a part of the subject that would be empty, for the server delivers
// nothing whose subject has such a part.
const emptyToken = "_"

// Subject returns the subject that template makes for e.
func Subject(template string, e event.Event) string {
	priority := strings.ToLower(e.Priority.String())
	rule := strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(e.Rule), "_"), "_")
	return substitute(template, priority, rule)
}

func substitute(template, priority, rule string) string {
	if priority == "" {
		priority = emptyToken
	}
	if rule == "" {
		rule = emptyToken
	}
	return strings.NewReplacer("<priority>", priority, "<rule>", rule).Replace(template)
}

func checkTemplate(template string) error {
	if literal.MatchString(substitute(template, "p", "r")) {
		return nil
	}
	return errors.New("must be words with dots between them, without spaces, * and >, except for <priority> and <rule>")
}

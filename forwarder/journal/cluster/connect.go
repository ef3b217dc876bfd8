package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// dialTimeout is how long one server may take to accept a connection.
	dialTimeout = 2 * time.Second
	// minReconnect and maxReconnect are the pauses before all servers are tried again.
	minReconnect, maxReconnect = 50 * time.Millisecond, 5 * time.Second
	// pingInterval is how often an idle connection is probed; after two probes without an
	// answer it counts as broken.
	pingInterval = 5 * time.Second
)

// connect returns a connection, which comes back by itself whenever it breaks. It returns
// an error when the servers can be reached and refuse us; when they cannot be reached the
// connection is still to come.
func (j *Journal) connect() (*nats.Conn, error) {
	addresses, user, err := j.cfg.Servers()
	if err != nil {
		return nil, fmt.Errorf("journal.url: %w", err)
	}
	opts, err := j.options(addresses, user)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect(strings.Join(addresses, ","), opts...)
	if err == nil {
		return conn, nil
	}
	if hopeless(err) {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(addresses, ", "), err)
	}
	j.health.unreached = err
	return nats.Connect(strings.Join(addresses, ","), append(opts, nats.RetryOnFailedConnect(true))...)
}

func (j *Journal) options(addresses []string, user *url.Userinfo) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("saker journal"), nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1), nats.CustomReconnectDelay(reconnectDelay), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			j.acks.failAll(errDisconnected)
			j.examineSoon()
		}),
		nats.ReconnectHandler(func(*nats.Conn) { j.examineSoon() }),
		nats.ConnectHandler(func(*nats.Conn) { j.examineSoon() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.log.Debug("the journal's connection", "error", err)
		}),
	}
	opts = append(opts, j.identity(user)...)
	if t := j.cfg.TLS; t.CACertFile != "" || t.CertFile != "" || strings.HasPrefix(addresses[0], "tls:") {
		opts = append(opts, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
		if t.CACertFile != "" {
			opts = append(opts, nats.RootCAs(t.CACertFile))
		}
		if t.CertFile != "" {
			opts = append(opts, nats.ClientCert(t.CertFile, t.KeyFile))
		}
	}
	if j.cfg.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(j.cfg.NKey)
		if err != nil {
			return nil, fmt.Errorf("journal.nkey: read the seed in %q: %w", j.cfg.NKey, err)
		}
		opts = append(opts, nkey)
	}
	return opts, nil
}

// identity says who we are; of the ways Validate lets at most one be set.
func (j *Journal) identity(user *url.Userinfo) []nats.Option {
	c := j.cfg
	switch {
	case user != nil:
		if password, ok := user.Password(); ok {
			return []nats.Option{nats.UserInfo(user.Username(), password)}
		}
		return []nats.Option{nats.Token(user.Username())}
	case c.Username != "":
		return []nats.Option{nats.UserInfo(c.Username, c.Password.Reveal())}
	case !c.Token.IsZero():
		return []nats.Option{nats.Token(c.Token.Reveal())}
	case c.Credentials != "":
		return []nats.Option{nats.UserCredentials(c.Credentials)}
	}
	return nil
}

// reconnectDelay grows, and differs from forwarder to forwarder, so that not all of them
// come back at the same moment.
func reconnectDelay(attempts int) time.Duration {
	d := min(minReconnect<<min(attempts, 16), maxReconnect)
	return d/2 + rand.N(d/2)
}

// hopeless reports whether err is of the kind that waiting doesn't mend.
func hopeless(err error) bool {
	for _, e := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrNkeysNotSupported,
		nats.ErrSecureConnRequired, nats.ErrSecureConnWanted, nats.ErrTLS,
		jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount,
		fs.ErrNotExist, fs.ErrPermission, errTooFewServers,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	// What a server says about our certificate has no type of its own.
	remote, ok := errors.AsType[*net.OpError](err)
	return ok && remote.Op == "remote error"
}

// errTooFewServers says that the cluster is no cluster.
var errTooFewServers = errors.New("the NATS server stands alone: set journal.replicas to 1, or make it part of a cluster")

// errDisconnected is what an Append under way gets when its connection breaks.
var errDisconnected = errors.New("the connection to the NATS cluster broke")

// notClustered is the servers' answer to a stream with replicas where there is no cluster.
const notClustered jetstream.ErrorCode = 10074

// explain adds what to do where an answer of the servers does not say it.
func (j *Journal) explain(err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("no NATS server answers for JetStream, which must be enabled there: %w", err)
	}
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == notClustered {
		return errTooFewServers
	}
	return err
}

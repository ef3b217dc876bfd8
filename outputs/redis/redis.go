// Package redis writes events to a list, a hash or a stream of Redis, or of what else
// speaks its protocol, such as Valkey.
//
// A batch is one pipeline of commands, each with an answer of its own. The client keeps
// its connections and makes them anew when they break.
package redis

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "redis",
		Title:   "Redis",
		Doc:     "Writes each event to a list, a hash or a stream of Redis.",
		Page:    page,
		Batch:   500,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Address          []string      `key:"address" required:"true" doc:"Address of the server, host:port. Several with commas between them are nodes of a cluster, or, with mastername, Sentinels."`
	Username         string        `key:"username" doc:"Name of the ACL user; empty for the default user."`
	Password         config.Secret `key:"password" doc:"Password."`
	Database         int           `key:"database" default:"0" doc:"Number of the database. A cluster has only 0."`
	StorageType      string        `key:"storagetype" default:"list" oneof:"list,hashmap,stream" doc:"list appends each event to the list at key; hashmap sets it in the hash at key, under its UUID; stream adds it to the stream at key, as its field event."`
	Key              string        `key:"key" default:"falco" doc:"Key of the list, hash or stream."`
	MaxLength        int64         `key:"maxlength" default:"0" doc:"Most events that list or stream keeps, the newest; a stream may keep some more. 0 for no limit. Without effect for a hash."`
	Version          int           `key:"version" default:"0" inert:"client and server agree on the version of the protocol" doc:"For Falcosidekick's configurations."`
	Cluster          bool          `key:"cluster" default:"false" doc:"The one address is that of a cluster."`
	MasterName       string        `key:"mastername" doc:"Name of the master that the Sentinels at address watch."`
	SentinelUsername string        `key:"sentinelusername" doc:"ACL user at the Sentinels."`
	SentinelPassword config.Secret `key:"sentinelpassword" doc:"Password at the Sentinels."`
	TLS              bool          `key:"tls" default:"false" doc:"Use TLS."`
	CheckCert        bool          `key:"checkcert" default:"true" doc:"Verify the server's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS        bool          `key:"mutualtls" default:"false" doc:"Show a client certificate to the server: certfile and keyfile, or those of mutualtlsclient or mutualtlsfilespath. It implies tls, and the server's certificate is then always verified."`
	CertFile         string        `key:"certfile" doc:"Client certificate for mutualtls."`
	KeyFile          string        `key:"keyfile" doc:"Key of the client certificate."`
	CACertFile       string        `key:"cacertfile" doc:"Certificate authorities to trust beside the system's."`
}

// Validate checks the addresses and what does not go together.
func (c Config) Validate() error {
	var errs []error
	for _, address := range c.Address {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" && port == "" || strings.Contains(address, "/") {
			errs = append(errs, config.At("address", errors.New("must be host:port, or several with commas between them")))
			break
		}
	}
	switch {
	case c.Database < 0:
		errs = append(errs, config.At("database", errors.New("must be at least 0")))
	case c.Database != 0 && c.clustered():
		errs = append(errs, config.At("database", errors.New("must be 0 for a cluster")))
	}
	if c.Key == "" {
		errs = append(errs, config.At("key", errors.New("must not be empty")))
	}
	if c.MaxLength < 0 {
		errs = append(errs, config.At("maxlength", errors.New("must be at least 0")))
	}
	if c.Username != "" && c.Password.IsZero() {
		errs = append(errs, config.At("password", errors.New("is required with username")))
	}
	return errors.Join(errs...)
}

func (c Config) clustered() bool { return c.MasterName == "" && (c.Cluster || len(c.Address) > 1) }

type sender struct {
	Config
	tls     *tlsx.Source
	log     *slog.Logger
	warn    sync.Once
	session dialx.Session
	client  redis.UniversalClient
}

// silence ends what the client writes to standard error beside the errors it returns.
var silence = sync.OnceFunc(logging.Disable)

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	source, err := tlsx.New(tlsx.Settings{
		Insecure: !c.CheckCert, MutualTLS: c.MutualTLS,
		CertFile: c.CertFile, KeyFile: c.KeyFile, CACertFile: c.CACertFile,
	}, env)
	if err != nil {
		return nil, err
	}
	silence()
	return &sender{Config: c, tls: source, log: env.Log}, nil
}

// timeout bounds each exchange with the server, where the context does not.
const timeout = 30 * time.Second

// open returns the client, and makes it at first. It connects when it is used, and tries
// once: the forwarder tries again.
func (s *sender) open() redis.UniversalClient {
	if s.client == nil {
		s.client = redis.NewUniversalClient(&redis.UniversalOptions{
			Addrs: s.Address, DB: s.Database, Username: s.Username, Password: s.Password.Reveal(),
			MasterName: s.MasterName, SentinelUsername: s.SentinelUsername, SentinelPassword: s.SentinelPassword.Reveal(),
			IsClusterMode: s.Cluster,
			Dialer:        s.dial, DialTimeout: dialx.Timeout, DialerRetries: 1,
			ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
			MaxRetries: -1, PoolSize: 2, PipelinePoolSize: -1,
			DisableIdentity:          true, // a right that the user need not have
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
	}
	return s.client
}

// Send writes the batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.session.Within(ctx)()
	pipe := s.open().Pipeline()
	answers := make([]redis.Cmder, len(batch))
	for i, e := range batch {
		answers[i] = s.write(ctx, pipe, e)
	}
	var trimmed redis.Cmder
	if s.StorageType == "list" && s.MaxLength > 0 {
		trimmed = pipe.LTrim(ctx, s.Key, -s.MaxLength, -1)
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("write to Redis: %w", ended)
	}
	failed := outputs.Partial{}
	for i, answer := range answers {
		if err := answer.Err(); err != nil {
			failed[i] = classify(err)
		}
	}
	if len(failed) == 0 && trimmed != nil && trimmed.Err() != nil {
		s.untrimmed(trimmed.Err()) // the events are there
		return nil
	}
	if len(failed) == 0 || len(failed) == len(batch) {
		// No command was sent, for want of a connection or a login, or all met the same.
		return classify(err)
	}
	return failed
}

// untrimmed says, once, that the list grows beyond its limit.
func (s *sender) untrimmed(err error) {
	if s.log != nil {
		s.warn.Do(func() { s.log.Warn("the list cannot be cut to maxlength", "key", s.Key, "error", err) })
	}
}

// write adds the command for e to the pipeline.
func (s *sender) write(ctx context.Context, pipe redis.Pipeliner, e event.Event) redis.Cmder {
	value := payload(e)
	switch s.StorageType {
	case "hashmap":
		return pipe.HSet(ctx, s.Key, e.UUID, value)
	case "stream":
		return pipe.XAdd(ctx, &redis.XAddArgs{Stream: s.Key, MaxLen: s.MaxLength, Approx: s.MaxLength > 0, Values: []any{"event", value}})
	}
	return pipe.RPush(ctx, s.Key, value)
}

// dial opens a connection to a server.
func (s *sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.session.Dial(ctx, network, address)
	if err != nil || !s.TLS && !s.MutualTLS {
		return c, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	secured := tls.Client(c, s.tls.ConfigFor(host))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

// Close ends the connections.
func (s *sender) Close() error {
	s.session.Cut()
	if s.client != nil {
		_ = s.client.Close() // its connections are cut already
	}
	s.client = nil
	return nil
}

// held are the first words of answers that somebody has to do something about: who we are,
// what we may do, what the key holds, which database there is.
var held = []string{
	"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE", "ERR invalid password", "ERR Client sent AUTH",
	"ERR AUTH", "ERR invalid DB index", "ERR DB index", "ERR SELECT", "ERR unknown command", "DENIED",
}

// classify says what an answer means for delivery. What is not known is tried again, as
// are a server without memory, one that loads, and a replica.
func classify(err error) error {
	said := err.Error()
	err = fmt.Errorf("write to Redis: %w", err)
	for _, start := range held {
		if strings.HasPrefix(said, start) {
			return outputs.Hold(err)
		}
	}
	return err
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) []byte { return e.AppendJSON(make([]byte, 0, 1536)) }

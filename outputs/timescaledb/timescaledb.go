// Package timescaledb inserts events into a table of TimescaleDB, or of any PostgreSQL.
package timescaledb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

const (
	// maxBatch is the most events of one transaction.
	maxBatch = 500
	// maxConns is the most connections to the database.
	maxConns = 8
	// dialTime is how long connecting may take, where the context allows more.
	dialTime = 30 * time.Second
	// idleTime is after how long an idle connection is closed.
	idleTime = 5 * time.Minute
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "timescaledb",
		Title:   "TimescaleDB",
		Doc:     "Inserts each event as a row into a table of TimescaleDB or PostgreSQL.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Host           string        `key:"host" required:"true" doc:"Host of the database, or the folder of its socket, such as /var/run/postgresql."`
	Port           string        `key:"port" default:"5432" doc:"Port."`
	User           string        `key:"user" default:"postgres" doc:"User."`
	Password       config.Secret `key:"password" default:"postgres" doc:"Password."`
	Database       string        `key:"database" default:"falcosidekick" doc:"Database."`
	HypertableName string        `key:"hypertablename" default:"falcosidekick_events" doc:"Table, with its schema before it if need be: security.falco_events."`
	SSLMode        string        `key:"sslmode" default:"prefer" oneof:"disable,prefer,require,verify-ca,verify-full" doc:"Whether TLS is used and what is verified, as libpq has it: prefer is TLS without verification where the server has it, and plain text elsewhere."`
	MutualTLS      bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath."`
	CreateTable    bool          `key:"createtable" default:"false" doc:"Create the table if there is none, with a column for each custom and templated field, and make it a hypertable where TimescaleDB is installed."`
}

var (
	tablePattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)
	secureOptions = []string{"require", "verify-ca", "verify-full"}
)

// Validate checks what the keys hold.
func (c Config) Validate() error {
	var errs []error
	if strings.Contains(c.Host, "://") || strings.ContainsAny(c.Host, " \t\n?@") {
		errs = append(errs, config.At("host", errors.New("must be the name or address of a host, without a scheme or user")))
	}
	if n, err := strconv.Atoi(c.Port); err != nil || n < 1 || n > 65535 {
		errs = append(errs, config.At("port", errors.New("must be a port from 1 to 65535")))
	}
	if !tablePattern.MatchString(c.HypertableName) {
		errs = append(errs, config.At("hypertablename", errors.New("must be a name of letters, digits and _, with that of a schema and a dot before it if need be")))
	}
	if c.MutualTLS && c.SSLMode == "disable" {
		errs = append(errs, config.At("mutualtls", errors.New("needs an sslmode that uses TLS, such as "+strings.Join(secureOptions, ", "))))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	columns []string // of custom and templated fields
	tls     *tlsx.Source

	mu      sync.Mutex
	pool    *pgxpool.Pool // nil until the first Send
	created bool          // the table is there, as far as we know
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	source, err := tlsx.New(tlsx.Settings{MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	s := &sender{Config: c, columns: env.CustomFields, tls: source}
	_, err = s.settings()
	return s, err
}

// settings are those of the pool.
func (s *sender) settings() (*pgxpool.Config, error) {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(s.User, s.Password.Reveal()), Path: "/" + s.Database,
		RawQuery: url.Values{"sslmode": {s.SSLMode}, "application_name": {"saker"}}.Encode(),
	}
	if strings.HasPrefix(s.Host, "/") {
		u.RawQuery += "&" + url.Values{"host": {s.Host}, "port": {s.Port}}.Encode()
	} else {
		u.Host = net.JoinHostPort(s.Host, s.Port)
	}
	c, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("the settings of the connection cannot be used; are PG variables set in the environment?")
	}
	c.MaxConns, c.MinConns, c.MaxConnIdleTime = maxConns, 0, idleTime
	c.ConnConfig.ConnectTimeout = dialTime
	// Statements are not prepared, because they would break behind a pooler.
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.BeforeConnect = func(_ context.Context, conn *pgx.ConnConfig) error {
		s.secure(&conn.Config)
		return nil
	}
	return c, nil
}

// secure adds the certificates that the user names to a connection's settings.
func (s *sender) secure(c *pgconn.Config) {
	ours := s.tls.Config()
	if c.TLSConfig != nil {
		c.TLSConfig.Certificates = ours.Certificates
		if s.SSLMode != "require" && ours.RootCAs != nil {
			c.TLSConfig.RootCAs = ours.RootCAs
		}
		c.TLSConfig.MinVersion = ours.MinVersion
	}
}

// connected returns the pool.
func (s *sender) connected(ctx context.Context) (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		c, err := s.settings()
		if err != nil {
			return nil, err
		}
		// The pool outlives this Send; its connections are made with each one's context.
		if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), c); err != nil {
			return nil, err
		}
	}
	if s.CreateTable && !s.created {
		if err := createTable(ctx, s.pool, s.HypertableName, s.columns); err != nil {
			return nil, err
		}
		s.created = true
	}
	return s.pool, nil
}

// Send inserts the events in one transaction. If one of them is refused, each gets a
// transaction of its own.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pool, err := s.connected(ctx)
	if err != nil {
		return classify(err)
	}
	err = classify(s.insert(ctx, pool, batch))
	if len(batch) == 1 || !outputs.Rejected(err) {
		return err
	}
	failed := outputs.Partial{}
	for i := range batch {
		if err := classify(s.insert(ctx, pool, batch[i:i+1])); err != nil {
			failed[i] = err
		}
	}
	return failed.OrNil()
}

func (s *sender) insert(ctx context.Context, pool *pgxpool.Pool, batch []event.Event) error {
	if len(batch) == 1 {
		text, values := statement(s.HypertableName, s.columns, batch[0])
		_, err := pool.Exec(ctx, text, values...)
		return err
	}
	var all pgx.Batch
	for _, e := range batch {
		text, values := statement(s.HypertableName, s.columns, e)
		all.Queue(text, values...)
	}
	return pool.SendBatch(ctx, &all).Close()
}

// Close ends the connections.
func (s *sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool != nil {
		s.pool.Close()
		s.pool = nil
	}
	return nil
}

// classify returns what an error means for delivery. The classes are those of PostgreSQL's
// documentation, appendix A.
func classify(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	said := fmt.Errorf("the database answers %s: %s", refused.Code, refused.Message)
	switch refused.Code[:min(2, len(refused.Code))] {
	case "22", "23": // the data, or a constraint on it
		return outputs.Reject(said)
	case "28", "3D", "3F", "42", "0A", "25": // login, database, schema, table, rights, read-only
		return outputs.Hold(said)
	}
	return said
}

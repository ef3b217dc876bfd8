// Package clickhouse inserts events into a table of ClickHouse over its HTTP interface.
//
// A batch is one INSERT in the format JSONEachRow. It carries a token made of the events'
// UUIDs, by which the server knows the same batch again when its answer was lost.
package clickhouse

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most rows of a request.
	maxBatch = 1000
	// maxBody is the most bytes of a request, before compression. ClickHouse takes far
	// more; the proxies before it often do not.
	maxBody = 4 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "clickhouse",
		Title:   "ClickHouse",
		Doc:     "Inserts each event as a row into a table of ClickHouse.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort          string        `key:"hostport" required:"true" doc:"Base URL of the HTTP interface, for example http://clickhouse:8123 or https://NAME.clickhouse.cloud:8443."`
	Database          string        `key:"database" default:"default" doc:"Database of the table. It must exist."`
	Table             string        `key:"table" default:"falco_events" doc:"Table."`
	Username          string        `key:"username" doc:"User. Empty for what the server takes without one, which is usually its user default."`
	Password          config.Secret `key:"password" doc:"Password of the user."`
	BasicAuth         bool          `key:"basicauth" default:"false" doc:"Send user and password as basic authentication rather than in ClickHouse's own headers, for proxies that know only that."`
	AsyncInsert       bool          `key:"asyncinsert" default:"false" doc:"Let the server put the rows of several requests together before it writes them. It answers when they are written. Advisable where many forwarders insert few events each."`
	CreateTable       bool          `key:"createtable" default:"false" doc:"Create the table if there is none."`
	CustomHeaders     httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Authorization."`
	EnableCompression bool          `key:"enablecompression" default:"true" doc:"Compress requests with gzip."`
}

// name is the form of names that need no escape between backticks.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,199}$`)

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "username and password")),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	}
	for _, named := range [][2]string{{"database", c.Database}, {"table", c.Table}} {
		if !name.MatchString(named[1]) {
			errs = append(errs, config.At(named[0], errors.New("must be a name of letters, digits and the signs _ . -")))
		}
	}
	switch {
	case c.Username == "" && !c.Password.IsZero():
		errs = append(errs, config.At("username", errors.New("is required with password")))
	case c.BasicAuth && c.Username == "":
		errs = append(errs, config.At("username", errors.New("is required with basicauth")))
	case c.BasicAuth && strings.Contains(c.Username, ":"):
		errs = append(errs, config.At("username", errors.New("must not have a colon, which basicauth cannot send")))
	case !c.BasicAuth:
		errs = append(errs,
			config.At("username", checkHeader(config.NewSecret(c.Username))),
			config.At("password", checkHeader(c.Password)))
	}
	return errors.Join(errs...)
}

// checkHeader reports that a value cannot be sent in a header.
func checkHeader(value config.Secret) error {
	if httpx.CheckHeaders(httpx.Headers{"X": value}) != nil {
		return errors.New("must not have line breaks or other control characters; basicauth can send them")
	}
	return nil
}

type sender struct {
	Config
	http    *http.Client
	created atomic.Bool // the table is there, as far as we know
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, http: client}, nil
}

// Send inserts the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := s.ensureTable(ctx); err != nil {
		return err
	}
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return appendRow(dst, batch[i])
		})
		query := insert(s.Config)
		query.Set("insert_deduplication_token", token(batch[from:to]))
		return to, s.post(ctx, query, body)
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// ensureTable creates the table, if that is wanted. Senders that do it at the same time do
// not disturb each other.
func (s *sender) ensureTable(ctx context.Context) error {
	if !s.CreateTable || s.created.Load() {
		return nil
	}
	if err := s.post(ctx, url.Values{"query": {createStatement(s.Config)}}, nil); err != nil {
		if outputs.Rejected(err) { // no event is at fault
			err = outputs.Hold(errors.New(err.Error()))
		}
		return err
	}
	s.created.Store(true)
	return nil
}

// post runs the query, with body as its data.
func (s *sender) post(ctx context.Context, query url.Values, body []byte) error {
	h := headers(s.Config)
	if s.EnableCompression && len(body) > 0 {
		h.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: httpx.Join(s.HostPort, "/?"+query.Encode()), Body: body, Header: h,
		Judge: func(status int, header http.Header, answer []byte) error {
			code := exceptionCode(header, answer)
			if code == unknownTable {
				s.created.Store(false)
			}
			return judge(status, header, answer, code)
		},
	}
	if !s.Password.IsZero() {
		call.Secrets = []string{s.Password.Reveal()}
	}
	answer, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	return checkSuccess(answer)
}

func headers(c Config) http.Header {
	h := http.Header{"Content-Type": {"application/x-ndjson"}}
	switch {
	case c.Username == "":
	case c.BasicAuth:
		h.Set("Authorization", httpx.BasicAuth(c.Username, c.Password.Reveal()))
	default:
		h.Set("X-ClickHouse-User", c.Username)
		if !c.Password.IsZero() {
			h.Set("X-ClickHouse-Key", c.Password.Reveal())
		}
	}
	httpx.SetHeaders(h, c.CustomHeaders)
	return h
}

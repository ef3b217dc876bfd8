// Package victorialogs streams events into VictoriaLogs.
package victorialogs

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of a request.
	maxBatch = 1000
	// maxBody is the most bytes of a request, before compression. VictoriaLogs reads
	// requests as streams; what it limits is a line.
	maxBody = 4 << 20
	// minLine is the least that maxlinesize may be, in bytes.
	minLine = 4 << 10
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "victorialogs",
		Title:   "VictoriaLogs",
		Doc:     "Streams each event as a log entry into VictoriaLogs.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort          string        `key:"hostport" required:"true" doc:"Base URL of VictoriaLogs or of vlinsert, for example http://victorialogs:9428."`
	StreamFields      []string      `key:"streamfields" default:"source,hostname" doc:"Members of an event that make its log stream. Few values in all make few streams; uuid or a process id would make a stream of every event."`
	AccountID         int           `key:"accountid" default:"0" doc:"Tenant's account, in a VictoriaLogs of several tenants."`
	ProjectID         int           `key:"projectid" default:"0" doc:"Tenant's project."`
	Username          string        `key:"username" doc:"User for basic authentication, with password."`
	Password          config.Secret `key:"password" doc:"Password for basic authentication."`
	BearerToken       config.Secret `key:"bearertoken" doc:"Token for a proxy such as vmauth, in place of username and password."`
	CustomHeaders     httpx.Headers `key:"customheaders" doc:"Headers added to each request."`
	EnableCompression bool          `key:"enablecompression" default:"true" doc:"Compress requests with gzip."`
	MaxLineSize       config.Bytes  `key:"maxlinesize" default:"256KiB" doc:"What the server has as -insert.maxLineSizeBytes. It drops a longer line and says so only in its own log, so that the texts of such an event are cut."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "username and password")),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
		httpx.CheckPair("username", c.Username, "password", c.Password),
	}
	if c.Username != "" && !c.BearerToken.IsZero() {
		errs = append(errs, config.At("bearertoken", errors.New("cannot be set together with username")))
	}
	if c.MaxLineSize < minLine {
		errs = append(errs, config.At("maxlinesize", errors.New("must be at least 4KiB")))
	}
	for key, id := range map[string]int{"accountid": c.AccountID, "projectid": c.ProjectID} {
		if id < 0 || id > 1<<32-1 {
			errs = append(errs, config.At(key, errors.New("must be a number from 0 to 4294967295")))
		}
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http    *http.Client
	address string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"_msg_field": {"output"}, "_time_field": {"time"}, "_stream_fields": {strings.Join(c.StreamFields, ",")},
	}
	return &sender{c, client, httpx.Join(c.HostPort, "/insert/jsonline?"+query.Encode())}, nil
}

func headers(c Config) http.Header {
	h := http.Header{"Content-Type": {"application/stream+json"}}
	if c.AccountID != 0 || c.ProjectID != 0 {
		h["Accountid"], h["Projectid"] = []string{strconv.Itoa(c.AccountID)}, []string{strconv.Itoa(c.ProjectID)}
	}
	switch {
	case c.Username != "":
		h.Set("Authorization", httpx.BasicAuth(c.Username, c.Password.Reveal()))
	case !c.BearerToken.IsZero():
		h.Set("Authorization", "Bearer "+c.BearerToken.Reveal())
	}
	httpx.SetHeaders(h, c.CustomHeaders)
	return h
}

// Send streams the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return payload(dst, s.Config, batch[i])
		})
		h := headers(s.Config)
		if s.EnableCompression {
			h.Set("Content-Encoding", "gzip")
			body = httpx.Gzip(body)
		}
		_, err := httpx.Do(ctx, s.http, http.MethodPost, s.address, body, h)
		return to, err
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload appends the event's JSON and a newline. The server drops a line as long as its
// limit, so that the event's is one byte shorter at least.
func payload(dst []byte, c Config, e event.Event) []byte {
	e = falcotext.Shorten(e, int(c.MaxLineSize)-1)
	return append(e.AppendJSON(dst), '\n')
}

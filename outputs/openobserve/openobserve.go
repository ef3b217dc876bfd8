// Package openobserve ingests events as records into a stream of OpenObserve.
//
// A batch is one request with a line for each event.
package openobserve

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most records of a request.
	maxBatch = 1000
	// maxBody is the most bytes of a request, before compression. OpenObserve takes more,
	// but the proxies before it often do not.
	maxBody = 4 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "openobserve",
		Title:   "OpenObserve",
		Doc:     "Ingests each event as a record into a stream of OpenObserve.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort          string        `key:"hostport" required:"true" doc:"Base URL of OpenObserve, for example https://api.openobserve.ai or http://openobserve:5080."`
	OrganizationName  string        `key:"organizationname" default:"default" doc:"Identifier of the organisation."`
	StreamName        string        `key:"streamname" default:"falco" doc:"Name of the stream of logs. It is made with its first record."`
	Username          string        `key:"username" doc:"User for basic authentication, with password."`
	Password          config.Secret `key:"password" doc:"Password, or ingestion token, for basic authentication."`
	CustomHeaders     httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Authorization and Content-Type."`
	EnableCompression bool          `key:"enablecompression" default:"false" doc:"Compress requests of several events with gzip."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "username and password")),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
		httpx.CheckPair("username", c.Username, "password", c.Password),
	}
	if c.OrganizationName == "" {
		errs = append(errs, config.At("organizationname", errors.New("must not be empty")))
	}
	if c.StreamName == "" {
		errs = append(errs, config.At("streamname", errors.New("must not be empty")))
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
	path := "/api/" + url.PathEscape(c.OrganizationName) + "/" + url.PathEscape(c.StreamName) + "/_multi"
	return &sender{c, client, httpx.Join(c.HostPort, path)}, nil
}

// Send ingests the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return payload(dst, batch[i])
		})
		return to, s.ingest(ctx, body, to-from)
	})
}

// ingest sends one request of n records.
func (s *sender) ingest(ctx context.Context, body []byte, n int) error {
	h := http.Header{}
	if s.Username != "" {
		h.Set("Authorization", httpx.BasicAuth(s.Username, s.Password.Reveal()))
	}
	httpx.SetHeaders(h, s.CustomHeaders)
	if n > 1 && s.EnableCompression {
		h.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, s.address, body, h)
	if err != nil {
		status, said, _ := httpx.Answer(err)
		return classify(err, status, said)
	}
	return readAnswer(answer, n)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload appends the event's JSON and a newline.
func payload(dst []byte, e event.Event) []byte { return append(e.AppendJSON(dst), '\n') }

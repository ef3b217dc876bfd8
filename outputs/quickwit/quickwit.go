// Package quickwit ingests events as documents into a Quickwit index.
//
// A batch is one request with a line for each event. Quickwit takes documents as they come
// and chooses no identifiers, so that one whose answer was lost may be there twice.
package quickwit

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most documents of a request.
	maxBatch = 1000
	// maxBody is the most bytes of a request, before compression. Quickwit's limit is 10 MB.
	maxBody = 8 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "quickwit",
		Title:   "Quickwit",
		Doc:     "Ingests each event as a document into a Quickwit index.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort          string        `key:"hostport" required:"true" doc:"Base URL of Quickwit, for example http://quickwit:7280."`
	APIEndpoint       string        `key:"apiendpoint" default:"api/v1" doc:"Path of the API."`
	Index             string        `key:"index" default:"falco" doc:"Name of the index."`
	Version           string        `key:"version" default:"0.7" doc:"Version of the index configuration that autocreateindex writes; Quickwit knows those up to its own."`
	CustomHeaders     httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Content-Type."`
	AutoCreateIndex   bool          `key:"autocreateindex" default:"false" doc:"Before the first document, create the index if there is none of that name."`
	EnableCompression bool          `key:"enablecompression" default:"false" doc:"Compress requests of several events with gzip, which Quickwit takes from version 0.8 on."`
}

// Validate checks what the keys hold.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "customheaders")),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	}
	if c.Index == "" {
		errs = append(errs, config.At("index", errors.New("must not be empty")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http  *http.Client
	index *index
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, newIndex()}, nil
}

// Send ingests the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if s.AutoCreateIndex {
		if err := s.index.ensure(ctx, s); err != nil {
			return err
		}
	}
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return payload(dst, batch[i])
		})
		return to, s.ingest(ctx, body, to-from)
	})
}

// ingest sends one request of n documents.
func (s *sender) ingest(ctx context.Context, body []byte, n int) error {
	h, sent := s.header(), body
	if n > 1 && s.EnableCompression {
		h.Set("Content-Encoding", "gzip")
		sent = httpx.Gzip(body)
	}
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, s.address(url.PathEscape(s.Index)+"/ingest"), sent, h)
	if err != nil {
		return err
	}
	return readAnswer(answer, body, n)
}

// address is the URL of a path of the API.
func (s *sender) address(path string) string {
	if api := strings.Trim(s.APIEndpoint, "/"); api != "" {
		path = api + "/" + path
	}
	return httpx.Join(s.HostPort, "/"+path)
}

func (s *sender) header() http.Header {
	h := http.Header{}
	httpx.SetHeaders(h, s.CustomHeaders)
	return h
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload appends the event's JSON and a newline.
func payload(dst []byte, e event.Event) []byte { return append(e.AppendJSON(dst), '\n') }

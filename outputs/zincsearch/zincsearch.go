// Package zincsearch stores events as documents in an index of ZincSearch.
//
// One event alone is created as Falcosidekick does it, under an identifier that ZincSearch
// chooses. Several are one bulk request, each under the event's UUID, so that a request
// that is tried again replaces what it has stored already.
package zincsearch

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
	// maxBatch is the most documents of a request.
	maxBatch = 500
	// maxBody is the most bytes of a request.
	maxBody = 4 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "zincsearch",
		Title:   "Zincsearch",
		Doc:     "Stores each event as a document in an index of ZincSearch.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort string        `key:"hostport" required:"true" doc:"Base URL of ZincSearch, for example http://zincsearch:4080."`
	Index    string        `key:"index" default:"falco" doc:"Name of the index. It is made with its first document."`
	Username string        `key:"username" doc:"User for basic authentication, with password."`
	Password config.Secret `key:"password" doc:"Password for basic authentication."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "username and password")),
		httpx.CheckPair("username", c.Username, "password", c.Password),
	}
	if c.Index == "" {
		errs = append(errs, config.At("index", errors.New("must not be empty")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http *http.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client}, nil
}

// Send stores the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if len(batch) == 1 {
		_, err := s.post(ctx, "/api/"+url.PathEscape(s.Index)+"/_doc", payload(nil, batch[0]))
		return err
	}
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return appendBulk(dst, s.Index, batch[i])
		})
		answer, err := s.post(ctx, "/api/_bulk", body)
		if err == nil {
			err = readBulk(answer, to-from)
		}
		return to, err
	})
}

func (s *sender) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	h := http.Header{}
	if s.Username != "" {
		h.Set("Authorization", httpx.BasicAuth(s.Username, s.Password.Reveal()))
	}
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, httpx.Join(s.HostPort, path), body, h)
	if err != nil {
		return nil, classify(err)
	}
	return answer, nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload appends the event's JSON and a newline.
func payload(dst []byte, e event.Event) []byte { return append(e.AppendJSON(dst), '\n') }

// appendBulk appends the two lines of a document of a bulk request.
func appendBulk(dst []byte, index string, e event.Event) []byte {
	dst = append(dst, `{"index":{"_index":`...)
	dst = event.AppendJSONString(dst, index)
	if e.UUID != "" {
		dst = append(dst, `,"_id":`...)
		dst = event.AppendJSONString(dst, e.UUID)
	}
	return payload(append(dst, "}}\n"...), e)
}

// Package sumologic posts events to an HTTP source of Sumo Logic.
//
// A batch is one post with a line for each event, which a source takes as a message each.
package sumologic

import (
	"context"
	_ "embed"
	"errors"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of a post.
	maxBatch = 500
	// maxBody is the most bytes of a post, before compression. Sumo Logic recommends 100 kB
	// to 1 MB.
	maxBody = 1_000_000
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "sumologic",
		Title:   "SumoLogic",
		Doc:     "Posts each event as a message to an HTTP source of Sumo Logic.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	ReceiverURL       config.Secret `key:"receiverurl" required:"true" doc:"URL of the HTTP source. It holds the token."`
	SourceCategory    string        `key:"sourcecategory" doc:"Source category of the messages, in place of the source's own."`
	SourceHost        string        `key:"sourcehost" doc:"Source host of the messages, in place of the source's own."`
	Name              string        `key:"name" doc:"Source name of the messages, in place of the source's own."`
	EnableCompression bool          `key:"enablecompression" default:"true" doc:"Compress requests of several events with gzip."`
}

// Validate checks what the keys hold.
func (c Config) Validate() error {
	return errors.Join(
		config.At("receiverurl", httpx.CheckURL(c.ReceiverURL.Reveal())),
		config.At("sourcecategory", checkValue(c.SourceCategory)),
		config.At("sourcehost", checkValue(c.SourceHost)),
		config.At("name", checkValue(c.Name)),
	)
}

// checkValue checks what becomes the value of a header.
func checkValue(text string) error {
	if !httpguts.ValidHeaderFieldValue(text) {
		return errors.New("has a character that no header may have")
	}
	return nil
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

// Send posts the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return payload(dst, batch[i])
		})
		return to, s.post(ctx, body, to-from)
	})
}

// post sends one request of n events.
func (s *sender) post(ctx context.Context, body []byte, n int) error {
	h := http.Header{}
	for name, value := range map[string]string{
		"X-Sumo-Category": s.SourceCategory, "X-Sumo-Host": s.SourceHost, "X-Sumo-Name": s.Name,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if n > 1 && s.EnableCompression {
		h.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.ReceiverURL.Reveal(), body, h)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload appends the event's JSON and a newline.
func payload(dst []byte, e event.Event) []byte { return append(e.AppendJSON(dst), '\n') }

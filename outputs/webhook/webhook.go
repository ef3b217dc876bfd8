// Package webhook sends each event, as its JSON, to any HTTP endpoint.
package webhook

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "webhook",
		Title: "Webhook",
		Doc:   "Sends each event as JSON to an HTTP endpoint of your own.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address       config.Secret `key:"address" required:"true" doc:"URL that the events are sent to. It counts as a secret because such URLs often hold a token."`
	Method        string        `key:"method" default:"POST" doc:"HTTP method: PUT, in any case, or else POST."`
	CustomHeaders httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Content-Type and the others that are set by default."`
}

// Validate checks the address and the headers.
func (c Config) Validate() error {
	return errors.Join(
		config.At("address", httpx.CheckURL(c.Address.Reveal())),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)
}

type sender struct {
	Config
	http   *http.Client
	method string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	method := http.MethodPost
	if strings.EqualFold(c.Method, http.MethodPut) {
		method = http.MethodPut
	}
	return &sender{c, client, method}, nil
}

// Send posts one event. The header Idempotency-Key holds the event's UUID, the same in
// every attempt, so that a receiver can recognise what it has already got.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	e := batch[0]
	header := http.Header{}
	if e.UUID != "" {
		header.Set("Idempotency-Key", e.UUID)
	}
	httpx.SetHeaders(header, s.CustomHeaders)
	_, err := httpx.Do(ctx, s.http, s.method, s.Address.Reveal(), payload(e), header)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }

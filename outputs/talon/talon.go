// Package talon hands each event to Falco Talon, which responds to it with actions.
package talon

import (
	"context"
	_ "embed"
	"net/http"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "talon",
		Title: "Talon",
		Doc:   "Hands each event as JSON to Falco Talon, which responds to it with the actions of its rules.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address config.Secret `key:"address" required:"true" doc:"URL of Falco Talon, such as http://falco-talon:2803. It counts as a secret because it may hold a password."`
}

// Validate checks the address.
func (c Config) Validate() error {
	return config.At("address", httpx.CheckURL(c.Address.Reveal()))
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

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.Address.Reveal(), payload(batch[0]), nil)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }

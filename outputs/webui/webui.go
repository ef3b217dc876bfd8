// Package webui hands each event to Falcosidekick UI, which stores and shows it.
package webui

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
		Name:    "webui",
		Title:   "WebUI",
		Doc:     "Hands each event to Falcosidekick UI, with the list of the outputs that are configured.",
		Page:    page,
		Batch:   1,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	URL config.Secret `key:"url" required:"true" doc:"URL of Falcosidekick UI, such as http://falcosidekick-ui:2802. It counts as a secret because it may hold a password."`
}

// Validate checks the address.
func (c Config) Validate() error {
	return config.At("url", httpx.CheckURL(c.URL.Reveal()))
}

type sender struct {
	Config
	http *http.Client
	host outputs.Host
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, env.Host}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var titles []string
	if s.host != nil {
		titles = s.host.Outputs()
	}
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.URL.Reveal(), payload(batch[0], titles), nil)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event and the titles of the outputs, and a newline.
func payload(e event.Event, titles []string) []byte {
	b := append(make([]byte, 0, 2048), `{"event":`...)
	b = e.AppendJSON(b)
	b = append(b, `,"outputs":`...)
	b = event.AppendJSONStrings(b, titles)
	return append(b, "}\n"...)
}

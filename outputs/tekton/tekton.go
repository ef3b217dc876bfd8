// Package tekton posts events to the EventListener of Tekton Triggers, which starts a
// pipeline for each.
package tekton

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
		Name:  "tekton",
		Title: "Tekton",
		Doc:   "Posts each event as JSON to an EventListener of Tekton Triggers, which starts a pipeline.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	EventListener config.Secret `key:"eventlistener" required:"true" doc:"URL of the EventListener, such as http://el-falco-listener.tekton-pipelines:8080. It counts as a secret because such URLs may hold a token."`
}

// Validate checks the address.
func (c Config) Validate() error {
	return config.At("eventlistener", httpx.CheckURL(c.EventListener.Reveal()))
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
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.EventListener.Reveal(), payload(batch[0]), nil)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }

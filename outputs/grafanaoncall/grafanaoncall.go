// Package grafanaoncall raises an alert in Grafana OnCall, or in Grafana Cloud IRM, for each
// event.
package grafanaoncall

import (
	"context"
	_ "embed"
	"errors"
	"net/http"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "grafanaoncall",
		Title: "GrafanaOnCall",
		Doc:   "Raises an alert in Grafana OnCall for each event.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret `key:"webhookurl" required:"true" doc:"URL of an integration of type Formatted Webhook."`
	CustomHeaders httpx.Headers `key:"customheaders" doc:"Headers added to each request."`
}

// Validate checks the URL and the headers.
func (c Config) Validate() error {
	return errors.Join(
		config.At("webhookurl", httpx.CheckURL(c.WebhookURL.Reveal())),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)
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
	header := http.Header{"Content-Type": {"application/json"}}
	httpx.SetHeaders(header, s.CustomHeaders)
	return httpx.PostJSON(ctx, s.http, s.WebhookURL.Reveal(), payload(batch[0]), header)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// OnCall keeps an alert's payload whole and shows its texts in chats and on telephones;
// these let through all of an ordinary event.
const (
	maxTitle   = 1024
	maxMessage = 16_000
)

type alert struct {
	UID     string `json:"alert_uid"`
	State   string `json:"state"`
	Title   string `json:"title"`
	Message string `json:"message"`
}

// payload is the alert that the golden files pin.
func payload(e event.Event) alert {
	return alert{
		UID:     e.UUID,
		State:   "alerting",
		Title:   falcotext.CutUTF16("["+e.Priority.String()+"] "+e.Rule, maxTitle),
		Message: falcotext.CutUTF16(e.Output, maxMessage),
	}
}

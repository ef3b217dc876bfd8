// Package datadog posts events to Datadog's event stream.
package datadog

import (
	"context"
	_ "embed"
	"net/http"
	"net/url"
	"strings"

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
		Name:  "datadog",
		Title: "Datadog",
		Doc:   "Posts each event to the event stream of Datadog.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	APIKey config.Secret `key:"apikey" required:"true" doc:"API key of the Datadog organisation."`
	Host   string        `key:"host" default:"https://api.datadoghq.com" doc:"Base URL of the site's API, for example https://api.datadoghq.eu."`
}

// Validate checks the base URL.
func (c Config) Validate() error {
	return config.At("host", httpx.CheckURL(c.Host))
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
	address := strings.TrimRight(s.Host, "/") + "/api/v1/events?api_key=" + url.QueryEscape(s.APIKey.Reveal())
	return httpx.PostJSON(ctx, s.http, address, payload(batch[0]), nil)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Datadog's limits, in characters. It cuts or refuses what is longer.
const (
	maxTitle = 500
	maxText  = 4_000
	maxTag   = 200
)

// message is a post of Datadog's API of events, version 1.
type message struct {
	Title      string   `json:"title,omitempty"`
	Text       string   `json:"text,omitempty"`
	AlertType  string   `json:"alert_type"`
	SourceType string   `json:"source_type_name"`
	Tags       []string `json:"tags"`
}

// payload is the message that the golden files pin.
func payload(e event.Event) message {
	var tags []string
	for name, value := range falcotext.StringFields(e) {
		tags = append(tags, falcotext.Cut(name+":"+value, maxTag))
	}
	tags = append(tags, "source:"+e.Source, "source:falco")
	if e.Hostname != "" {
		tags = append(tags, "hostname:"+e.Hostname)
	}
	return message{
		Title:      falcotext.Cut(e.Rule, maxTitle),
		Text:       falcotext.Cut(e.Output, maxText),
		AlertType:  alertType(e.Priority),
		SourceType: "falco",
		Tags:       append(tags, e.Tags...),
	}
}

func alertType(p event.Priority) string {
	switch {
	case p >= event.Error:
		return "error"
	case p == event.Warning:
		return "warning"
	}
	return "info"
}

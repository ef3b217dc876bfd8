// Package webex posts events to a Webex space through an incoming webhook.
package webex

import (
	"context"
	_ "embed"
	"net/http"
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
		Name:  "webex",
		Title: "Webex",
		Doc:   "Posts each event as a message to a Webex space through an incoming webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL config.Secret `key:"webhookurl" required:"true" doc:"URL of the space's incoming webhook."`
}

// Validate checks the webhook's URL.
func (c Config) Validate() error {
	return config.At("webhookurl", httpx.CheckURL(c.WebhookURL.Reveal()))
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
	return httpx.PostJSON(ctx, s.http, s.WebhookURL.Reveal(), payload(batch[0]), nil)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// maxMessage is somewhat below the 7439 bytes that Webex takes.
const maxMessage = 7400

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: 6000, Value: 2000, Fields: 100}

type message struct {
	Markdown string `json:"markdown"`
}

// payload is the message that the golden files pin.
func payload(e event.Event) message {
	return message{falcotext.Fit(widest, func(l falcotext.Limits) (string, bool) {
		text := markdown(e, l)
		return text, len(text) <= maxMessage
	})}
}

// markdown is the event as Webex shows it. The lines that are empty but for white space
// keep each entry of a list apart from the next.
func markdown(e event.Event, l falcotext.Limits) string {
	cut := func(s string) string { return falcotext.CutUTF16(s, l.Value) }
	var b strings.Builder
	b.WriteString("# Falco Rule '" + cut(e.Rule) + "'\n\n### " + falcotext.CutUTF16(e.Output, l.Text) + "\n\n")
	b.WriteString("Additional informations:\n  * Hostname: " + cut(e.Hostname) + "\n  * Source:   " + cut(e.Source) + "  \n")
	b.WriteString("  * Priority: " + e.Priority.String() + "\n  * Tags:\n    ")
	for i, tag := range e.Tags {
		if i == l.Fields {
			b.WriteString("\n    * " + falcotext.Ellipsis + "\n    ")
			break
		}
		b.WriteString("\n    * " + cut(tag) + "\n    ")
	}
	b.WriteString("\n  * Fields:\n\t")
	for _, f := range l.Show(falcotext.AllFields(e, "<no value>")) {
		b.WriteString("\n\t* " + f.Name + ": " + f.Value + "\n\t")
	}
	b.WriteString("\n")
	return b.String()
}

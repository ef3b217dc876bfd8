// Package slack posts events to a Slack channel through an incoming webhook.
package slack

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/slack-go/slack"

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
		Name:  "slack",
		Title: "Slack",
		Doc:   "Posts each event as a message to a Slack channel through an incoming webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret      `key:"webhookurl" required:"true" doc:"URL of the channel's incoming webhook."`
	Channel       string             `key:"channel" doc:"Channel to post to, for a webhook that lets the sender choose; empty for the webhook's own."`
	Footer        string             `key:"footer" default:"https://github.com/falcosecurity/falcosidekick" doc:"Small text below the fields."`
	Icon          string             `key:"icon" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown beside the message."`
	Username      string             `key:"username" default:"Falcosidekick" doc:"Name shown as the message's author."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of a text above the message, for example: Alert: rule *{{ .Rule }}* on {{ index .OutputFields \"k8s.pod.name\" }}."`
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
	return httpx.PostJSON(ctx, s.http, s.WebhookURL.Reveal(), payload(s.Config, batch[0]), nil)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Limits of a message. Slack refuses a message that is too large as a whole; these let
// through all that ingest lets through of an ordinary event.
const (
	maxText   = 12_000 // characters of each long text
	maxValue  = 4_096  // characters of a field's value
	maxFields = 100    // output fields shown
	shortLen  = 36     // from this length, in characters, a field gets a line of its own
)

// message is what an incoming webhook takes. The message type of slack-go has members of
// its own that it cannot leave out, and another order, which would not be the bytes that
// receivers know from Falcosidekick.
type message struct {
	Text        string       `json:"text,omitempty"`
	Username    string       `json:"username,omitempty"`
	IconURL     string       `json:"icon_url,omitempty"`
	Channel     string       `json:"channel,omitempty"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Fallback string                  `json:"fallback"`
	Color    string                  `json:"color"`
	Text     string                  `json:"text,omitempty"`
	Fields   []slack.AttachmentField `json:"fields"`
	Footer   string                  `json:"footer,omitempty"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	a := attachment{
		Fallback: falcotext.Cut(e.Output, maxText),
		Color:    falcotext.Colour(e.Priority),
	}
	if c.OutputFormat != "fields" {
		a.Text = falcotext.Cut(e.Output, maxText)
	}
	if c.OutputFormat != "text" {
		a.Fields = fields(e)
		a.Footer = c.Footer
	}
	return message{
		Text:        falcotext.Cut(c.MessageFormat.Render(e), maxText),
		Username:    c.Username,
		IconURL:     c.Icon,
		Channel:     c.Channel,
		Attachments: []attachment{a},
	}
}

func fields(e event.Event) []slack.AttachmentField {
	var all []slack.AttachmentField
	add := func(title, value string, short bool) {
		all = append(all, slack.AttachmentField{Title: title, Value: falcotext.Cut(value, maxValue), Short: short})
	}
	add("rule", e.Rule, true)
	add("priority", e.Priority.String(), true)
	add("source", e.Source, true)
	if e.Hostname != "" {
		add("hostname", e.Hostname, true)
	}
	if len(e.Tags) > 0 {
		add("tags", falcotext.Tags(e), true)
	}
	shown, hidden := 0, 0
	for name, value := range falcotext.StringFields(e) {
		if shown == maxFields {
			hidden++
			continue
		}
		shown++
		add(name, value, utf8.RuneCountInString(value) < shortLen)
	}
	if hidden > 0 {
		add(falcotext.Ellipsis, fmt.Sprintf("and %d more fields", hidden), false)
	}
	add("time", falcotext.Time(e.Time), false)
	return all
}

// Package mattermost posts events to a Mattermost channel through an incoming webhook.
package mattermost

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

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
		Name:  "mattermost",
		Title: "Mattermost",
		Doc:   "Posts each event as a message to a Mattermost channel through an incoming webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret      `key:"webhookurl" required:"true" doc:"URL of the incoming webhook."`
	Footer        string             `key:"footer" default:"https://github.com/falcosecurity/falcosidekick" doc:"Small text below the fields."`
	Icon          string             `key:"icon" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown beside the message."`
	Username      string             `key:"username" default:"Falcosidekick" doc:"Name shown as the message's author."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of a text above the message, for example: Alert: rule **{{ .Rule }}** on {{ index .OutputFields \"k8s.pod.name\" }}."`
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
	body, err := httpx.EncodeFit(widest, maxBody, func(l falcotext.Limits) any { return payload(s.Config, batch[0], l) })
	if err != nil {
		return err
	}
	_, err = httpx.Call{Method: http.MethodPost, Address: s.WebhookURL.Reveal(), Body: body, Judge: judge}.Do(ctx, s.http)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// judge is httpx.StatusError, but for the webhook's own troubles, which Mattermost answers
// with statuses that otherwise mean a bad event or a server that is down.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return err
	}
	about, ok := strings.CutPrefix(said.ID, "web.incoming_webhook.")
	if !ok {
		return err
	}
	switch strings.TrimSuffix(about, ".app_error") {
	case "parse", "text", "split_props_length", "decode":
		return outputs.Reject(err)
	case "invalid", "disabled", "user", "channel", "channel_locked", "permissions":
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// maxBody is somewhat below the 300 000 bytes that Mattermost takes unless its
// MaximumPayloadSizeBytes says otherwise.
const maxBody = 250_000

// widest lets through all of an ordinary event. Mattermost splits a text that is longer
// than a post may be.
var widest = falcotext.Limits{Text: 12_000, Value: 4096, Fields: 100}

// shortLen is the length, in characters, from which a field gets a line of its own.
const shortLen = 36

type message struct {
	Text        string       `json:"text,omitempty"`
	Username    string       `json:"username,omitempty"`
	IconURL     string       `json:"icon_url,omitempty"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Fallback string  `json:"fallback"`
	Color    string  `json:"color"`
	Text     string  `json:"text,omitempty"`
	Fields   []field `json:"fields"`
	Footer   string  `json:"footer,omitempty"`
}

type field struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event, l falcotext.Limits) message {
	a := attachment{
		Fallback: falcotext.CutUTF16(e.Output, l.Text),
		Color:    falcotext.Colour(e.Priority),
	}
	if c.OutputFormat != "fields" {
		a.Text = falcotext.CutUTF16(e.Output, l.Text)
	}
	if c.OutputFormat != "text" {
		a.Fields = fields(e, l)
		a.Footer = c.Footer
	}
	return message{
		Text:        falcotext.CutUTF16(c.MessageFormat.Render(e), l.Text),
		Username:    c.Username,
		IconURL:     c.Icon,
		Attachments: []attachment{a},
	}
}

func fields(e event.Event, l falcotext.Limits) []field {
	var all []field
	add := func(title, value string, short bool) {
		all = append(all, field{title, falcotext.CutUTF16(value, l.Value), short})
	}
	add("rule", e.Rule, true)
	if e.Hostname != "" {
		add("hostname", e.Hostname, true)
	}
	add("priority", e.Priority.String(), true)
	add("source", e.Source, true)
	if len(e.Tags) > 0 {
		add("tags", falcotext.Tags(e), true)
	}
	for _, f := range l.Show(falcotext.StringFields(e)) {
		add(f.Name, f.Value, utf8.RuneCountInString(f.Value) < shortLen)
	}
	add("time", falcotext.Time(e.Time), false)
	return all
}

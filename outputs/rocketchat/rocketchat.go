// Package rocketchat posts events to a Rocket.Chat channel through an incoming webhook.
package rocketchat

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
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
		Name:  "rocketchat",
		Title: "Rocketchat",
		Doc:   "Posts each event as a message to a Rocket.Chat channel through an incoming webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret      `key:"webhookurl" required:"true" doc:"URL of the incoming webhook."`
	Footer        string             `key:"footer" default:"https://github.com/falcosecurity/falcosidekick" doc:"Falcosidekick reads this key and sends it nowhere." inert:"messages of Rocket.Chat have no footer"`
	Icon          string             `key:"icon" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown beside the message."`
	Username      string             `key:"username" default:"Falcosidekick" doc:"Name shown as the message's author."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the text of messageformat, or the event's output without it; fields are its rule, priority, tags, output fields and so on; all is the output and the fields."`
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
	body, err := httpx.EncodeFit(widest, maxBody, func(l falcotext.Limits) any { return payload(s.Config, batch[0], l) })
	if err != nil {
		return err
	}
	call := httpx.Call{Method: http.MethodPost, Address: s.WebhookURL.Reveal(), Body: body, Judge: judge}
	answer, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	return accepted(answer)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// reply is what Rocket.Chat says to each request.
type reply struct {
	Success *bool  `json:"success"`
	Error   string `json:"error"`
}

var (
	// aboutSettings matches what Rocket.Chat says when the integration, its channel, its
	// user or its script is at fault.
	aboutSettings = regexp.MustCompile(`(?i)integration|channel|room|token|not-allowed|permission|invalid-user|script`)
	// code matches the names of errors, which have nothing of the request.
	code = regexp.MustCompile(`^[A-Za-z][A-Za-z .-]{0,80}$`)
)

// judge is httpx.StatusError, but for a 400 that is not the event's fault.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said reply
	if status == http.StatusBadRequest && json.Unmarshal(answer, &said) == nil && aboutSettings.MatchString(said.Error) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// accepted reads the answer that has status 200.
func accepted(answer []byte) error {
	var said reply
	if json.Unmarshal(answer, &said) != nil || said.Success == nil || *said.Success {
		return nil // a script of the integration may answer as it likes
	}
	name := "no reason"
	if code.MatchString(said.Error) {
		name = said.Error
	}
	err := fmt.Errorf("the endpoint answered 200 without success: %s", name)
	if aboutSettings.MatchString(said.Error) {
		return outputs.Hold(err)
	}
	return err
}

const (
	// maxBody bounds a message as a whole.
	maxBody = 250_000
	// maxText is what Message_MaxAllowedSize is unless an administrator has changed it. It
	// is about the message's text and not about attachments.
	maxText = 5000
	// shortLen is the length, in characters, from which a field gets a line of its own.
	shortLen = 36
)

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: 12_000, Value: 4096, Fields: 100}

type message struct {
	Text        string       `json:"text,omitempty"`
	Username    string       `json:"username,omitempty"`
	IconURL     string       `json:"icon_url,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`
}

type attachment struct {
	Fallback string  `json:"fallback"`
	Color    string  `json:"color"`
	Text     string  `json:"text,omitempty"`
	Fields   []field `json:"fields"`
}

type field struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event, l falcotext.Limits) message {
	m := message{
		Text:     c.MessageFormat.Render(e),
		Username: c.Username,
		IconURL:  c.Icon,
	}
	if c.OutputFormat == "text" {
		m.Text = cmp.Or(m.Text, e.Output, e.Rule)
	} else {
		a := attachment{
			Fallback: falcotext.CutUTF16(e.Output, l.Text),
			Color:    falcotext.Colour(e.Priority),
			Fields:   fields(e, l),
		}
		if c.OutputFormat != "fields" {
			a.Text = falcotext.CutUTF16(e.Output, l.Text)
		}
		m.Attachments = []attachment{a}
	}
	m.Text = falcotext.CutUTF16(m.Text, min(l.Text, maxText))
	return m
}

func fields(e event.Event, l falcotext.Limits) []field {
	var all []field
	add := func(title, value string, short bool) {
		all = append(all, field{title, falcotext.CutUTF16(value, l.Value), short})
	}
	add("rule", e.Rule, true)
	add("priority", e.Priority.String(), true)
	add("source", e.Source, true)
	if len(e.Tags) > 0 {
		add("tags", falcotext.Tags(e), true)
	}
	for _, f := range l.Show(falcotext.StringFields(e)) {
		add(f.Name, f.Value, utf8.RuneCountInString(f.Value) < shortLen)
	}
	add("time", falcotext.Time(e.Time), false)
	if e.Hostname != "" {
		add("hostname", e.Hostname, true)
	}
	return all
}

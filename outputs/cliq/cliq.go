// Package cliq posts events to a channel or bot of Zoho Cliq.
package cliq

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"time"

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
		Name:  "cliq",
		Title: "Cliq",
		Doc:   "Posts each event as a message to a channel or bot of Zoho Cliq.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret      `key:"webhookurl" required:"true" doc:"Message endpoint of the channel or bot, with a webhook token as zapikey."`
	Icon          string             `key:"icon" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown beside the message."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What is shown below the message's text: text is the event's output, where messageformat makes the text; fields is a table of rule, priority, output fields and so on; all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of the message's text in place of the event's output, for example: Alert: rule *{{ .Rule }}* on {{ index .OutputFields \"k8s.pod.name\" }}."`
	UseEmoji      bool               `key:"useemoji" default:"false" doc:"Begin the text with an emoji that shows the priority."`
}

// Validate checks the endpoint's URL.
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
	call := httpx.Call{
		Method: http.MethodPost, Address: s.WebhookURL.Reveal(), Body: body, Judge: judge,
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	_, err = call.Do(ctx, s.http)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// lock is how long Cliq refuses a user who has sent more than it allows in a minute.
const lock = 10 * time.Minute

var (
	aboutRate = regexp.MustCompile(`(?i)limit_exceeded|throttl`)
	// aboutSettings matches the names of errors that are about the token, the channel or
	// the bot.
	aboutSettings = regexp.MustCompile(`(?i)token|auth|key|access|permission|channel|bot|disabled|inactive|not_(found|exist)`)
)

// judge is httpx.StatusError, but for what Cliq answers with 400 and is not the event's
// fault.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return err
	}
	switch {
	case aboutRate.MatchString(said.Code) && status != http.StatusRequestEntityTooLarge:
		return outputs.RetryAfter(max(lock, outputs.Delay(err)), errors.New(err.Error()))
	case status == http.StatusBadRequest && aboutSettings.MatchString(said.Code):
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

const (
	// maxText is the longest text of a message, in characters.
	maxText = 5000
	// maxBody bounds a message as a whole.
	maxBody = 100_000
)

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: maxText, Value: 2000, Fields: 100}

type message struct {
	Text   string  `json:"text"`
	Bot    bot     `json:"bot"`
	Slides []slide `json:"slides,omitempty"`
}

type bot struct {
	Name  string `json:"name"`
	Image string `json:"image,omitempty"`
}

type slide struct {
	Type string `json:"type"`
	Data any    `json:"data"`
}

type table struct {
	Headers []string `json:"headers"`
	Rows    []row    `json:"rows"`
}

type row struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event, l falcotext.Limits) message {
	m := message{Text: c.MessageFormat.Render(e), Bot: bot{"Falcosidekick", c.Icon}}
	switch {
	case m.Text == "": // Cliq takes no message without a text
		m.Text = cmp.Or(e.Output, e.Rule)
	case c.OutputFormat != "fields":
		m.Slides = append(m.Slides, slide{"text", falcotext.CutUTF16(e.Output, l.Text)})
	}
	if c.OutputFormat != "text" {
		m.Slides = append(m.Slides, slide{"table", table{[]string{"field", "value"}, rows(e, l)}})
	}
	if c.UseEmoji {
		m.Text = emoji(e.Priority) + " " + m.Text
	}
	m.Text = falcotext.CutUTF16(m.Text, l.Text)
	return m
}

func rows(e event.Event, l falcotext.Limits) []row {
	var all []row
	add := func(field, value string) { all = append(all, row{field, falcotext.CutUTF16(value, l.Value)}) }
	add("rule", e.Rule)
	add("priority", e.Priority.String())
	if e.Hostname != "" {
		add("hostname", e.Hostname)
	}
	for _, f := range l.Show(falcotext.StringFields(e)) {
		add(f.Name, f.Value)
	}
	add("time", falcotext.Time(e.Time))
	return all
}

// emoji returns the sign of a priority.
func emoji(p event.Priority) string {
	switch p {
	case event.Emergency, event.Error:
		return "\U0001F6A8"
	case event.Alert, event.Critical:
		return "\U0001F7E0"
	case event.Warning:
		return "\U0001F7E1"
	case event.Notice:
		return "\U0001F535"
	case event.Informational:
		return "\U0001F7E2"
	case event.Debug:
		return "\u26AA"
	}
	return "?"
}

// Package googlechat posts events to a Google Chat space through an incoming webhook.
package googlechat

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"

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
		Name:  "googlechat",
		Title: "GoogleChat",
		Doc:   "Posts each event as a card to a Google Chat space through an incoming webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret      `key:"webhookurl" required:"true" doc:"URL of the space's incoming webhook."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the text of messageformat, or the event's output without it; all and fields are that of messageformat, if any, and a card with rule, priority, output fields and so on."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of a text above the card, for example: Alert: rule *{{ .Rule }}* on {{ index .OutputFields \"k8s.pod.name\" }}."`
	ThreadKey     falcotext.Template `key:"threadkey" doc:"Go template of the name of the thread that a message goes to, for example: {{ .Rule }}. Messages with the same name share a thread; without it each starts one."`
}

// Validate checks the webhook's URL.
func (c Config) Validate() error {
	return config.At("webhookurl", httpx.CheckURL(c.WebhookURL.Reveal()))
}

type sender struct {
	Config
	address config.Secret
	http    *http.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	address := c.WebhookURL
	if c.ThreadKey.String() != "" {
		var err error
		if address, err = threaded(address); err != nil {
			return nil, err
		}
	}
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, address, client}, nil
}

// threaded returns the webhook's address with the parameter without which Google Chat
// ignores the thread of a message.
func threaded(address config.Secret) (config.Secret, error) {
	u, err := url.Parse(address.Reveal())
	if err != nil {
		return config.Secret{}, errors.New("webhookurl is not a valid URL")
	}
	q := u.Query()
	q.Set("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
	u.RawQuery = q.Encode()
	return config.NewSecret(u.String()), nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.EncodeFit(widest, maxBody, func(l falcotext.Limits) any { return payload(s.Config, batch[0], l) })
	if err != nil {
		return err
	}
	_, err = httpx.Call{Method: http.MethodPost, Address: s.address.Reveal(), Body: body, Judge: judge}.Do(ctx, s.http)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// judge is httpx.StatusError, but for a wrong key, which Google answers with 400.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	if status == http.StatusBadRequest && (bytes.Contains(answer, []byte("API_KEY_INVALID")) || bytes.Contains(answer, []byte("API key"))) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

const (
	// maxBody is somewhat below the 32 000 bytes that Google Chat takes.
	maxBody = 31_000
	// maxThreadKey is the longest name of a thread, in characters.
	maxThreadKey = 4000
	// maxWidgets is the most that a card shows.
	maxWidgets = 100
)

// widest lets through all of an ordinary event. A card has six widgets that are no output
// fields, and one that counts those left out.
var widest = falcotext.Limits{Text: 12_000, Value: 4096, Fields: maxWidgets - 7}

type message struct {
	Text   string  `json:"text,omitempty"`
	Cards  []card  `json:"cards,omitempty"`
	Thread *thread `json:"thread,omitempty"`
}

type card struct {
	Header   header    `json:"header"`
	Sections []section `json:"sections"`
}

type header struct {
	Title    string `json:"title"`
	Subtitle string `json:"subtitle"`
}

type section struct {
	Widgets []widget `json:"widgets"`
}

type widget struct {
	KeyValue keyValue `json:"keyValue"`
}

type keyValue struct {
	TopLabel string `json:"topLabel"`
	Content  string `json:"content"`
}

type thread struct {
	Key string `json:"threadKey"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event, l falcotext.Limits) message {
	m := message{Text: c.MessageFormat.Render(e)}
	if c.OutputFormat != "text" {
		m.Cards = []card{{Sections: []section{{Widgets: widgets(e, l)}}}}
	} else { // Google Chat refuses a message without a text and a card
		m.Text = cmp.Or(m.Text, e.Output, e.Rule)
	}
	m.Text = falcotext.CutUTF16(m.Text, l.Text)
	if key := c.ThreadKey.Render(e); key != "" {
		m.Thread = &thread{falcotext.CutUTF16(key, min(l.Text, maxThreadKey))}
	}
	return m
}

func widgets(e event.Event, l falcotext.Limits) []widget {
	var all []widget
	add := func(label, content string) {
		all = append(all, widget{keyValue{label, falcotext.CutUTF16(content, l.Value)}})
	}
	add("rule", e.Rule)
	add("priority", e.Priority.String())
	add("source", e.Source)
	if e.Hostname != "" {
		add("hostname", e.Hostname)
	}
	for _, f := range l.Show(falcotext.StringFields(e)) {
		add(f.Name, f.Value)
	}
	if len(e.Tags) > 0 {
		add("tags", falcotext.Tags(e))
	}
	add("time", falcotext.Time(e.Time))
	return all
}

// Package discord posts events to a Discord channel through a webhook.
package discord

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
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
		Name:  "discord",
		Title: "Discord",
		Doc:   "Posts each event as an embed to a Discord channel through a webhook.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL config.Secret `key:"webhookurl" required:"true" doc:"URL of the channel's webhook."`
	Icon       string        `key:"icon" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown beside the message."`
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
	address, err := confirmed(c.WebhookURL.Reveal())
	if err != nil {
		return nil, err
	}
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, config.NewSecret(address), client}, nil
}

// confirmed returns the webhook's address with wait=true, unless it has a wait already:
// without it Discord answers before it has stored the message, and says nothing when it
// cannot.
func confirmed(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("webhookurl is not a valid URL")
	}
	if q := u.Query(); !q.Has("wait") {
		q.Set("wait", "true")
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
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

// maxPause is the longest pause that an answer can ask for.
const maxPause = time.Hour

// judge is httpx.StatusError, but for what Discord says in the answer's body: how long a
// rate limit lasts, and that the webhook's channel takes no such messages.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		Code       int     `json:"code"`
		RetryAfter float64 `json:"retry_after"` // seconds
	}
	if json.Unmarshal(answer, &said) != nil {
		return err
	}
	if status == http.StatusTooManyRequests && said.RetryAfter > 0 {
		pause := time.Duration(min(said.RetryAfter, maxPause.Seconds()) * float64(time.Second))
		return outputs.RetryAfter(max(pause, outputs.Delay(err)), err)
	}
	// 22000x: the webhook is of a forum or media channel, where each message needs a thread.
	if status == http.StatusBadRequest && said.Code/100 == 2200 {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// Discord's limits of an embed. It refuses a message that is over one of them.
const (
	maxFields = 25
	maxName   = 256
	maxValue  = 1024
	maxTotal  = 6000 // description, names and values together
	maxText   = 4096 // description
)

type message struct {
	Content   string  `json:"content"`
	AvatarURL string  `json:"avatar_url,omitempty"`
	Embeds    []embed `json:"embeds"`
}

type embed struct {
	Title       string  `json:"title"`
	URL         string  `json:"url"`
	Description string  `json:"description"`
	Color       string  `json:"color"`
	Fields      []field `json:"fields"`
}

type field struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	limits := falcotext.Limits{Text: maxText, Value: maxValue, Fields: maxFields}
	shown := falcotext.Fit(limits, func(l falcotext.Limits) (embed, bool) {
		em := embed{
			Description: falcotext.CutUTF16(e.Output, l.Text),
			Color:       colour(e.Priority),
			Fields:      fields(e, l),
		}
		return em, em.size() <= maxTotal
	})
	return message{AvatarURL: c.Icon, Embeds: []embed{shown}}
}

// size is what Discord counts.
func (em embed) size() int {
	n := falcotext.LenUTF16(em.Description)
	for _, f := range em.Fields {
		n += falcotext.LenUTF16(f.Name) + falcotext.LenUTF16(f.Value)
	}
	return n
}

func fields(e event.Event, l falcotext.Limits) []field {
	before := []field{{"rule", e.Rule, true}, {"priority", e.Priority.String(), true}, {"source", e.Source, true}, {"hostname", e.Hostname, true}}
	after := []field{{"tags", falcotext.Tags(e), true}, {"time", falcotext.Time(e.Time), true}}
	room := maxFields - len(before) - len(after)
	own := 0
	for range falcotext.StringFields(e) {
		own++
	}
	if own > room {
		room-- // for the field that counts the rest
	}
	l.Fields = min(l.Fields, room)

	var all []field
	add := func(fs ...field) {
		for _, f := range fs {
			f.Name, f.Value = falcotext.CutUTF16(f.Name, maxName), falcotext.CutUTF16(f.Value, l.Value)
			if strings.TrimSpace(f.Value) != "" { // Discord takes no empty one
				all = append(all, f)
			}
		}
	}
	add(before...)
	for _, f := range l.Show(falcotext.StringFields(e)) {
		if strings.TrimSpace(f.Name) == "" {
			f.Name = falcotext.Ellipsis
		}
		add(field{f.Name, fenced(f.Value, l.Value), true})
	}
	add(after...)
	return all
}

const (
	fence = "```"
	// brokenFence looks like a fence and is none.
	brokenFence = "``\u200b`"
)

// fenced returns text as a code block of at most n units. A fence within the text would
// end the block, and what follows could pass for a message of ours.
func fenced(text string, n int) string {
	text = strings.ReplaceAll(text, fence, brokenFence)
	return fence + falcotext.CutUTF16(text, max(n-2*len(fence), 1)) + fence
}

// colour returns the colour of a priority as Discord's decimal number.
func colour(p event.Priority) string {
	switch p {
	case event.Emergency:
		return "15158332"
	case event.Alert:
		return "11027200"
	case event.Critical:
		return "15105570"
	case event.Error:
		return "15844367"
	case event.Warning:
		return "12745742"
	case event.Notice:
		return "3066993"
	case event.Informational:
		return "3447003"
	}
	return "12370112"
}

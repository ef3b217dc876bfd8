// Package gotify sends events as messages to a Gotify server.
package gotify

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
		Name:  "gotify",
		Title: "Gotify",
		Doc:   "Sends each event as a message to a Gotify server.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort string        `key:"hostport" required:"true" doc:"Base URL of the server, for example https://gotify.example.com."`
	Token    config.Secret `key:"token" doc:"Token of the application that the messages belong to."`
	Format   string        `key:"format" default:"markdown" oneof:"markdown,plaintext,text,json" doc:"Form of the message: markdown, plain text (plaintext or text), or the event's JSON."`
}

// Validate checks the base URL.
func (c Config) Validate() error {
	return config.At("hostport", httpx.CheckURL(c.HostPort))
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
	var header http.Header
	if token := s.Token.Reveal(); token != "" {
		header = http.Header{"X-Gotify-Key": {token}}
	}
	address := strings.TrimRight(s.HostPort, "/") + "/message"
	return httpx.PostJSON(ctx, s.http, address, payload(s.Config, batch[0]), header)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

const (
	// maxText is somewhat below the 65 535 bytes that a message may have where the server
	// keeps it in MySQL; another database takes more.
	maxText = 60_000
	// maxTitle is the longest title, in characters: what an app can still show.
	maxTitle = 1000
)

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: 12_000, Value: 4096, Fields: 200}

type message struct {
	Title    string                       `json:"title"`
	Priority int                          `json:"priority,omitempty"`
	Message  string                       `json:"message"`
	Extras   map[string]map[string]string `json:"extras"`
}

// style is how a text is laid out. Each line of it begins with bullet and has the name
// between two of strong.
type style struct{ contentType, bullet, strong, fieldBullet string }

var (
	markdown  = style{"markdown", "- ", "**", "\t- "}
	plaintext = style{"plaintext", "", "", "- "}
)

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	s := markdown
	if c.Format != "" && c.Format != "markdown" {
		s = plaintext
	}
	m := message{
		Title:    falcotext.CutUTF16("[Falco] ["+e.Priority.String()+"] "+e.Rule, maxTitle),
		Priority: int(e.Priority),
		Extras:   map[string]map[string]string{"client::display": {"contentType": s.contentType}},
	}
	if c.Format == "json" {
		m.Message = string(e.AppendJSON(nil))
		return m
	}
	m.Message = falcotext.Fit(widest, func(l falcotext.Limits) (string, bool) {
		t := text(e, s, l)
		return t, len(t) <= maxText
	})
	return m
}

func text(e event.Event, s style, l falcotext.Limits) string {
	var b strings.Builder
	line := func(name, value string) {
		b.WriteString(s.bullet + s.strong + name + s.strong + ": " + value + "\n")
	}
	var tags strings.Builder
	for _, tag := range e.Tags {
		tags.WriteString(tag + " ")
	}
	line("Priority", e.Priority.String())
	line("Rule", falcotext.CutUTF16(e.Rule, l.Value))
	line("Output", falcotext.CutUTF16(e.Output, l.Text))
	line("Source", falcotext.CutUTF16(e.Source, l.Value))
	line("Tags", falcotext.CutUTF16(tags.String(), l.Value))
	line("Time", falcotext.Time(e.Time))
	b.WriteString(s.bullet + s.strong + "Fields" + s.strong + ":\n")
	for _, f := range l.Show(falcotext.AllFields(e, "<no value>")) {
		b.WriteString(s.fieldBullet + s.strong + f.Name + s.strong + ": " + f.Value + "\n")
	}
	return b.String()
}

// Package opsgenie creates an alert in Opsgenie for each event.
package opsgenie

import (
	"cmp"
	"context"
	_ "embed"
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
		Name:  "opsgenie",
		Title: "Opsgenie",
		Doc:   "Creates an alert in Opsgenie for each event.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	APIKey config.Secret `key:"apikey" required:"true" doc:"Key of an API integration."`
	Region string        `key:"region" default:"us" doc:"Region of the account: eu, in any case, or else us."`
	APIURL string        `key:"apiurl" doc:"Base URL of the API, for a proxy or Jira Service Management; empty for the region's own."`
}

// Validate checks the base URL.
func (c Config) Validate() error {
	if c.APIURL == "" {
		return nil
	}
	return config.At("apiurl", httpx.CheckURL(c.APIURL))
}

type sender struct {
	Config
	http    *http.Client
	address string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, address(c)}, nil
}

func address(c Config) string {
	base := "https://api.opsgenie.com"
	if strings.EqualFold(c.Region, "eu") {
		base = "https://api.eu.opsgenie.com"
	}
	if c.APIURL != "" {
		base = strings.TrimRight(c.APIURL, "/")
	}
	return base + "/v2/alerts"
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	header := http.Header{"Authorization": {"GenieKey " + s.APIKey.Reveal()}}
	return httpx.PostJSON(ctx, s.http, s.address, payload(batch[0]), header)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Opsgenie's limits, in characters. It refuses what is longer.
const (
	maxMessage     = 130
	maxDescription = 15_000
	maxDetails     = 8_000 // names and values together
	maxDetail      = 2_000 // our own, so that one field does not use up the rest's room
)

// alert is a post of Opsgenie's API of alerts, version 2. Opsgenie adds an alert to the
// open one with the same alias, so that an event sent twice is one alert.
type alert struct {
	Message     string            `json:"message"`
	Entity      string            `json:"entity"`
	Description string            `json:"description,omitempty"`
	Details     map[string]string `json:"details"`
	Priority    string            `json:"priority"`
	Alias       string            `json:"alias,omitempty"`
}

// payload is the alert that the golden files pin. An output too long for the message, or
// of which only the headline stands there, is in the details as well.
func payload(e event.Event) alert {
	text := cmp.Or(e.Output, e.Rule)
	message := falcotext.Cut(cmp.Or(e.Headline(), text), maxMessage)
	return alert{
		Message:     message,
		Entity:      "Falcosidekick",
		Description: falcotext.Cut(e.Rule, maxDescription),
		Details:     details(e, message != text),
		Priority:    priority(e.Priority),
		Alias:       e.UUID,
	}
}

// details are what is known about the event, as much of it as there is room for, the most
// telling first.
func details(e event.Event, withOutput bool) map[string]string {
	found := map[string]string{}
	room := maxDetails
	add := func(name, value string) {
		value = falcotext.Cut(value, maxDetail)
		need := utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
		if _, twice := found[name]; twice || need > room {
			return
		}
		room -= need
		found[name] = value
	}
	add("rule", e.Rule)
	add("priority", e.Priority.String())
	add("source", e.Source)
	if e.Hostname != "" {
		add("hostname", e.Hostname)
	}
	if len(e.Tags) > 0 {
		add("tags", falcotext.Tags(e))
	}
	if withOutput {
		add("output", e.Output)
	}
	for name, value := range falcotext.StringFields(e) {
		add(strings.ReplaceAll(name, ".", "_"), value)
	}
	return found
}

func priority(p event.Priority) string {
	switch p {
	case event.Emergency, event.Alert:
		return "P1"
	case event.Critical:
		return "P2"
	case event.Error:
		return "P3"
	case event.Warning:
		return "P4"
	}
	return "P5"
}

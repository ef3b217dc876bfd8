// Package incidentio sends events as alerts to an HTTP alert source of incident.io.
package incidentio

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
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
		Name:  "incidentio",
		Title: "Incident.io",
		Doc:   "Sends each event as an alert to an HTTP alert source of incident.io.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	SourceID  string            `key:"sourceid" required:"true" doc:"Id of the alert source: the last part of the URL that its page shows."`
	Token     config.Secret     `key:"token" required:"true" doc:"Token of the alert source."`
	SourceURL string            `key:"sourceurl" doc:"URL that the alert links to, as of a page that shows the events."`
	Metadata  map[string]string `key:"metadata" doc:"Metadata added to each alert, such as a team, in place of our own of the same name."`
	APIURL    string            `key:"apiurl" default:"https://api.incident.io" doc:"Base URL of the API, for a proxy."`
}

var sourceID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate checks id and addresses.
func (c Config) Validate() error {
	errs := []error{config.At("apiurl", httpx.CheckURL(c.APIURL))}
	if !sourceID.MatchString(c.SourceID) {
		errs = append(errs, config.At("sourceid", errors.New("must be the id of an alert source: 01GW2G3V0S59R238FAHPDS1R66")))
	}
	if c.SourceURL != "" {
		errs = append(errs, config.At("sourceurl", httpx.CheckURL(c.SourceURL)))
	}
	return errors.Join(errs...)
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
	return &sender{c, client, strings.TrimRight(c.APIURL, "/") + "/v2/alert_events/http/" + c.SourceID}, nil
}

// Send sends one alert. The event's UUID is its key of deduplication, so that an event sent
// twice is one alert.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	header := http.Header{"Authorization": {"Bearer " + s.Token.Reveal()}}
	said, err := httpx.Do(ctx, s.http, http.MethodPost, s.address, body, header)
	if err != nil {
		return err
	}
	if !json.Valid(said) {
		return outputs.Hold(errors.New("the endpoint answered 2xx without JSON: is apiurl that of incident.io?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Limits of an alert, in characters; our own, for what people can read.
const (
	maxTitle       = 255
	maxDescription = 8_000
	maxValue       = 2_000
	maxMetadata    = 64 << 10
)

// alert is what an HTTP alert source takes.
type alert struct {
	Title            string                 `json:"title"`
	Status           string                 `json:"status"`
	DeduplicationKey string                 `json:"deduplication_key,omitempty"`
	Description      string                 `json:"description"`
	SourceURL        string                 `json:"source_url,omitempty"`
	Metadata         map[string]event.Value `json:"metadata"`
}

// payload is the alert that the golden files pin.
func payload(c Config, e event.Event) alert {
	title := "[" + e.Priority.String() + "] " + cmp.Or(e.Headline(), e.Rule)
	return alert{
		Title:            falcotext.Cut(strings.Join(strings.Fields(title), " "), maxTitle),
		Status:           "firing",
		DeduplicationKey: e.UUID,
		Description:      falcotext.Cut(cmp.Or(e.Output, e.Rule), maxDescription),
		SourceURL:        c.SourceURL,
		Metadata:         metadata(c, e),
	}
}

// metadata is what incident.io makes attributes of, as much of it as there is room for, the
// most telling first.
func metadata(c Config, e event.Event) map[string]event.Value {
	found := make(map[string]event.Value, len(e.Fields)+8)
	room := maxMetadata
	add := func(name string, value event.Value) {
		if s, ok := value.Str(); ok {
			value = event.StringValue(falcotext.Cut(s, maxValue))
		}
		need := len(event.AppendJSONString(nil, name)) + len(value.AppendJSON(nil)) + 2
		if _, twice := found[name]; twice || need > room {
			return
		}
		room -= need
		found[name] = value
	}
	for name, value := range c.Metadata {
		found[name] = event.StringValue(value)
	}
	add("rule", event.StringValue(e.Rule))
	add("priority", event.StringValue(e.Priority.String()))
	add("source", event.StringValue(e.Source))
	if e.Hostname != "" {
		add("hostname", event.StringValue(e.Hostname))
	}
	if len(e.Tags) > 0 {
		add("tags", event.CompositeValue(string(event.AppendJSONStrings(nil, e.Tags))))
	}
	add("time", event.StringValue(falcotext.Time(e.Time)))
	for _, f := range e.Fields {
		add(f.Name, f.Value)
	}
	return found
}

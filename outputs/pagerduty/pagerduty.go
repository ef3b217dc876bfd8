// Package pagerduty triggers an alert in PagerDuty for each event.
package pagerduty

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

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
		Name:  "pagerduty",
		Title: "Pagerduty",
		Doc:   "Triggers an alert in PagerDuty for each event.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	RoutingKey config.Secret `key:"routingkey" required:"true" doc:"Integration key of a service or event orchestration, for the Events API v2."`
	Region     string        `key:"region" default:"us" doc:"Service region of the account: eu, in any case, or else us."`
	APIURL     string        `key:"apiurl" doc:"Base URL of the Events API, for a proxy; empty for the region's own."`
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
	http *http.Client
	base string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, base(c)}, nil
}

func base(c Config) string {
	switch {
	case c.APIURL != "":
		return strings.TrimRight(c.APIURL, "/")
	case strings.EqualFold(c.Region, "eu"):
		return "https://events.eu.pagerduty.com"
	}
	return "https://events.pagerduty.com"
}

// Send triggers one alert. The event's UUID is the alert's key of deduplication, so that
// an event sent twice is one alert.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	e := payload(batch[0])
	e.RoutingKey = s.RoutingKey.Reveal()
	call := &call{http: s.http, key: e.RoutingKey}
	client := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(s.base))
	client.HTTPClient = call
	_, err := client.ManageEventWithContext(ctx, &e)
	return cmp.Or(call.err, err)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// call makes the request of one Send. It keeps the outcome, of which go-pagerduty's error
// would only be a text.
type call struct {
	http *http.Client
	key  string
	err  error
}

// Do implements pagerduty.HTTPClient.
func (c *call) Do(req *http.Request) (*http.Response, error) {
	res, err := httpx.Exchange(c.http, req, httpx.MaxAnswer, c.key)
	if err != nil {
		c.err = err
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = statusError(res, body)
	}
	if err != nil {
		c.err = err
		return nil, err
	}
	// The status decides; the library would want JSON.
	res.Body = io.NopCloser(strings.NewReader("{}"))
	return res, nil
}

// aboutKey matches what PagerDuty says of a routing key it does not know.
var aboutKey = regexp.MustCompile(`(?i)routing[ _]key`)

// statusError is httpx.StatusError, but for a 400 that is not the event's fault.
func statusError(res *http.Response, body []byte) error {
	err := httpx.StatusError(res.StatusCode, res.Header, body)
	if res.StatusCode == http.StatusBadRequest && aboutKey.Match(body) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// Limits of the Events API. It refuses an event that is over one of them.
const (
	maxSummary = 1024      // characters
	maxDetails = 384 << 10 // bytes of JSON, of the 512 KiB that an event may have
	maxDetail  = 32 << 10  // characters; our own, so that one field does not use up the rest's room
)

// payload is the event, but for the routing key, that the golden files pin. An output too
// long for the summary, or of which only the headline stands there, is in the details as
// well.
func payload(e event.Event) pagerduty.V2Event {
	text := cmp.Or(e.Output, e.Rule)
	cut := falcotext.Cut(cmp.Or(e.Headline(), text), maxSummary)
	return pagerduty.V2Event{
		Action:   "trigger",
		DedupKey: e.UUID,
		Payload: &pagerduty.V2Payload{
			Summary:   cut,
			Source:    "falco",
			Severity:  "critical",
			Timestamp: e.Time.Format(time.RFC3339),
			Details:   details(e, cut != text),
		},
	}
}

// details are the output fields and the hostname, as much of them as there is room for.
func details(e event.Event, withOutput bool) map[string]event.Value {
	found := make(map[string]event.Value, len(e.Fields)+2)
	room := maxDetails
	add := func(name string, value event.Value) {
		if s, ok := value.Str(); ok {
			value = event.StringValue(falcotext.Cut(s, maxDetail))
		}
		need := len(event.AppendJSONString(nil, name)) + len(value.AppendJSON(nil)) + 2
		if need > room {
			return
		}
		room -= need
		found[name] = value
	}
	if e.Hostname != "" {
		add("hostname", event.StringValue(e.Hostname))
	}
	for _, f := range e.Fields {
		if f.Name != "hostname" || e.Hostname == "" {
			add(f.Name, f.Value)
		}
	}
	if _, taken := found["output"]; withOutput && !taken {
		add("output", event.StringValue(e.Output))
	}
	return found
}

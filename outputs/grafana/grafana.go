// Package grafana writes events as annotations into Grafana, where dashboards show them
// beside their graphs.
package grafana

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
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
		Name:  "grafana",
		Title: "Grafana",
		Doc:   "Writes each event as an annotation into Grafana.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort        string        `key:"hostport" required:"true" doc:"Base URL of Grafana, for example https://grafana.example.com:3000."`
	APIKey          config.Secret `key:"apikey" required:"true" doc:"Token of a service account that may write annotations."`
	DashboardID     uint          `key:"dashboardid" default:"0" doc:"Dashboard that the annotations belong to; 0 for all."`
	PanelID         uint          `key:"panelid" default:"0" doc:"Panel of that dashboard; 0 for all."`
	AllFieldsAsTags bool          `key:"allfieldsastags" default:"false" doc:"Add the value of each output field, and the event's tags, to the annotation's tags."`
	CustomHeaders   httpx.Headers `key:"customheaders" doc:"Headers added to each request."`
}

// Validate checks the base URL and the headers.
func (c Config) Validate() error {
	return errors.Join(
		config.At("hostport", httpx.CheckURL(c.HostPort)),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)
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
	header := http.Header{
		"Content-Type":  {"application/json"},
		"Authorization": {"Bearer " + s.APIKey.Reveal()},
	}
	httpx.SetHeaders(header, s.CustomHeaders)
	address := strings.TrimRight(s.HostPort, "/") + "/api/annotations"
	return httpx.PostJSON(ctx, s.http, address, payload(s.Config, batch[0]), header)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Grafana's limits, in characters: the widths of columns in the databases it may use. A
// longer text fails there with status 500, each time it is tried.
const (
	maxTag  = 100
	maxText = 16_000
)

// annotation is a post of Grafana's API of annotations. Its times are milliseconds since
// the epoch.
type annotation struct {
	DashboardID uint     `json:"dashboardId,omitempty"`
	PanelID     uint     `json:"panelId,omitempty"`
	Time        int64    `json:"time"`
	TimeEnd     int64    `json:"timeEnd"`
	Tags        []string `json:"tags"`
	Text        string   `json:"text"`
}

// payload is the annotation that the golden files pin.
func payload(c Config, e event.Event) annotation {
	tags := []string{"falco", e.Priority.String(), e.Rule, e.Source}
	if e.Hostname != "" {
		tags = append(tags, e.Hostname)
	}
	if c.AllFieldsAsTags {
		for _, f := range e.Fields {
			if !event.IsSummaryFigure(f.Name) {
				tags = append(tags, tag(f.Value))
			}
		}
		tags = append(tags, e.Tags...)
	}
	for i := range tags {
		tags[i] = falcotext.Cut(tags[i], maxTag)
	}
	return annotation{
		DashboardID: c.DashboardID,
		PanelID:     c.PanelID,
		Time:        e.Time.UnixMilli(),
		TimeEnd:     end(e).UnixMilli(),
		Tags:        tags,
		Text:        falcotext.Cut(e.Output, maxText),
	}
}

// end is the time of the event, or of the last one that a summary stands for.
func end(e event.Event) time.Time {
	if v, ok := e.Field(event.SummaryLast); ok {
		if last, err := time.Parse(time.RFC3339, v.Text()); err == nil && last.After(e.Time) {
			return last
		}
	}
	return e.Time
}

// tag is the text of a field's value, null being <nil> as ever.
func tag(v event.Value) string {
	if v.Kind() == event.Null {
		return "<nil>"
	}
	return v.Text()
}

// Package datadoglogs sends events to Datadog's logs.
package datadoglogs

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Limits of Datadog's API of logs, version 2.
const (
	// maxBatch is the most logs of a request.
	maxBatch = 1000
	// maxBody is the most bytes of a request, before compression.
	maxBody = 5_000_000
	// maxEvent is the most bytes of an event's JSON. Datadog cuts a log of more than 1 MB,
	// which would spoil the JSON in it, and quoting makes it longer.
	maxEvent = 400_000
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "datadoglogs",
		Title:   "DatadogLogs",
		Doc:     "Sends each event as a log to Datadog.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	APIKey            config.Secret `key:"apikey" required:"true" doc:"API key of the Datadog organisation."`
	Host              string        `key:"host" default:"https://http-intake.logs.datadoghq.com/" doc:"Base URL of the site's intake of logs, for example https://http-intake.logs.datadoghq.eu."`
	Service           string        `key:"service" doc:"Service that the logs belong to."`
	SendStatus        bool          `key:"sendstatus" default:"false" doc:"Send the priority as the log's status, which colours it; without it Datadog shows Info until a pipeline says otherwise."`
	EnableCompression bool          `key:"enablecompression" default:"true" doc:"Compress requests of several events with gzip."`
}

// Validate checks the base URL.
func (c Config) Validate() error { return config.At("host", httpx.CheckBase(c.Host, "apikey")) }

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
	return &sender{c, client, httpx.Join(c.Host, "/api/v2/logs")}, nil
}

// Send sends one log as an object, as Falcosidekick does, and several as an array.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if len(batch) == 1 {
		return s.post(ctx, append(payload(nil, s.Config, batch[0]), '\n'), false)
	}
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody-2, func(dst []byte, i int) []byte {
			return payload(append(dst, ','), s.Config, batch[i])
		})
		body[0] = '[' // in place of the first comma
		return to, s.post(ctx, append(body, ']', '\n'), s.EnableCompression)
	})
}

func (s *sender) post(ctx context.Context, body []byte, compress bool) error {
	h := http.Header{"Dd-Api-Key": {s.APIKey.Reveal()}}
	if compress {
		h.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.address, body, h)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// log is an entry of Datadog's API of logs, version 2. Members beside the reserved ones
// become attributes.
type log struct {
	Source   string `json:"ddsource"`
	Hostname string `json:"hostname,omitempty"`
	Service  string `json:"service,omitempty"`
	Message  string `json:"message"`
	Status   string `json:"status,omitempty"`
	Tags     string `json:"ddtags,omitempty"`
}

// payload appends the log that the golden files pin.
func payload(dst []byte, c Config, e event.Event) []byte {
	short := falcotext.Shorten(e, maxEvent)
	l := log{
		Source: "falco", Hostname: e.Hostname, Service: c.Service,
		Message: string(short.AppendJSON(nil)),
		Tags:    strings.Join(e.Tags, ","),
	}
	if c.SendStatus {
		l.Status = status(e.Priority)
	}
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // a struct of strings has JSON
	}
	return append(dst, text...)
}

// status is a priority as Datadog names it; it knows the severities of syslog.
func status(p event.Priority) string {
	switch p {
	case event.Informational:
		return "info"
	case event.None:
		return ""
	}
	return strings.ToLower(p.String())
}

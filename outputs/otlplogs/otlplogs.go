// Package otlplogs sends events as log records by OpenTelemetry's protocol.
package otlplogs

import (
	"context"
	_ "embed"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

//go:embed page.md
var page string

// maxBatch is the most records of one request, which is what OpenTelemetry's SDK sends.
const maxBatch = 512

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "otlplogs",
		Key:     "otlp.logs",
		Title:   "OTLPLogs",
		Doc:     "Sends each event as a log record by OpenTelemetry's protocol.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// severityPriority is the value of the key severity that shows the event's priority.
const severityPriority = "priority"

// Config is what a user sets.
type Config struct {
	otlpx.Config
	Synced       bool   `key:"synced" default:"false" doc:"Send each record in a request of its own."`
	Severity     string `key:"severity" default:"info" oneof:"info,priority" doc:"Severity of the records: always INFO, or that of the event's priority."`
	OutputFields bool   `key:"outputfields" default:"false" doc:"Add the event's UUID and output fields as attributes."`
}

type sender struct {
	Config
	client *otlpx.Client
	now    func() time.Time
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := otlpx.New(c.Config, otlpx.Logs, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, time.Now}, nil
}

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.Synced {
		return 1
	}
	return maxBatch
}

// Send sends the records of one batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var answer collogspb.ExportLogsServiceResponse
	if err := s.client.Export(ctx, s.request(batch), &answer); err != nil {
		return err
	}
	partial := answer.GetPartialSuccess()
	return s.client.Partial(partial.GetRejectedLogRecords(), partial.GetErrorMessage(), len(batch), "log records")
}

func (s *sender) request(batch []event.Event) *collogspb.ExportLogsServiceRequest {
	now, records := s.now(), make([]*logspb.LogRecord, len(batch))
	for i, e := range batch {
		records[i] = record(s.Config, e, now)
	}
	return &collogspb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{
		Resource:  s.client.Resource(),
		SchemaUrl: otlpx.SchemaURL,
		ScopeLogs: []*logspb.ScopeLogs{{
			Scope:      &commonpb.InstrumentationScope{Name: "falco"},
			LogRecords: records,
		}},
	}}}
}

// Close ends all connections.
func (s *sender) Close() error { return s.client.Close() }

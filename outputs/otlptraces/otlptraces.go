// Package otlptraces sends events as spans by OpenTelemetry's protocol.
//
// All spans of one pod, container or host belong to one trace, whose id follows from its
// name; the span's id follows from the event's UUID, so that an event that is sent twice is
// the same span.
package otlptraces

import (
	"context"
	_ "embed"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

//go:embed page.md
var page string

// maxBatch is the most spans of one request, which is what OpenTelemetry's SDK sends.
const maxBatch = 512

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "otlptraces",
		Key:     "otlp.traces",
		Title:   "OTLPTraces",
		Doc:     "Sends each event as a span by OpenTelemetry's protocol.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	otlpx.Config
	Duration time.Duration `key:"duration" default:"1s" unit:"ms" doc:"Length of a span. A bare number counts milliseconds."`
	Synced   bool          `key:"synced" default:"false" doc:"Send each span in a request of its own."`
}

type sender struct {
	Config
	client *otlpx.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := otlpx.New(c.Config, otlpx.Traces, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client}, nil
}

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.Synced {
		return 1
	}
	return maxBatch
}

// Send sends the spans of one batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	request := &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:  s.client.Resource(),
		SchemaUrl: otlpx.SchemaURL,
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: "falco-event"},
			Spans: spans(s.Duration, batch),
		}},
	}}}
	var answer coltracepb.ExportTraceServiceResponse
	if err := s.client.Export(ctx, request, &answer); err != nil {
		return err
	}
	partial := answer.GetPartialSuccess()
	return s.client.Partial(partial.GetRejectedSpans(), partial.GetErrorMessage(), len(batch), "spans")
}

// Close ends all connections.
func (s *sender) Close() error { return s.client.Close() }

// Package trace shows one event's way through the forwarder as an OpenTelemetry trace.
//
// It stands beside the flow and hears of it through the interfaces that ingest and deliver
// declare; nothing there knows of it. It is off by default, and costs nothing then.
//
//	ingest ─────────────────────────────── root: rule, priority, source, sender
//	├─ append                              into the journal
//	├─ deliver slack                       one for each attempt: outcome, number, error.type
//	├─ deliver elasticsearch
//	└─ dead letter                         given up
//
// The trace's id is the event's UUID, and the root span's id follows from it: so nothing has
// to be stored with the event, spans of different forwarders and of attempts after a restart
// meet in one trace, and who has an event can look up its trace. Whether an event is traced
// follows from the UUID, too.
//
// Invariants: a collector that is slow or away disturbs nothing. Spans wait in a bounded
// queue; what it cannot take is counted and dropped. A span carries no secret: of errors
// only their class.
package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// attemptTime is the longest that one request to the collector takes, retryTime how long
	// a batch is tried again.
	attemptTime = 5 * time.Second
	retryTime   = 15 * time.Second
	// maxValueBytes bounds the text of an attribute, which a sender may have chosen.
	maxValueBytes = 256
)

// Options are what a Tracer needs beside its configuration.
type Options struct {
	// Version is the program's.
	Version string
	// CACertFile is an authority to trust in addition, if any.
	CACertFile string
	Log        *slog.Logger
}

// Tracer makes traces and sends them to a collector. A nil Tracer makes none; all methods
// may be called on it.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	queue    *queue
	client   *http.Client
	// sampled is the largest choice, of 63 bits, with which an event is traced.
	sampled uint64
}

// New makes a Tracer, nil when c wants no traces. It reads the certificates and connects to
// nothing. Close it.
func New(c Config, o Options) (*Tracer, error) {
	if !c.Enabled() {
		return nil, nil
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	client, err := c.client(o.CACertFile)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	options, err := c.options(client)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	t := &Tracer{queue: newQueue(exporter, c.hide(), o.Log), client: client, sampled: threshold(c.SampleRatio)}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // it has been decided when a span is begun
		sdk.WithIDGenerator(ids{}),
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeValueLengthLimit: maxValueBytes, AttributeCountLimit: 32}),
		sdk.WithSpanProcessor(t.queue),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", c.ServiceName),
			attribute.String("service.version", cmp.Or(o.Version, "dev")),
			attribute.String("host.name", host),
		)),
	)
	t.tracer = t.provider.Tracer("github.com/saker-security/saker/forwarder")
	return t, nil
}

// options are the exporter's. All that its environment variables could set is set here.
func (c Config) options(client *http.Client) ([]otlptracehttp.Option, error) {
	address, err := c.url()
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	for name, value := range c.Headers {
		headers[name] = value.Reveal()
	}
	return []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(address),
		otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithTLSClientConfig(nil),
		otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: attemptTime, MaxElapsedTime: retryTime,
		}),
	}, nil
}

// client returns the client for requests to the collector, which trusts the authority in
// the given file, if any, beside that of c.
func (c Config) client(authority string) (*http.Client, error) {
	security := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !c.CheckCert} //nolint:gosec // the user's choice
	for _, file := range []string{authority, c.CACertFile} {
		if err := trust(security, file); err != nil {
			return nil, err
		}
	}
	return &http.Client{Timeout: attemptTime, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: security, ForceAttemptHTTP2: true,
		MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: attemptTime,
	}}, nil
}

// trust adds the authorities in file to those that c trusts.
func trust(c *tls.Config, file string) error {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the authorities: %w", err)
	}
	if c.RootCAs == nil {
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("there is no certificate in %q", file)
	}
	return nil
}

// Close sends what waits, and gives that up when ctx ends. Spans that end later are dropped.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	defer t.client.CloseIdleConnections()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("end the traces: %w", err)
	}
	return nil
}

// Counts returns how many spans the collector has taken, and how many were dropped because
// it was away or they were too many.
func (t *Tracer) Counts() (exported, dropped uint64) {
	if t == nil {
		return 0, 0
	}
	return t.queue.exported.Load(), t.queue.dropped.Load()
}

// identity is what the trace of an event is known by.
type identity struct {
	trace trace.TraceID
	root  trace.SpanID
}

// identify returns the identity of the trace of the event with the given UUID; false if it
// isn't to be traced.
func (t *Tracer) identify(id string) (identity, bool) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed == uuid.Nil {
		return identity{}, false
	}
	// The bytes of a UUID are not all random, and those of some kinds hardly at all.
	sum := sha256.Sum256(parsed[:])
	if binary.BigEndian.Uint64(sum[8:])>>1 > t.sampled {
		return identity{}, false
	}
	root := trace.SpanID(sum[:8])
	if !root.IsValid() {
		root[0] = 1
	}
	return identity{trace.TraceID(parsed), root}, true
}

// threshold returns the largest of all numbers of 63 bits that are in the given share.
func threshold(ratio float64) uint64 {
	if ratio >= 1 {
		return math.MaxInt64
	}
	return uint64(ratio * math.MaxInt64)
}

// span is a span that has ended.
type span struct {
	name       string
	kind       trace.SpanKind
	began      time.Time
	took       time.Duration
	attributes []attribute.KeyValue
	// problem is the class of what went wrong, "" if nothing did.
	problem string
}

// root adds the root of a trace.
func (t *Tracer) root(id identity, s span) {
	t.add(context.WithValue(context.Background(), ids{}, id), s)
}

// child adds a span below the root of a trace.
func (t *Tracer) child(id identity, s span) {
	t.add(trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id.trace, SpanID: id.root, TraceFlags: trace.FlagsSampled, Remote: true,
	})), s)
}

func (t *Tracer) add(ctx context.Context, s span) {
	_, started := t.tracer.Start(ctx, s.name,
		trace.WithSpanKind(s.kind), trace.WithTimestamp(s.began), trace.WithAttributes(s.attributes...))
	if s.problem != "" {
		started.SetAttributes(attribute.String("error.type", s.problem))
		started.SetStatus(codes.Error, s.problem)
	}
	started.End(trace.WithTimestamp(s.began.Add(s.took)))
}

// ids gives a root the ids of its identity, and any other span a random id.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(ids{}).(identity)
	return id.trace, id.root
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64N(math.MaxUint64)+1)
	return id
}

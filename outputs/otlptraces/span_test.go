package otlptraces

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/otlpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// recorder is an endpoint that keeps what it was sent.
func recorder(t *testing.T) (address string, requests <-chan []byte) {
	t.Helper()
	bodies := make(chan []byte, 64)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- body
	}))
	t.Cleanup(server.Close)
	return server.URL, bodies
}

// ids gives a span the ids that the output gives it.
type ids struct{ e event.Event }

func (i ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID(traceID(i.e)), i.NewSpanID(ctx, trace.TraceID{})
}

func (i ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return trace.SpanID(spanID(i.e)) }

// viaSDK sends the event's span as OpenTelemetry's SDK makes it.
func viaSDK(t *testing.T, address string, e event.Event) {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(address+"/"))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(exporter), sdktrace.WithIDGenerator(ids{e}),
		sdktrace.WithResource(resource.NewWithAttributes(otlpx.SchemaURL,
			attribute.String("service.name", "falco"), attribute.String("service.version", "v0.1.0"))),
	)
	_, span := provider.Tracer("falco-event").Start(t.Context(), e.Rule,
		trace.WithTimestamp(e.Time), trace.WithSpanKind(trace.SpanKindServer))
	span.SetAttributes(
		attribute.String("uuid", e.UUID), attribute.String("source", e.Source), attribute.String("priority", e.Priority.String()),
		attribute.String("rule", e.Rule), attribute.String("hostname", e.Hostname), attribute.StringSlice("tags", e.Tags))
	for _, f := range e.Fields {
		span.SetAttributes(attribute.String(f.Name, otlpx.Text(f.Value)))
	}
	span.AddEvent(e.Output, trace.WithTimestamp(e.Time))
	span.End(trace.WithTimestamp(e.Time.Add(time.Second)))
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestASpanIsWhatTheSDKMakesOfTheSameEvent(t *testing.T) {
	address, requests := recorder(t)
	sender, err := outputstest.New("otlptraces", "{endpoint: '"+address+"/'}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	same := outputstest.Plain()
	same.Fields = event.SortFields([]event.Field{
		{Name: "rule", Value: event.StringValue("of the field")}, {Name: "a", Value: event.StringValue("b")},
	})
	events := append(outputstest.Events(), outputstest.Fixture{Name: "a field with a member's name", Event: same})
	for _, f := range events {
		viaSDK(t, address, f.Event)
		want := <-requests
		if err := sender.Send(t.Context(), []event.Event{f.Event}); err != nil {
			t.Fatal(err)
		}
		got := <-requests
		var w, g coltracepb.ExportTraceServiceRequest
		if err := errors.Join(proto.Unmarshal(want, &w), proto.Unmarshal(got, &g)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&w, &g, protocmp.Transform()); diff != "" {
			t.Errorf("%s (- SDK, + output):\n%s", f.Name, diff)
		}
		if string(want) != string(got) {
			t.Errorf("%s: the bytes differ", f.Name)
		}
	}
}

func TestEventsOfOnePodContainerOrHostAreOneTrace(t *testing.T) {
	id := func(fields ...string) string {
		e := event.Event{UUID: "u", Hostname: "node-1"}
		for i := 0; i < len(fields); i += 2 {
			e.Fields = append(e.Fields, event.Field{Name: fields[i], Value: event.StringValue(fields[i+1])})
		}
		event.SortFields(e.Fields)
		return hex.EncodeToString(traceID(e))
	}
	pod := id("k8s.ns.name", "ns1", "k8s.pod.name", "pod1", "container.id", "abc")
	if want := "ffd8e1479b659b1f07f1d6908c60003f"; pod != want {
		t.Errorf("the trace of a pod is %s, want %s", pod, want)
	}
	if a, b := id("container.id", "abc", "k8s.ns.name", "ns1"), id("container.id", "abc"); a != b {
		t.Errorf("a namespace without a pod counts: %s, %s", a, b)
	}
	if a, b := id("container.id", "host", "evt.hostname", "node-1"), id(); a != b {
		t.Errorf("the host's name is not the same in a field and in the event: %s, %s", a, b)
	}
	if a, b := id("container.id", "host"), id("container.id", "abc"); a == b {
		t.Errorf("a host and a container have the trace %s", a)
	}
}

func TestAnEventOfWhichNothingIsKnownIsATraceOfItsOwn(t *testing.T) {
	a, b := traceID(event.Event{UUID: "a"}), traceID(event.Event{UUID: "b"})
	if string(a) == string(b) || len(a) != 16 {
		t.Errorf("the traces are %x and %x", a, b)
	}
}

func TestAnEventSentTwiceIsTheSameSpan(t *testing.T) {
	a, b := span(time.Second, outputstest.Plain()), span(time.Second, outputstest.Plain())
	if !proto.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}

func TestNoSpanHasMoreThan128Attributes(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = nil
	for i := range 200 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("f%03d", i), Value: event.StringValue("v")})
	}
	s := span(0, e)
	if len(s.GetAttributes()) != 128 || s.GetDroppedAttributesCount() != 78 {
		t.Errorf("it has %d attributes and counts %d more", len(s.GetAttributes()), s.GetDroppedAttributesCount())
	}
}

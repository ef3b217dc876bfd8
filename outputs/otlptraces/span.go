package otlptraces

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

// maxAttributes is the most attributes of a span, OpenTelemetry's default. What is beyond
// it is counted in the span.
const maxAttributes = 128

// sampled are the flags of a span that is sampled and has no parent.
const sampled = 1 | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)

func spans(length time.Duration, batch []event.Event) []*tracepb.Span {
	all := make([]*tracepb.Span, len(batch))
	for i, e := range batch {
		all[i] = span(length, e)
	}
	return all
}

// span is the span of an event.
func span(length time.Duration, e event.Event) *tracepb.Span {
	all, dropped := attributes(e)
	at := otlpx.UnixNano(e.Time)
	return &tracepb.Span{
		TraceId: traceID(e), SpanId: spanID(e),
		Name: otlpx.Valid(e.Rule), Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: at, EndTimeUnixNano: otlpx.UnixNano(e.Time.Add(length)),
		Attributes: all, DroppedAttributesCount: dropped,
		Events: []*tracepb.Span_Event{{TimeUnixNano: at, Name: otlpx.Valid(e.Output)}},
		Status: &tracepb.Status{}, Flags: sampled,
	}
}

// attributes are the event's members and its output fields. A field with a member's name
// takes its place.
func attributes(e event.Event) (all []*commonpb.KeyValue, dropped uint32) {
	all = []*commonpb.KeyValue{
		otlpx.String("uuid", e.UUID), otlpx.String("source", e.Source), otlpx.String("priority", e.Priority.String()),
		otlpx.String("rule", e.Rule), otlpx.String("hostname", e.Hostname), otlpx.Strings("tags", e.Tags),
	}
	members := map[string]int{}
	for i, a := range all {
		members[a.GetKey()] = i
	}
	for _, f := range e.Fields {
		i, member := members[f.Name]
		switch {
		case member:
			all[i] = otlpx.String(f.Name, otlpx.Text(f.Value))
		case f.Name == "" || len(all) == maxAttributes:
			dropped++
		default:
			all = append(all, otlpx.String(f.Name, otlpx.Text(f.Value)))
		}
	}
	return all, dropped
}

// traceID returns the id of the trace that the event belongs to: that of its pod, else its
// container, else its host. An event that says none of them is a trace of its own.
func traceID(e event.Event) []byte {
	text := func(name string) string {
		v, _ := e.Field(name)
		if s, ok := v.Str(); ok {
			return s
		}
		return ""
	}
	key := cmp.Or(text("evt.hostname"), e.Hostname, e.UUID)
	if id := text("container.id"); id != "" && id != "host" {
		key = id
	}
	if ns, pod := text("k8s.ns.name"), text("k8s.pod.name"); ns != "" && pod != "" {
		key = ns + ":" + pod
	}
	hash := fnv.New128a()
	hash.Write([]byte(key))
	return hash.Sum(nil)
}

// spanID returns the id of the event's span, which is never zero.
func spanID(e event.Event) []byte {
	hash := fnv.New64a()
	hash.Write([]byte(e.UUID))
	return binary.BigEndian.AppendUint64(nil, max(1, hash.Sum64()))
}

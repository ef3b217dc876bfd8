package otlpx

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/saker-security/saker/event"
)

// String returns an attribute that is a text.
func String(name, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: Valid(name), Value: StringValue(value)}
}

// StringValue returns a value that is a text.
func StringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: Valid(s)}}
}

// Valid returns s with what is not UTF-8, which protobuf refuses, replaced.
func Valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Strings returns an attribute that is a list of texts.
func Strings(name string, values []string) *commonpb.KeyValue {
	list := &commonpb.ArrayValue{Values: make([]*commonpb.AnyValue, 0, len(values))}
	for _, v := range values {
		list.Values = append(list.Values, StringValue(v))
	}
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}}
}

// Bool returns an attribute that is true or false.
func Bool(name string, value bool) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}}}
}

// Text returns an output field's value as Falcosidekick's attributes have it, which is how
// Go prints it: a null is <nil>, a list [a b], an object map[a:b].
func Text(v event.Value) string {
	switch v.Kind() {
	case event.Null:
		return "<nil>"
	case event.Composite:
		decoder := json.NewDecoder(strings.NewReader(v.Text()))
		decoder.UseNumber()
		var decoded any
		if err := decoder.Decode(&decoded); err != nil {
			return v.Text()
		}
		return fmt.Sprintf("%v", decoded)
	default:
		return v.Text()
	}
}

// UnixNano returns t in nanoseconds since 1970, between 0 and the year 2262.
func UnixNano(t time.Time) uint64 {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return uint64(max(0, t.UnixNano()))
}

// resource is the service falco with more attributes, sorted by name.
func resource(version string, more map[string]string) *resourcepb.Resource {
	all := []*commonpb.KeyValue{String("service.name", "falco"), String("service.version", version)}
	for name, value := range more {
		if name != "service.name" && name != "service.version" {
			all = append(all, String(name, value))
		}
	}
	SortAttributes(all)
	return &resourcepb.Resource{Attributes: all}
}

// SortAttributes sorts attributes by name.
func SortAttributes(all []*commonpb.KeyValue) {
	slices.SortFunc(all, func(a, b *commonpb.KeyValue) int { return cmp.Compare(a.GetKey(), b.GetKey()) })
}

// Package event defines the Event: one alert of Falco's format, the contract between
// every part of Saker.
//
// The sensor makes events, ingest decodes them from JSON and enriches them, the journal
// stores their encoding, and every output reads them. An Event is a value that nobody
// changes once it has left ingest: what wants another Event makes a copy, with new slices
// where it changes them. The package imports nothing else of ours.
//
// The encoding is byte for byte what Falcosidekick sends to its outputs: members in the
// order uuid, output, priority, rule, time, output_fields, source, tags, hostname; empty
// uuid, tags and hostname left out; output_fields sorted bytewise by name; numbers in the
// sender's own text; <, >, & and U+2028/2029 escaped; RFC 3339 time with the sender's
// offset.
package event

import (
	"sort"
	"time"
)

// Event is one alert.
type Event struct {
	// UUID identifies the event on its whole way and makes delivery idempotent.
	UUID string
	// Output is the alert's text.
	Output   string
	Priority Priority
	// Rule is the name of the rule that fired. Never empty in a valid event.
	Rule string
	// Time is when the kernel saw it; it keeps the sender's offset.
	Time time.Time
	// Fields are the alert's output_fields, sorted bytewise by name, names unique.
	Fields []Field
	// Source is what the alert was made from: syscall, k8s_audit, internal, …
	Source string
	// Tags are the rule's tags.
	Tags []string
	// Hostname is the machine the alert is about. May be empty.
	Hostname string
}

// Field is one member of output_fields.
type Field struct {
	Name  string
	Value Value
}

// Kind is the JSON type of a Value.
type Kind uint8

// The JSON types.
const (
	Null Kind = iota
	String
	Number
	Bool
	// Composite is an object or an array.
	Composite
)

// Value is a JSON value as the sender wrote it. The zero Value is null.
type Value struct {
	kind Kind
	text string
}

// StringValue returns the JSON string s.
func StringValue(s string) Value { return Value{String, s} }

// NumberValue returns the JSON number whose text is s, for example "12" or "1e3".
// It does not check s.
func NumberValue(s string) Value { return Value{Number, s} }

// BoolValue returns the JSON value true or false.
func BoolValue(b bool) Value {
	if b {
		return Value{Bool, "true"}
	}
	return Value{Bool, "false"}
}

// CompositeValue returns the array or object whose canonical JSON text is s: no spaces,
// object members sorted, HTML escaped. It does not check s.
func CompositeValue(s string) Value { return Value{Composite, s} }

// Kind returns the value's JSON type.
func (v Value) Kind() Kind { return v.kind }

// Text returns a string's content, and any other value's JSON text ("null" for null).
func (v Value) Text() string {
	if v.kind == Null {
		return "null"
	}
	return v.text
}

// Str returns the content of a string value, and false for any other kind.
func (v Value) Str() (string, bool) { return v.text, v.kind == String }

// Field returns the output field called name; false if the event has none.
func (e *Event) Field(name string) (Value, bool) {
	i := sort.Search(len(e.Fields), func(i int) bool { return e.Fields[i].Name >= name })
	if i < len(e.Fields) && e.Fields[i].Name == name {
		return e.Fields[i].Value, true
	}
	return Value{}, false
}

// WithFields returns e with the given fields added, replacing those of the same name.
// The fields of e are not changed. When fs names a field twice, the later one counts.
func (e Event) WithFields(fs ...Field) Event {
	merged := make([]Field, 0, len(e.Fields)+len(fs))
	merged = append(merged, e.Fields...)
	merged = append(merged, fs...)
	e.Fields = SortFields(merged)
	return e
}

// SortFields sorts fs by name in place and keeps the last of those with the same name.
func SortFields(fs []Field) []Field {
	sort.SliceStable(fs, func(i, j int) bool { return fs[i].Name < fs[j].Name })
	out := fs[:0]
	for i, f := range fs {
		if i+1 < len(fs) && fs[i+1].Name == f.Name {
			continue
		}
		out = append(out, f)
	}
	return out
}

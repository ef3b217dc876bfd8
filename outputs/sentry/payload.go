package sentry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// Limits of an event. Sentry cuts longer texts and refuses events of more than a megabyte.
const (
	maxMessage = 8192      // characters
	maxTag     = 200       // characters of a tag's value
	maxValue   = 4096      // characters of a field's value; our own
	maxContext = 256 << 10 // bytes of JSON; our own
)

// errorEvent is the payload of an envelope's item of the type event.
type errorEvent struct {
	EventID     string            `json:"event_id,omitempty"`
	Timestamp   string            `json:"timestamp"`
	Platform    string            `json:"platform"`
	Level       string            `json:"level"`
	Logger      string            `json:"logger"`
	ServerName  string            `json:"server_name,omitempty"`
	Environment string            `json:"environment,omitempty"`
	LogEntry    logEntry          `json:"logentry"`
	Transaction string            `json:"transaction"`
	Fingerprint []string          `json:"fingerprint"`
	Tags        map[string]string `json:"tags"`
	Contexts    map[string]fields `json:"contexts"`
}

type logEntry struct {
	Formatted string `json:"formatted"`
}

type fields map[string]event.Value

// payload is the event that the golden files pin.
func payload(c Config, e event.Event) errorEvent {
	return errorEvent{
		EventID:     eventID(e.UUID),
		Timestamp:   e.Time.UTC().Format(time.RFC3339Nano),
		Platform:    "other",
		Level:       level(e.Priority),
		Logger:      "falco",
		ServerName:  tagValue(e.Hostname),
		Environment: c.Environment,
		LogEntry:    logEntry{falcotext.Cut(cmp.Or(e.Output, e.Rule), maxMessage)},
		Transaction: tagValue(e.Rule),
		Fingerprint: fingerprint(c, e),
		Tags:        tags(c, e),
		Contexts:    map[string]fields{"falco": known(e)},
	}
}

var hexID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// eventID is the UUID as Sentry writes it, "" for what is no UUID.
func eventID(uuid string) string {
	id := strings.ToLower(strings.ReplaceAll(uuid, "-", ""))
	if !hexID.MatchString(id) {
		return ""
	}
	return id
}

func level(p event.Priority) string {
	switch {
	case p >= event.Critical:
		return "fatal"
	case p == event.Error:
		return "error"
	case p == event.Warning:
		return "warning"
	case p == event.Debug:
		return "debug"
	}
	return "info"
}

// fingerprint is what Sentry groups events by.
func fingerprint(c Config, e event.Event) []string {
	parts := []string{"falco"}
	for _, name := range c.Fingerprint {
		parts = append(parts, falcotext.Cut(property(e, name), maxTag))
	}
	return parts
}

// property returns what the event has under name: a member of its own or an output field.
func property(e event.Event, name string) string {
	switch name {
	case "rule":
		return e.Rule
	case "priority":
		return e.Priority.String()
	case "source":
		return e.Source
	case "hostname":
		return e.Hostname
	}
	v, ok := e.Field(name)
	if !ok || v.Kind() == event.Null {
		return ""
	}
	return v.Text()
}

// tagValue is s as the value of a tag: one line of at most 200 characters.
func tagValue(s string) string {
	return falcotext.Cut(strings.Join(strings.Fields(s), " "), maxTag)
}

func tags(c Config, e event.Event) map[string]string {
	found := map[string]string{}
	add := func(name, value string) {
		if value = tagValue(value); value != "" && tagName.MatchString(name) {
			found[name] = value
		}
	}
	for _, name := range c.TagFields {
		add(name, property(e, name))
	}
	add("rule", e.Rule)
	add("priority", e.Priority.String())
	add("source", e.Source)
	add("tags", strings.Join(e.Tags, ","))
	for name, value := range c.ExtraTags {
		add(name, value)
	}
	return found
}

// known is all that is known about the event, as much of it as there is room for.
func known(e event.Event) fields {
	found := make(fields, len(e.Fields)+5)
	room := maxContext
	add := func(name string, value event.Value) {
		if s, ok := value.Str(); ok {
			value = event.StringValue(falcotext.Cut(s, maxValue))
		}
		need := len(event.AppendJSONString(nil, name)) + len(value.AppendJSON(nil)) + 2
		if need > room {
			return
		}
		room -= need
		found[name] = value
	}
	for _, f := range e.Fields {
		add(f.Name, f.Value)
	}
	add("type", event.StringValue("falco")) // else Sentry would read a field type as the context's type
	return found
}

// envelope returns the event in an envelope.
func envelope(e errorEvent) ([]byte, error) {
	item, err := json.Marshal(e)
	if err != nil {
		return nil, outputs.Reject(fmt.Errorf("encode event: %w", err))
	}
	header := map[string]string{}
	if e.EventID != "" {
		header["event_id"] = e.EventID
	}
	first, err := json.Marshal(header)
	if err != nil {
		return nil, outputs.Reject(fmt.Errorf("encode envelope: %w", err))
	}
	return fmt.Appendf(nil, "%s\n{\"type\":\"event\",\"length\":%d}\n%s\n", first, len(item), item), nil
}

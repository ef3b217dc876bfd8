package servicenow

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// Limits of fields, in characters. The instance cuts what is longer without a word.
const (
	maxShort       = 160
	maxDescription = 4000
	maxName        = 100
	maxInfo        = 16 << 10 // bytes; our own, of additional information
)

// recordPayload is the record of a table that the golden files pin. ServiceNow knows no
// duplicates of its own accord: correlation_id is there for a rule that refuses them.
func recordPayload(c Config, e event.Event) map[string]string {
	urgency := urgency(e.Priority)
	record := map[string]string{
		"short_description":   oneLine("["+e.Priority.String()+"] "+cmp.Or(e.Headline(), e.Rule), maxShort),
		"description":         falcotext.Cut(falcotext.Plain(e, "all"), maxDescription),
		"urgency":             urgency,
		"impact":              urgency,
		"correlation_id":      e.UUID,
		"correlation_display": "Falco",
	}
	maps.Copy(record, c.Fields)
	return record
}

// urgency returns ServiceNow's urgency and impact: 1 is high, 3 low.
func urgency(p event.Priority) string {
	switch {
	case p >= event.Critical:
		return "1"
	case p >= event.Warning:
		return "2"
	}
	return "3"
}

// record is an event of Event Management. It makes one alert of the events that agree in
// source, node, type and resource, so that an event sent twice is one alert.
type record struct {
	Source         string `json:"source"`
	Node           string `json:"node,omitempty"`
	Type           string `json:"type"`
	Resource       string `json:"resource,omitempty"`
	EventClass     string `json:"event_class"`
	Severity       string `json:"severity"`
	Description    string `json:"description"`
	TimeOfEvent    string `json:"time_of_event"`
	AdditionalInfo string `json:"additional_info"`
}

type records struct {
	Records []any `json:"records"`
}

// eventsPayload is the list of events that the golden files pin.
func eventsPayload(c Config, batch []event.Event) records {
	list := records{Records: make([]any, 0, len(batch))}
	for _, e := range batch {
		list.Records = append(list.Records, withFields(newRecord(c, e), c.Fields))
	}
	return list
}

func newRecord(c Config, e event.Event) record {
	return record{
		Source:         c.EventSource,
		Node:           oneLine(e.Hostname, maxName),
		Type:           oneLine(e.Rule, maxName),
		Resource:       oneLine(resource(e), maxName),
		EventClass:     oneLine(e.Source, maxName),
		Severity:       severity(e.Priority),
		Description:    falcotext.Cut(cmp.Or(e.Output, e.Rule), maxDescription),
		TimeOfEvent:    e.Time.UTC().Format(time.DateTime),
		AdditionalInfo: additionalInfo(e),
	}
}

// withFields returns r with the user's own fields.
func withFields(r record, fields map[string]string) any {
	if len(fields) == 0 {
		return r
	}
	all := map[string]string{
		"source": r.Source, "type": r.Type, "event_class": r.EventClass, "severity": r.Severity,
		"description": r.Description, "time_of_event": r.TimeOfEvent, "additional_info": r.AdditionalInfo,
	}
	if r.Node != "" {
		all["node"] = r.Node
	}
	if r.Resource != "" {
		all["resource"] = r.Resource
	}
	maps.Copy(all, fields)
	return all
}

// resource names what the event is about on its node.
func resource(e event.Event) string {
	for _, name := range []string{"k8s.pod.name", "container.name", "container.id", "ka.target.name", "proc.name"} {
		if v, ok := e.Field(name); ok {
			if s, isText := v.Str(); isText && s != "" {
				return s
			}
		}
	}
	return ""
}

// severity returns the severity of an event: 1 is critical, 5 informational.
func severity(p event.Priority) string {
	switch {
	case p >= event.Critical:
		return "1"
	case p == event.Error:
		return "2"
	case p == event.Warning:
		return "3"
	case p == event.Notice:
		return "4"
	}
	return "5"
}

// additionalInfo is what else is known about the event, as the text of a JSON object, as
// much of it as there is room for.
func additionalInfo(e event.Event) string {
	info := map[string]string{}
	room := maxInfo
	add := func(name, value string) {
		need := len(name) + len(value) + len(`"":"",`)
		if _, twice := info[name]; twice || need > room {
			return
		}
		room -= need
		info[name] = value
	}
	add("uuid", e.UUID)
	for name, value := range falcotext.Details(e) {
		add(name, falcotext.Cut(value, maxDescription))
	}
	text, err := json.Marshal(info)
	if err != nil {
		return "{}" // cannot be: these are strings
	}
	return string(text)
}

// oneLine returns s on one line, cut to n characters.
func oneLine(s string, n int) string { return falcotext.Cut(strings.Join(strings.Fields(s), " "), n) }

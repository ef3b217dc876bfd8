package otlplogs

import (
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

// maxAttributes is the most attributes of a record, OpenTelemetry's default. What is beyond
// it is counted in the record.
const maxAttributes = 128

// severities are those that OpenTelemetry's data model gives to syslog's, of which Falco's
// priorities are the names.
var severities = map[event.Priority]logspb.SeverityNumber{
	event.Emergency:     logspb.SeverityNumber_SEVERITY_NUMBER_FATAL,
	event.Alert:         logspb.SeverityNumber_SEVERITY_NUMBER_ERROR3,
	event.Critical:      logspb.SeverityNumber_SEVERITY_NUMBER_ERROR2,
	event.Error:         logspb.SeverityNumber_SEVERITY_NUMBER_ERROR,
	event.Warning:       logspb.SeverityNumber_SEVERITY_NUMBER_WARN,
	event.Notice:        logspb.SeverityNumber_SEVERITY_NUMBER_INFO2,
	event.Informational: logspb.SeverityNumber_SEVERITY_NUMBER_INFO,
	event.Debug:         logspb.SeverityNumber_SEVERITY_NUMBER_DEBUG,
}

// record is the log record of an event that is sent at now.
func record(c Config, e event.Event, now time.Time) *logspb.LogRecord {
	r := &logspb.LogRecord{
		TimeUnixNano: otlpx.UnixNano(e.Time), ObservedTimeUnixNano: otlpx.UnixNano(now),
		SeverityNumber: logspb.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO",
		Body: otlpx.StringValue(e.Output),
		Attributes: []*commonpb.KeyValue{
			otlpx.String("priority", e.Priority.String()), otlpx.String("source", e.Source),
			otlpx.String("rule", e.Rule), otlpx.String("hostname", e.Hostname),
			otlpx.String("tags", strings.Join(e.Tags, ",")), otlpx.String("timestamp", falcotext.Time(e.Time)),
		},
	}
	if number, ok := severities[e.Priority]; ok && c.Severity == severityPriority {
		r.SeverityNumber, r.SeverityText = number, e.Priority.String()
	}
	if c.OutputFields {
		addFields(r, e)
	}
	return r
}

// addFields adds the event's UUID and its output fields, but for those with the name of
// another attribute.
func addFields(r *logspb.LogRecord, e event.Event) {
	r.Attributes = append(r.Attributes, otlpx.String("uuid", e.UUID))
	taken := map[string]bool{"": true}
	for _, a := range r.GetAttributes() {
		taken[a.GetKey()] = true
	}
	for _, f := range e.Fields {
		if taken[f.Name] || len(r.GetAttributes()) == maxAttributes {
			r.DroppedAttributesCount++
			continue
		}
		r.Attributes = append(r.Attributes, otlpx.String(f.Name, otlpx.Text(f.Value)))
	}
}

package ingest

import (
	"regexp"
	"strings"

	"github.com/saker-security/saker/event"
)

// The limits beyond which long field values are cut. They are Falcosidekick's.
const (
	truncateEvent = 4096
	truncateField = 512
	truncateMark  = "[...]"
)

// replaceBrackets returns fs with the brackets of every name replaced: closing ones go,
// opening ones become replacer. When two names become one, the later in order counts.
func replaceBrackets(fs []event.Field, replacer string) []event.Field {
	for i, f := range fs {
		if !strings.Contains(f.Name, "[") {
			continue
		}
		names := strings.NewReplacer("]", "", "[", replacer)
		out := append([]event.Field(nil), fs...)
		for j := i; j < len(out); j++ {
			if strings.Contains(out[j].Name, "[") {
				out[j].Name = names.Replace(out[j].Name)
			}
		}
		return event.SortFields(out)
	}
	return fs
}

// falcoPrefix is what Falco writes before an alert's own text: time and priority.
var falcoPrefix = regexp.MustCompile(
	`(?i)[0-9:]+\.[0-9]+: (?:emergency|alert|critical|error|warning|notice|informational|info|debug) `)

// reformat returns the output of e laid out by format. A text without Falco's prefix is
// left alone: there is nothing to take the timestamp from.
func reformat(format string, e event.Event, custom, templated string) string {
	if !falcoPrefix.MatchString(e.Output) {
		return e.Output
	}
	words := strings.SplitN(e.Output, " ", 3)
	if len(words) < 3 {
		return e.Output
	}
	text := strings.NewReplacer(
		"<timestamp>", strings.TrimSuffix(words[0], ":"),
		"<priority>", e.Priority.String(),
		"<output>", words[2],
		"<custom_fields>", custom,
		"<templated_fields>", templated,
		"<tags>", strings.Join(e.Tags, ","),
	).Replace(format)
	for _, suffix := range []string{" ", "( )", "()", " "} {
		text = strings.TrimSuffix(text, suffix)
	}
	return text
}

// pairs renders fields as "name=value name=value".
func pairs(fs []event.Field) string {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.Name)
		b.WriteByte('=')
		b.WriteString(f.Value.Text())
	}
	return b.String()
}

// truncate cuts the long string fields of an event that is too long as a whole, and their
// occurrences in its output. Other parts are never cut, so the event may stay too long.
func truncate(e event.Event) event.Event {
	if !hasLongField(e.Fields) || len(e.AppendJSON(nil)) <= truncateEvent {
		return e
	}
	fields := append([]event.Field(nil), e.Fields...)
	for i, f := range fields {
		s, ok := f.Value.Str()
		if !ok || len(s) <= truncateField {
			continue
		}
		short := s[:characterStart(s, truncateField-len(truncateMark))] + truncateMark
		fields[i].Value = event.StringValue(short)
		e.Output = strings.ReplaceAll(e.Output, s, short)
	}
	e.Fields = fields
	return e
}

func hasLongField(fs []event.Field) bool {
	for _, f := range fs {
		if s, ok := f.Value.Str(); ok && len(s) > truncateField {
			return true
		}
	}
	return false
}

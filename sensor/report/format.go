package report

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
)

// AppendFalcoJSON appends e as Falco writes an alert: one line of JSON without the line
// feed, members in alphabetical order, the time in UTC with nine digits, tags sorted and
// [] when there are none, no HTML escapes. Internal events have no tags member.
//
// One member is ours: uuid, the event's identity, by which the forwarder recognises an
// alert that comes twice. Falcosidekick and other readers of Falco's alerts drop it.
func AppendFalcoJSON(dst []byte, e *event.Event, f Format) []byte {
	dst = append(dst, `{"hostname":`...)
	dst = appendString(dst, e.Hostname)
	if f.IncludeMessage {
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, message(e))
	}
	if f.IncludeOutput {
		dst = append(dst, `,"output":`...)
		dst = appendString(dst, e.Output)
	}
	if f.IncludeOutputFields {
		dst = append(dst, `,"output_fields":`...)
		dst = appendFields(dst, e.Fields)
	}
	dst = append(dst, `,"priority":"`...)
	dst = append(dst, e.Priority.String()...)
	dst = append(dst, `","rule":`...)
	dst = appendString(dst, e.Rule)
	dst = append(dst, `,"source":`...)
	dst = appendString(dst, e.Source)
	if f.IncludeTags && (e.Source != internalSource || len(e.Tags) > 0) {
		dst = append(dst, `,"tags":`...)
		dst = appendTags(dst, e.Tags)
	}
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
	dst = append(dst, '"')
	if e.UUID != "" {
		dst = append(dst, `,"uuid":`...)
		dst = appendString(dst, e.UUID)
	}
	return append(dst, '}')
}

func appendFields(dst []byte, fields []event.Field) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, f.Name)
		dst = append(dst, ':')
		if s, ok := f.Value.Str(); ok {
			dst = appendString(dst, s)
		} else {
			dst = f.Value.AppendJSON(dst)
		}
	}
	return append(dst, '}')
}

func appendTags(dst []byte, tags []string) []byte {
	if !slices.IsSorted(tags) {
		tags = slices.Sorted(slices.Values(tags))
	}
	dst = append(dst, '[')
	for i, t := range tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, t)
	}
	return append(dst, ']')
}

// message returns the alert's text without the time and priority it starts with.
func message(e *event.Event) string {
	clock, rest, found := strings.Cut(e.Output, ": ")
	text, isPriority := strings.CutPrefix(rest, e.Priority.String()+" ")
	if !found || !isPriority || strings.Contains(clock, " ") {
		return e.Output
	}
	return text
}

// AppendPrefix appends what the text of an alert starts with: the local time of day, or
// date and time in UTC if iso is set, and the priority, ready for the message.
func AppendPrefix(dst []byte, t time.Time, p event.Priority, iso bool) []byte {
	if iso {
		dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000-0700")
	} else {
		dst = t.Local().AppendFormat(dst, "15:04:05.000000000")
	}
	dst = append(dst, ": "...)
	dst = append(dst, p.String()...)
	return append(dst, ' ')
}

// appendLine appends the alert as one line without the line feed.
func appendLine(dst []byte, e *event.Event, f Format) []byte {
	if f.JSON {
		return AppendFalcoJSON(dst, e, f)
	}
	return appendText(dst, e.Output)
}

// appendText appends s with control characters escaped, so that what a process has chosen
// for its name can't forge a line or steer a terminal.
func appendText(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		next := i + size
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			start = next
		case r < ' ', 0x7f <= r && r < 0xa0:
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, r)
			start = next
		}
		i = next
	}
	return append(dst, s[start:]...)
}

// appendString appends s as a JSON string the way Falco does: only quotes, backslashes and
// control characters are escaped, and what isn't UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = utf8.AppendRune(dst, utf8.RuneError)
				start = i + size
			}
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = appendEscape(dst, rune(c))
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape appends the JSON escape of a control character below U+0100.
func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
}

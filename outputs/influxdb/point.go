package influxdb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// Limits of a point. InfluxDB refuses a series, which is the measurement with all its tags,
// of more than 64 KiB, and a text of more than that.
const (
	maxSeries = 60_000
	maxText   = 60_000
	// maxTag is the longest value of a tag in a series that would be too long, in bytes.
	maxTag = 1024
)

// appendPoint appends the event's point, without a newline.
func appendPoint(dst []byte, c Config, e event.Event) []byte {
	start := len(dst)
	dst = appendSeries(dst, tagsOf(e), maxSeries)
	if len(dst)-start > maxSeries {
		dst = appendSeries(dst[:start], tagsOf(e), maxTag)
	}
	dst = append(dst, ` value="`...)
	dst = append(dst, quoted.Replace(clean(falcotext.CutBytes(e.Output, maxText)))...)
	dst = append(dst, '"')
	if c.EventTime {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, timestamp(e, c.Precision), 10)
	}
	return dst
}

// timestamp is the event's time in units of the precision.
func timestamp(e event.Event, precision string) int64 {
	switch precision {
	case "h":
		return e.Time.Unix() / 3600
	case "m":
		return e.Time.Unix() / 60
	case "s":
		return e.Time.Unix()
	case "ms":
		return e.Time.UnixMilli()
	case "us", "u":
		return e.Time.UnixMicro()
	}
	return e.Time.UnixNano()
}

type tag struct{ key, value string }

// ownKeys are the tags that each point has, and what InfluxDB keeps for itself. An output
// field of such a name gets another one, since two tags of one name are refused.
var ownKeys = []string{"rule", "priority", "source", "hostname", "tags", "time", "value", "_field", "_measurement"}

// tagsOf are the tags of an event's point, in the order of the line.
func tagsOf(e event.Event) []tag {
	tags := []tag{{"rule", underlined(e.Rule)}, {"priority", e.Priority.String()}, {"source", e.Source}}
	for _, f := range e.Fields {
		value, ok := f.Value.Str()
		if !ok {
			continue
		}
		name := f.Name
		if slices.Contains(ownKeys, name) {
			name = "output_fields." + name
		}
		tags = append(tags, tag{name, underlined(value)})
	}
	return append(tags, tag{"hostname", e.Hostname}, tag{"tags", strings.Join(e.Tags, "_")})
}

func underlined(s string) string { return strings.ReplaceAll(s, " ", "_") }

// appendSeries appends measurement and tags, with values of at most n bytes. Tags that
// would make it longer than maxSeries although values have been cut are left out.
func appendSeries(dst []byte, tags []tag, n int) []byte {
	start := len(dst)
	dst = append(dst, "events"...)
	for _, t := range tags {
		key := escape(t.key)
		value := escape(falcotext.CutBytes(t.value, n))
		if key == "" || value == "" { // InfluxDB has no empty tags
			continue
		}
		if n < maxSeries && len(dst)-start+len(key)+len(value)+2 > maxSeries {
			break
		}
		dst = append(dst, ',')
		dst = append(dst, key...)
		dst = append(dst, '=')
		dst = append(dst, value...)
	}
	return dst
}

// special are the signs that mean something in keys and values of tags.
var special = strings.NewReplacer(`,`, `\,`, `=`, `\=`, ` `, `\ `, "\n", "_", "\r", "_", "\x00", "_")

// quoted are those that mean something between quotes.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// escape returns s as a key or value of a tag. Line protocol cannot write a tag that ends
// in a backslash, for it would escape what comes next.
func escape(s string) string {
	return special.Replace(strings.TrimRight(clean(s), `\`))
}

// clean replaces what is not UTF-8.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

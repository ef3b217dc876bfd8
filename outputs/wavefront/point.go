package wavefront

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

// The limits of Wavefront, which drops a point that is beyond one of them: characters of a
// metric's name and of a tag's, those of a tag's name and value together, and tags.
const (
	maxName = 256
	maxKey  = 64
	maxTag  = 254
	maxTags = 20
)

// appendPoint appends the line of an event in Wavefront's data format, with its newline.
func appendPoint(dst []byte, metric string, e event.Event) []byte {
	dst = append(append(dst, '"'), sanitize(metric)...)
	dst = strconv.AppendInt(append(dst, `" 1 `...), e.Time.UnixNano(), 10)
	dst = append(dst, ` source="falco-exporter"`...)
	tags := pointTags(e)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		dst = append(append(append(dst, ' ', '"'), key...), `"="`...)
		dst = append(append(dst, escape(tags[key])...), '"')
	}
	return append(dst, '\n')
}

// pointTags are the event's members and those of its output fields that are text, as many
// as there may be: members first, fields by name. A field with a member's name takes its
// place, but not that of tags.
func pointTags(e event.Event) map[string]string {
	tags := map[string]string{}
	set := func(key, value string) {
		key = falcotext.Cut(sanitize(key), maxKey)
		value = strings.TrimSpace(value)
		if _, there := tags[key]; key == "" || value == "" || !there && len(tags) == maxTags {
			return // Wavefront takes no tag without a value
		}
		tags[key] = falcotext.Cut(value, maxTag-len(key))
	}
	set("severity", e.Priority.String())
	set("rule", e.Rule)
	set("source", e.Source)
	set("hostname", e.Hostname)
	joined := strings.Join(e.Tags, ", ")
	set("tags", joined)
	for key, value := range falcotext.StringFields(e) {
		if key != "tags" || joined == "" {
			set(key, value)
		}
	}
	return tags
}

// sanitize writes - for what a name may not have. Wavefront's own names may begin with a
// delta, a tilde, or both.
func sanitize(name string) string {
	var b strings.Builder
	rest := name
	for _, head := range []string{"∆", "Δ"} {
		if after, ok := strings.CutPrefix(rest, head); ok {
			b.WriteString(head)
			rest = after
			break
		}
	}
	if after, ok := strings.CutPrefix(rest, "~"); ok {
		b.WriteByte('~')
		rest = after
	}
	for i := range len(rest) {
		c := rest[i]
		if c >= ',' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
		}
	}
	return b.String()
}

// escape writes a value so that it ends where its quotation mark stands and its line at its
// end.
func escape(value string) string {
	value = escapes.Replace(value)
	if strings.HasSuffix(value, `\`) {
		value += " " // or the backslash would take the quotation mark with it
	}
	return value
}

var escapes = strings.NewReplacer(`"`, `\"`, "\n", `\n`)

package otlpmetrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/hostx"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

const (
	// maxSeries is the most combinations of attributes that are counted one by one, the
	// limit of OpenTelemetry's SDK. The rest is one series.
	maxSeries = 2000
	// maxValue is the most characters of an attribute's value, and maxTags the most tags.
	maxValue = 256
	maxTags  = 32
)

// overflow marks the series of what is beyond maxSeries, as OpenTelemetry has it.
const overflow = "otel.metric.overflow"

// memberNames are the attributes that an event's members become.
var memberNames = []string{"source", "priority", "rule", "hostname", "tags"}

// field is an output field that becomes an attribute.
type field struct{ name, attribute string }

func attributeName(field string) string { return strings.ReplaceAll(field, ".", "_") }

// fieldsOf are the custom fields whose names may be attributes, and the extra attributes.
func fieldsOf(c Config, env outputs.Env) []field {
	taken := map[string]bool{}
	for _, name := range memberNames {
		taken[name] = true
	}
	var all []field
	for _, name := range slices.Concat(env.CustomFields, c.ExtraAttributes) {
		f := field{name, attributeName(name)}
		if taken[f.attribute] || !validName.MatchString(f.attribute) {
			continue
		}
		taken[f.attribute] = true
		all = append(all, f)
	}
	return all
}

// series is one combination of attributes.
type series struct {
	key        string
	attributes []*commonpb.KeyValue
	// value is what the endpoint has taken, and more what has come since.
	value, more int64
}

// counts are the events by their attributes.
type counts struct {
	series map[string]*series
	// began is when counting began; sent is when what was counted was last taken.
	began, sent time.Time
}

func newCounts(now time.Time) counts {
	return counts{series: map[string]*series{}, began: now, sent: now}
}

// add returns the series of the events of a batch, sorted, each with what the batch adds in
// more. The counts stay as they are: commit changes them.
func (c *counts) add(fields []field, batch []event.Event, delta bool) []series {
	added := map[string]*series{}
	fresh := 0 // of them are not in c
	for _, e := range batch {
		attributes := attributesOf(fields, e)
		key := keyOf(attributes)
		s, here := added[key]
		if !here {
			known, there := c.series[key]
			switch {
			case there:
				s = &series{key: key, attributes: known.attributes, value: known.value}
			case !delta && len(c.series)+fresh >= maxSeries-1: // one is that of the rest
				key = overflow
				if s = added[key]; s == nil {
					s = &series{key: key, attributes: []*commonpb.KeyValue{otlpx.Bool(overflow, true)}}
					if rest := c.series[key]; rest != nil {
						s.value = rest.value
					}
				}
			default:
				s = &series{key: key, attributes: attributes}
				fresh++
			}
			added[key] = s
		}
		s.more += hostx.Events(e)
	}
	return sorted(added)
}

// commit notes that the endpoint has taken what add returned.
func (c *counts) commit(added []series, now time.Time, delta bool) {
	c.sent = now
	if delta {
		return
	}
	for _, s := range added {
		c.series[s.key] = &series{key: s.key, attributes: s.attributes, value: s.value + s.more}
	}
}

// all returns what the endpoint has taken, sorted.
func (c *counts) all() []series { return sorted(c.series) }

func sorted(all map[string]*series) []series {
	list := make([]series, 0, len(all))
	for s := range maps.Values(all) {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b series) int { return cmp.Compare(a.key, b.key) })
	return list
}

// attributesOf are the attributes of an event, sorted by name.
func attributesOf(fields []field, e event.Event) []*commonpb.KeyValue {
	text := func(name, value string) *commonpb.KeyValue { return otlpx.String(name, falcotext.Cut(value, maxValue)) }
	tags := make([]string, 0, min(len(e.Tags), maxTags))
	for _, t := range e.Tags[:min(len(e.Tags), maxTags)] {
		tags = append(tags, falcotext.Cut(t, maxValue))
	}
	all := []*commonpb.KeyValue{
		text("source", e.Source), text("priority", e.Priority.String()), text("rule", e.Rule),
		text("hostname", cmp.Or(e.Hostname, "unknown")), otlpx.Strings("tags", tags),
	}
	for _, f := range fields {
		v, _ := e.Field(f.name)
		s, _ := v.Str()
		all = append(all, text(f.attribute, s))
	}
	otlpx.SortAttributes(all)
	return all
}

// keyOf is the same for equal attributes only.
func keyOf(attributes []*commonpb.KeyValue) string {
	var b []byte
	for _, a := range attributes {
		if list := a.GetValue().GetArrayValue(); list != nil {
			for _, v := range list.GetValues() {
				b = event.AppendJSONString(b, v.GetStringValue())
			}
			b = append(b, ';')
			continue
		}
		b = append(event.AppendJSONString(b, a.GetValue().GetStringValue()), ';')
	}
	return string(b)
}

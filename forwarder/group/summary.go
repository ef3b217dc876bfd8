package group

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// The kinds of summaries, as people see them.
const (
	kindGroup      = "group"
	kindRepetition = "repetition"
	kindDigest     = "digest"
)

// The limits of what is known about the events of a bundle, in bytes where they are texts.
const (
	maxSamples  = 5
	maxSample   = 512
	maxRules    = 10
	maxName     = 256 // a rule, a source, a hostname
	maxTags     = 32
	maxTag      = 64
	maxFields   = 64
	maxField    = 1024 // name and value
	maxAllField = 4096
)

// bundle is one message in the making.
type bundle struct {
	kind string
	key  key
	// covers are the deliveries that wait for the message, bytes about what they take.
	covers []journal.Delivery
	bytes  int
	// count is the number of events, those that were settled included; repeats of them say
	// again what was told before.
	count, repeats int
	// facts is nil while the bundle is a single event, which is sent as it is.
	facts *facts
}

func (b *bundle) deliveries() []journal.Delivery {
	if b == nil {
		return nil
	}
	return b.covers
}

// add puts one delivery into the bundle.
func (b *bundle) add(d journal.Delivery) {
	switch {
	case b.facts != nil:
		b.facts.add(&d.Event)
	case b.count > 0:
		b.facts = newFacts(&b.covers[0].Event)
		b.facts.add(&d.Event)
	case b.kind == kindRepetition:
		b.facts = newFacts(&d.Event)
	}
	b.covers = append(b.covers, d)
	b.bytes += weight(&d)
	b.count++
}

// absorb puts all of other into the bundle. Other must not be used any more.
func (b *bundle) absorb(other *bundle) {
	if other.facts == nil {
		b.add(other.covers[0])
		return
	}
	switch {
	case b.facts != nil:
		b.facts.merge(other.facts)
	case b.count > 0:
		b.facts = newFacts(&b.covers[0].Event)
		b.facts.merge(other.facts)
	default:
		b.facts = other.facts
	}
	b.covers = append(b.covers, other.covers...)
	b.bytes += other.bytes
	b.count += other.count
}

func (b *bundle) priority() event.Priority {
	if b.facts == nil {
		return b.covers[0].Event.Priority
	}
	return b.facts.priority
}

// facts are what is known about several events. They hold no part of the events, so that
// an event can be let go of.
type facts struct {
	first, last time.Time
	priority    event.Priority
	rules       []tally
	others      int // events of rules that are not among rules
	source      common
	hostname    common
	tags        []string
	// fields are those that all events have with the same value.
	fields []event.Field
	// samples are what the first events say.
	samples []string
}

// tally is the number of events of a rule.
type tally struct {
	rule   string
	events int
}

// common is a text that all events share, or that they don't.
type common struct {
	text  string
	mixed bool
}

func (c *common) add(text string) {
	c.mixed = c.mixed || c.text != cut(text, maxName)
}

func newFacts(e *event.Event) *facts {
	f := &facts{
		first: e.Time, last: e.Time, priority: e.Priority,
		rules:    []tally{{strings.Clone(cut(e.Rule, maxName)), 1}},
		source:   common{text: strings.Clone(cut(e.Source, maxName))},
		hostname: common{text: strings.Clone(cut(e.Hostname, maxName))},
		fields:   cloneFields(e.Fields),
	}
	f.addTags(e.Tags)
	f.addSample(e)
	return f
}

func (f *facts) add(e *event.Event) {
	f.see(e.Time, e.Time, e.Priority)
	f.addRule(e.Rule, 1)
	f.source.add(e.Source)
	f.hostname.add(e.Hostname)
	f.addTags(e.Tags)
	f.keepShared(e.Fields)
	f.addSample(e)
}

func (f *facts) merge(o *facts) {
	f.see(o.first, o.last, o.priority)
	for _, r := range o.rules {
		f.addRule(r.rule, r.events)
	}
	f.others += o.others
	f.source.add(o.source.text)
	f.source.mixed = f.source.mixed || o.source.mixed
	f.hostname.add(o.hostname.text)
	f.hostname.mixed = f.hostname.mixed || o.hostname.mixed
	f.addTags(o.tags)
	f.keepShared(o.fields)
	f.samples = append(f.samples, o.samples[:min(len(o.samples), maxSamples-len(f.samples))]...)
}

func (f *facts) see(first, last time.Time, p event.Priority) {
	if first.Before(f.first) {
		f.first = first
	}
	if last.After(f.last) {
		f.last = last
	}
	f.priority = max(f.priority, p)
}

func (f *facts) addRule(rule string, events int) {
	rule = cut(rule, maxName)
	for i := range f.rules {
		if f.rules[i].rule == rule {
			f.rules[i].events += events
			return
		}
	}
	if len(f.rules) == maxRules {
		f.others += events
		return
	}
	f.rules = append(f.rules, tally{strings.Clone(rule), events})
}

func (f *facts) addTags(tags []string) {
	for _, t := range tags {
		if len(f.tags) == maxTags {
			return
		}
		if t = cut(t, maxTag); !slices.Contains(f.tags, t) {
			f.tags = append(f.tags, strings.Clone(t))
		}
	}
}

// keepShared leaves of the fields those that are in the list, too; both are sorted.
func (f *facts) keepShared(fields []event.Field) {
	i := 0
	f.fields = slices.DeleteFunc(f.fields, func(have event.Field) bool {
		for i < len(fields) && fields[i].Name < have.Name {
			i++
		}
		return i == len(fields) || fields[i] != have
	})
}

func (f *facts) addSample(e *event.Event) {
	if len(f.samples) == maxSamples {
		return
	}
	text := e.Headline()
	if text == "" {
		text = e.Rule
	}
	f.samples = append(f.samples, oneLine(cut(text, maxSample)))
}

// cloneFields copies as many fields as there is room for, and none that would speak of one
// of the events only.
func cloneFields(fields []event.Field) []event.Field {
	kept := make([]event.Field, 0, min(len(fields), maxFields))
	room := maxAllField
	for _, f := range fields {
		need := len(f.Name) + len(f.Value.Text())
		if len(kept) == maxFields || need > maxField || need > room || isVolatile(f.Name) {
			continue
		}
		room -= need
		kept = append(kept, event.Field{Name: strings.Clone(f.Name), Value: cloneValue(f.Value)})
	}
	return kept
}

func cloneValue(v event.Value) event.Value {
	text := strings.Clone(v.Text())
	switch v.Kind() {
	case event.String:
		return event.StringValue(text)
	case event.Number:
		return event.NumberValue(text)
	case event.Bool:
		return event.BoolValue(text == "true")
	case event.Composite:
		return event.CompositeValue(text)
	}
	return event.Value{}
}

// cut returns as much of s as n bytes hold without parting a character; what was cut ends
// with an ellipsis.
func cut(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// oneLine returns a copy of s with spaces in place of line feeds and the like.
func oneLine(s string) string {
	return strings.Clone(strings.Map(func(r rune) rune {
		if r < ' ' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s))
}

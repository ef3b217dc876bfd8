package group

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

const (
	// severalRules is the rule of a summary whose events are of different rules. It names no
	// number, because destinations count and join alerts by rule.
	severalRules = "Several rules"
	// maxShownRules is how many rules a headline names.
	maxShownRules = 5
)

// event returns the message: the event itself, or the summary.
func (b *bundle) event(output string) event.Event {
	f := b.facts
	if f == nil {
		return b.covers[0].Event
	}
	e := event.Event{
		UUID:     b.uuid(output),
		Output:   b.text(),
		Priority: f.priority,
		Rule:     severalRules,
		Time:     f.first,
		Source:   f.source.text,
		Tags:     f.tags,
		Hostname: f.hostname.text,
	}
	if len(f.rules) == 1 && f.others == 0 {
		e.Rule = f.rules[0].rule
	}
	if f.source.mixed {
		e.Source = "mixed"
	}
	if f.hostname.mixed {
		e.Hostname = ""
	}
	own := []event.Field{
		{Name: event.SummaryKind, Value: event.StringValue(b.kind)},
		{Name: event.SummaryCount, Value: event.NumberValue(strconv.Itoa(b.count))},
		{Name: event.SummaryFirst, Value: event.StringValue(f.first.UTC().Format(time.RFC3339Nano))},
		{Name: event.SummaryLast, Value: event.StringValue(f.last.UTC().Format(time.RFC3339Nano))},
	}
	if b.key.whole != "" {
		own = append(own, event.Field{Name: event.SummaryKey, Value: event.StringValue(b.key.whole)})
	}
	e.Fields = event.SortFields(slices.Concat(f.fields, own))
	return e
}

// uuid follows from the deliveries that the message covers, so that a message that is made
// again of the same ones, after a crash, is known for the same. One that is made of others
// is another message: what is in it must not hide behind what was sent.
func (b *bundle) uuid(output string) string {
	ids := make([]string, 0, len(b.covers))
	for i := range b.covers {
		d := &b.covers[i]
		ids = append(ids, cmp.Or(d.Event.UUID, strconv.FormatUint(d.Sequence, 10)))
	}
	slices.Sort(ids)
	name := append([]string{"saker", output, b.kind, b.key.whole}, ids...)
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.Join(name, "\x00"))).String()
}

// text is the headline and what the first events say:
//
//	12 × Terminal shell in container, k8s.ns.name=prod, from 10:00:01 to 10:04:59 UTC
//	- 10:00:01: Notice A shell was spawned …
//	and 7 more
func (b *bundle) text() string {
	var t strings.Builder
	t.WriteString(b.lead())
	if b.key.where != "" {
		t.WriteString(", " + b.key.where)
	}
	t.WriteString(", " + span(b.facts.first, b.facts.last))
	if b.repeats > 0 {
		fmt.Fprintf(&t, ", %d of them told before", b.repeats)
	}
	samples := b.facts.samples
	if b.kind == kindRepetition && len(b.facts.rules) == 1 {
		samples = samples[:1] // they all say the same, or nearly so
	}
	for _, s := range samples {
		t.WriteString("\n- " + s)
	}
	if more := b.count - len(samples); more > 0 {
		fmt.Fprintf(&t, "\nand %d more", more)
	}
	return t.String()
}

// lead says how many events of which rules there are.
func (b *bundle) lead() string {
	f := b.facts
	if len(f.rules) == 1 && f.others == 0 {
		if b.kind == kindGroup {
			return fmt.Sprintf("%d × %s", b.count, oneLine(f.rules[0].rule))
		}
		return fmt.Sprintf("%d more of %s", b.count, oneLine(f.rules[0].rule))
	}
	what := "events"
	if b.kind != kindGroup {
		what = "more"
	}
	rules := slices.Clone(f.rules)
	slices.SortFunc(rules, func(a, b tally) int {
		return cmp.Or(cmp.Compare(b.events, a.events), cmp.Compare(a.rule, b.rule))
	})
	var parts []string
	others := f.others
	for i, r := range rules {
		if i < maxShownRules {
			parts = append(parts, fmt.Sprintf("%d × %s", r.events, oneLine(r.rule)))
			continue
		}
		others += r.events
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d of other rules", others))
	}
	return fmt.Sprintf("%d %s: %s", b.count, what, strings.Join(parts, ", "))
}

// span says when it was, to the second, with dates when they differ.
func span(first, last time.Time) string {
	first, last = first.UTC().Truncate(time.Second), last.UTC().Truncate(time.Second)
	if first.Equal(last) {
		return "at " + first.Format(time.TimeOnly) + " UTC"
	}
	layout := time.TimeOnly
	if first.Format(time.DateOnly) != last.Format(time.DateOnly) {
		layout = time.DateTime
	}
	return "from " + first.Format(layout) + " to " + last.Format(layout) + " UTC"
}

package event

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Decode reads the event in data: one JSON object, with nothing but white space around it.
//
// It takes what Falcosidekick takes: names of members in any case, unknown members dropped,
// the later of two members of the same name, any member absent or null. A member of the
// wrong JSON type, an unknown priority and a time that isn't RFC 3339 are errors, and so is
// what is beyond the limits. A uuid that isn't a UUID counts as absent. Whether the event
// has all it needs is Validate's question.
//
// The event keeps nothing of data.
func Decode(data []byte) (Event, error) {
	if len(data) > MaxEventBytes {
		return Event{}, fmt.Errorf("the event must not be larger than %d bytes", MaxEventBytes)
	}
	d := newDecoder(data)
	defer d.release()
	e, err := d.event()
	if err != nil {
		return Event{}, err
	}
	if d.space(); d.pos < len(data) {
		return Event{}, d.unexpected("the end of the text")
	}
	return e, nil
}

// DecodeAll reads all events in data, which is one object, several objects with or without
// white space between them (so NDJSON as well), or an array of objects. More than limit
// events are an error; a limit of 0 or less is none.
//
// An error names the place of the mistake, counting events from 1 and bytes of data from 0.
// The events before it are returned with it.
func DecodeAll(data []byte, limit int) ([]Event, error) {
	d := newDecoder(data)
	defer d.release()
	inArray := d.space() == '['
	if inArray {
		d.pos++ // without enter: an event may be as deep here as alone
	}
	all := make([]Event, 0, d.guess(limit))
	for {
		more, err := d.nextEvent(inArray, len(all) == 0)
		if err == nil && more && limit > 0 && len(all) == limit {
			return all, fmt.Errorf("there must not be more than %d events at once", limit)
		}
		var e Event
		if err == nil && more {
			e, err = d.sizedEvent()
		}
		if err != nil {
			return all, fmt.Errorf("event %d: %w", len(all)+1, err)
		}
		if !more {
			break
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, errNoEvent
	}
	return all, nil
}

// guess returns about how many events there are, at least 1: room for them is made at once.
func (d *decoder) guess(limit int) int {
	const (
		most     = 1000
		smallest = 128 // bytes of an event that has all it needs
	)
	n := min(bytes.Count(d.data, []byte{'\n'})+1, len(d.data)/smallest, most)
	if limit > 0 {
		n = min(n, limit)
	}
	return max(n, 1)
}

const errNoEvent = constError("there must be at least one event")

// UnmarshalJSON reads what Decode reads.
func (e *Event) UnmarshalJSON(data []byte) error {
	decoded, err := Decode(data)
	if err == nil {
		*e = decoded
	}
	return err
}

// ParseValue reads the JSON value in data. Objects and arrays become canonical.
func ParseValue(data []byte) (Value, error) {
	d := newDecoder(data)
	defer d.release()
	d.space()
	kind, text, err := d.value()
	if err != nil {
		return Value{}, err
	}
	if d.space(); d.pos < len(data) {
		return Value{}, d.unexpected("the end of the text")
	}
	return Value{kind, string(d.bytes(text))}, nil
}

// A decoder reads events. It collects the places of an event's text first, so that the
// event takes one string for all of its text and one slice each for fields and tags.
type decoder struct {
	scanner
	fields []fieldSpan
	tags   []span
}

type fieldSpan struct {
	name, text span
	kind       Kind
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(data []byte) *decoder {
	d := decoders.Get().(*decoder)
	d.scanner = scanner{data: data, scratch: d.scratch[:0]}
	return d
}

// release gives d back for reuse, unless one large event has blown it up.
func (d *decoder) release() {
	const most = 64 << 10
	if cap(d.scratch) <= most {
		d.data = nil
		decoders.Put(d)
	}
}

// nextEvent reports whether another event follows, and stands before it.
func (d *decoder) nextEvent(inArray, first bool) (bool, error) {
	if !inArray {
		d.space()
		return d.pos < len(d.data), nil
	}
	more, err := d.next(first, ']')
	if err != nil || more {
		return more, err
	}
	if d.space(); d.pos < len(d.data) {
		return false, d.unexpected("the end of the text")
	}
	return false, nil
}

func (d *decoder) sizedEvent() (Event, error) {
	start := d.pos
	e, err := d.event()
	if err == nil && d.pos-start > MaxEventBytes {
		err = fmt.Errorf("must not be larger than %d bytes", MaxEventBytes)
	}
	return e, err
}

// spans are the places of an event's strings.
type spans struct{ uuid, output, rule, source, hostname span }

// event reads one event.
func (d *decoder) event() (Event, error) {
	d.scratch, d.fields, d.tags = d.scratch[:0], d.fields[:0], d.tags[:0]
	if d.space() != '{' {
		if found := d.found(); found != "" {
			return Event{}, fmt.Errorf("an event must be an object, not %s", found)
		}
		return Event{}, d.unexpected("an object")
	}
	if err := d.enter(); err != nil {
		return Event{}, err
	}
	var e Event
	var text spans
	for first := true; ; first = false {
		more, err := d.next(first, '}')
		if err != nil {
			return Event{}, err
		}
		if !more {
			break
		}
		name, err := d.name()
		if err != nil {
			return Event{}, err
		}
		known := memberName(d.bytes(name))
		if known == "" {
			err = d.skip()
		} else if err = d.member(known, &e, &text); err != nil {
			err = &memberError{known, err.Error()}
		}
		if err != nil {
			return Event{}, err
		}
	}
	d.sortFields()
	d.fill(&e, &text)
	return e, nil
}

var memberNames = []string{"uuid", "output", "priority", "rule", "time", "output_fields", "source", "tags", "hostname"}

// memberName returns the name of the member that name means in any case, "" if none.
func memberName(name []byte) string {
	switch string(name) {
	case "uuid":
		return "uuid"
	case "output":
		return "output"
	case "priority":
		return "priority"
	case "rule":
		return "rule"
	case "time":
		return "time"
	case "output_fields":
		return "output_fields"
	case "source":
		return "source"
	case "tags":
		return "tags"
	case "hostname":
		return "hostname"
	}
	for _, known := range memberNames {
		if strings.EqualFold(known, string(name)) {
			return known
		}
	}
	return ""
}

// member reads the value of a known member. As in encoding/json, null leaves a string as it
// was and empties a list, and a second output_fields adds to the first.
func (d *decoder) member(name string, e *Event, text *spans) error {
	switch name {
	case "uuid":
		return d.uuid(&text.uuid)
	case "output":
		return d.stringMember(&text.output)
	case "rule":
		return d.stringMember(&text.rule)
	case "source":
		return d.stringMember(&text.source)
	case "hostname":
		return d.stringMember(&text.hostname)
	case "priority":
		return d.priority(&e.Priority)
	case "time":
		return d.time(&e.Time)
	case "tags":
		return d.tagList()
	default:
		return d.fieldObject()
	}
}

func (d *decoder) stringMember(p *span) error {
	if d.peek() == 'n' {
		return d.literal("null")
	}
	if d.peek() != '"' {
		return d.wrongType("a string")
	}
	read, err := d.str()
	*p = read
	return err
}

func (d *decoder) wrongType(want string) error {
	if found := d.found(); found != "" {
		return fmt.Errorf("must be %s, not %s", want, found)
	}
	return d.unexpected("a value")
}

func (d *decoder) priority(p *Priority) error {
	if d.peek() == 'n' {
		return d.literal("null")
	}
	var word span
	if err := d.stringMember(&word); err != nil {
		return err
	}
	var ok bool
	if *p, ok = ParsePriority(string(d.bytes(word))); !ok && word.len() > 0 {
		return fmt.Errorf("%w, not %s", errPriority, d.shown(word))
	}
	return nil
}

func (d *decoder) time(t *time.Time) error {
	if d.peek() == 'n' {
		return d.literal("null")
	}
	var text span
	if err := d.stringMember(&text); err != nil {
		return err
	}
	var read time.Time
	err := read.UnmarshalText(d.bytes(text))
	_, offset := read.Zone()
	// An offset of a day is beyond RFC 3339; package time reads it but can't write it.
	const day = 24 * 60 * 60
	if err != nil || offset >= day || offset <= -day {
		return fmt.Errorf("must be RFC 3339 with a zone, not %s", d.shown(text))
	}
	*t = read
	return nil
}

// shown quotes what the sender wrote, but not more than fits a line.
func (d *decoder) shown(p span) string {
	const most = 64
	text := d.bytes(p)
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// uuid reads a UUID in its canonical form of 36 characters. Anything else, and the nil
// UUID, which many events could have, are as if absent.
func (d *decoder) uuid(p *span) error {
	*p = span{}
	if d.peek() != '"' {
		return d.skip()
	}
	read, err := d.str()
	if err == nil && isUUID(d.bytes(read)) {
		at := len(d.scratch)
		d.scratch = append(d.scratch, bytes.ToLower(d.bytes(read))...)
		*p = span{at, len(d.scratch), true}
	}
	return err
}

func isUUID(text []byte) bool {
	const shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(text) != len(shape) {
		return false
	}
	isNil := true
	for i, c := range text {
		if shape[i] == '-' {
			if c != '-' {
				return false
			}
			continue
		}
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
		isNil = isNil && c == '0'
	}
	return !isNil
}

func (d *decoder) tagList() error {
	d.tags = d.tags[:0]
	if d.peek() == 'n' {
		return d.literal("null")
	}
	if d.peek() != '[' {
		return d.wrongType("an array of strings")
	}
	if err := d.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := d.next(first, ']')
		if err != nil || !more {
			return err
		}
		if len(d.tags) == MaxTags {
			return fmt.Errorf("must not have more than %d entries", MaxTags)
		}
		var tag span
		if err := d.stringMember(&tag); err != nil {
			return fmt.Errorf("entry %d: %w", len(d.tags)+1, err)
		}
		d.tags = append(d.tags, tag)
	}
}

func (d *decoder) fieldObject() error {
	if d.peek() == 'n' {
		d.fields = d.fields[:0]
		return d.literal("null")
	}
	if d.peek() != '{' {
		return d.wrongType("an object")
	}
	if err := d.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := d.next(first, '}')
		if err != nil || !more {
			return err
		}
		if len(d.fields) == MaxFields {
			return fmt.Errorf("must not have more than %d entries", MaxFields)
		}
		var f fieldSpan
		if f.name, err = d.name(); err != nil {
			return err
		}
		if f.kind, f.text, err = d.value(); err != nil {
			return err
		}
		d.fields = append(d.fields, f)
	}
}

// sortFields sorts the fields by name, which most senders did already, and keeps the last
// of those with the same name.
func (d *decoder) sortFields() {
	byName := func(a, b fieldSpan) int { return bytes.Compare(d.bytes(a.name), d.bytes(b.name)) }
	sorted := true
	for i := 1; i < len(d.fields) && sorted; i++ {
		sorted = byName(d.fields[i-1], d.fields[i]) < 0
	}
	if sorted {
		return
	}
	slices.SortStableFunc(d.fields, byName)
	kept := d.fields[:0]
	for i, f := range d.fields {
		if i+1 == len(d.fields) || byName(f, d.fields[i+1]) != 0 {
			kept = append(kept, f)
		}
	}
	d.fields = kept
}

// fill makes the event's strings and slices: one string for all text, of which the others
// are parts.
func (d *decoder) fill(e *Event, text *spans) {
	parts := [...]span{text.uuid, text.output, text.rule, text.source, text.hostname}
	size := 0
	for _, p := range parts {
		size += p.len()
	}
	for i := range d.fields {
		size += d.fields[i].name.len() + d.fields[i].text.len()
	}
	for _, t := range d.tags {
		size += t.len()
	}
	rest := d.join(parts[:], size)
	cut := func(n int) (part string) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	e.UUID, e.Output, e.Rule = cut(text.uuid.len()), cut(text.output.len()), cut(text.rule.len())
	e.Source, e.Hostname = cut(text.source.len()), cut(text.hostname.len())
	if n := len(d.fields); n > 0 {
		fields := make([]Field, n)
		for i := range d.fields {
			f := &d.fields[i]
			fields[i].Name = cut(f.name.len())
			fields[i].Value = Value{f.kind, cut(f.text.len())}
		}
		e.Fields = fields
	}
	if n := len(d.tags); n > 0 {
		e.Tags = make([]string, n)
		for i, t := range d.tags {
			e.Tags[i] = cut(t.len())
		}
	}
}

// join returns the text of the parts, the fields and the tags, one after the other.
func (d *decoder) join(parts []span, size int) string {
	var all strings.Builder
	all.Grow(size)
	for _, p := range parts {
		all.Write(d.bytes(p))
	}
	for i := range d.fields {
		all.Write(d.bytes(d.fields[i].name))
		all.Write(d.bytes(d.fields[i].text))
	}
	for _, t := range d.tags {
		all.Write(d.bytes(t))
	}
	return all.String()
}

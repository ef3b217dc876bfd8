package adapter

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
)

const (
	// flatLevels is how many levels of objects Flatten takes apart.
	flatLevels = 8
	// flatFields is the most fields that Flatten makes of one value.
	flatFields = 500
)

// Fields collects an event's output fields. What is absent, null or empty text is left out.
type Fields struct {
	list []event.Field
	err  error
}

// Text adds a string.
func (f *Fields) Text(name, value string) {
	if value != "" {
		f.list = append(f.list, event.Field{Name: name, Value: event.StringValue(value)})
	}
}

// Int adds a whole number.
func (f *Fields) Int(name string, n int64) {
	f.list = append(f.list, event.Field{Name: name, Value: event.NumberValue(strconv.FormatInt(n, 10))})
}

// Raw adds a JSON value as it is.
func (f *Fields) Raw(name string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	v, err := event.ParseValue(raw)
	if err != nil {
		f.fail(err)
		return
	}
	if v.Kind() != event.Null && v != event.StringValue("") {
		f.list = append(f.list, event.Field{Name: name, Value: v})
	}
}

// Flatten adds a JSON value: of an object each member by itself, its name behind the prefix
// and a dot, and so on for the objects in it. A value with very many members stays whole.
func (f *Fields) Flatten(prefix string, raw json.RawMessage) {
	before := len(f.list)
	if !f.flatten(prefix, raw, flatLevels, before+flatFields) {
		f.list = f.list[:before]
		f.Raw(prefix, raw)
	}
}

func (f *Fields) flatten(name string, raw json.RawMessage, levels, most int) bool {
	if levels == 0 || !strings.HasPrefix(strings.TrimLeft(string(raw[:min(len(raw), 16)]), " \t\r\n"), "{") {
		f.Raw(name, raw)
		return len(f.list) <= most
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		f.fail(err)
		return true
	}
	if len(members) > flatFields {
		return false
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if !f.flatten(Join(name, key), members[key], levels-1, most) {
			return false
		}
	}
	return true
}

// Join puts a dot between two names that are not empty.
func Join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func (f *Fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// Sorted returns the fields as an Event has them, and the first error on the way.
func (f *Fields) Sorted() ([]event.Field, error) { return event.SortFields(f.list), f.err }

// Line builds an alert's text in the manner of Falco's: a sentence, then the facts.
type Line struct {
	text  strings.Builder
	facts bool
}

// Say adds to the sentence.
func (l *Line) Say(words ...string) {
	for _, w := range words {
		if w == "" {
			continue
		}
		if l.text.Len() > 0 {
			l.text.WriteByte(' ')
		}
		l.text.WriteString(w)
	}
}

// Fact adds name=value, unless the value is empty.
func (l *Line) Fact(name, value string) {
	if value == "" {
		return
	}
	if !l.facts {
		l.facts = true
		l.Say("|")
	}
	l.Say(name + "=" + value)
}

// String returns the text.
func (l *Line) String() string { return l.text.String() }

// ShortID returns a container's id as Falco shows it: without the runtime's name, and the
// first 12 characters.
func ShortID(id string) string {
	id = FullID(id)
	return id[:min(len(id), 12)]
}

// FullID returns a container's id without the runtime's name: "containerd://4f…" is "4f…".
func FullID(id string) string {
	if _, bare, ok := strings.Cut(id, "://"); ok {
		return bare
	}
	return id
}

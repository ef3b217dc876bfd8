// Package written makes events that nobody saw: somebody wrote them down, field by field, to
// see what rules make of them.
//
//	{evt.type: openat, fd.name: /etc/shadow, proc.name: cat} ── Reader.Event ──> *Event
//	                                                                              │
//	                     Registry ── fields.Field.Extract ── given, or follows ───┘
//
// The fields of an Event are read through a Registry that has the names, types and arguments
// of the real one. A field that was not given may follow from others (fd.directory from
// fd.name) or from what is usual (the call succeeded, on the host); else it is null.
package written

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
)

// Event is an event that was written down. Its fields are read through the Registry.
type Event struct {
	registry *fields.Registry
	// given are the fields by name and argument.
	given map[string]fields.Value
	// found are those that have been worked out.
	found map[string]fields.Value
	// usual says that what is usual holds where nothing was given.
	usual bool
	num   uint64
	host  *host
}

// Registry returns the fields of a source with the names, types and arguments of original, that
// are read from an *Event as it was written, and from any other event as original reads it. Rules
// that are compiled for it may be held against both.
func Registry(original *fields.Registry) *fields.Registry {
	var all []fields.Field
	for _, f := range original.All() {
		w := *f
		w.Extract = func(ev any, arg fields.Arg) fields.Value {
			if e, ok := ev.(*Event); ok {
				return e.value(f, arg)
			}
			return f.Extract(ev, arg)
		}
		all = append(all, w)
	}
	r := fields.NewRegistry(original.Source, all)
	r.EventTypes, r.Unwatched = original.EventTypes, original.Unwatched
	if original.EventType != nil {
		r.EventType = func(ev any) int {
			if e, ok := ev.(*Event); ok {
				return e.typeNumber()
			}
			return original.EventType(ev)
		}
	}
	r.Resolve = func(host string) func(netip.Addr) bool {
		of := addressOf(host)
		return func(a netip.Addr) bool { return a == of }
	}
	return r
}

// addressOf stands in for an address of a host name: no name is looked up for an event that
// nobody saw. A literal address is its own.
func addressOf(host string) netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap()
	}
	sum := sha256.Sum256([]byte(host))
	sum[0] = 0xfd // an address for use in one place only
	return netip.AddrFrom16([16]byte(sum[:16]))
}

// Of returns an event with the output fields of an alert as all that is known of it. It has
// nothing that is only usual, so that Known is true for what the alert tells alone.
func Of(alert *event.Event, registry *fields.Registry) *Event {
	e := newEvent(registry, false, 1, &host{})
	if _, ok := registry.Lookup("evt.time"); ok {
		e.given["evt.time"] = fields.Unsigned(uint64(alert.Time.UnixNano()))
	}
	for _, f := range alert.Fields {
		name, arg, ok := splitName(f.Name)
		field, known := registry.Lookup(name)
		if !ok || !known {
			continue
		}
		if v, err := parseJSON(field, arg != "", f.Value); err == nil {
			e.given[f.Name] = v
		}
	}
	return e
}

func newEvent(registry *fields.Registry, usual bool, num uint64, h *host) *Event {
	return &Event{
		registry: registry, usual: usual, num: num, host: h,
		given: make(map[string]fields.Value), found: make(map[string]fields.Value),
	}
}

// Type is the event's type, empty if it is not known.
func (e *Event) Type() string { return e.Field("evt.type").Str }

// Field returns the value of the field called name, with its argument in brackets if it has
// one: given, following from others, or null.
func (e *Event) Field(name string) fields.Value {
	base, _, _ := splitName(name)
	f, ok := e.registry.Lookup(base)
	if !ok {
		return fields.Value{}
	}
	arg, err := parseArg(f, name)
	if err != nil {
		return fields.Value{}
	}
	return e.value(f, arg)
}

// Known says whether the event tells the field called name: it was given, be it as null, or
// follows from others. The value of any other is null because nobody knows it.
func (e *Event) Known(name string) bool {
	if _, ok := e.given[name]; ok {
		return true
	}
	return e.Field(name).Valid
}

// value is the field's value, worked out once.
func (e *Event) value(f *fields.Field, arg fields.Arg) fields.Value {
	key := keyOf(f.Name, arg)
	if v, ok := e.given[key]; ok {
		return v
	}
	if v, ok := e.found[key]; ok {
		return v
	}
	// What follows from itself in the end is null, and is so while it is looked for.
	e.found[key] = fields.Value{}
	v := e.follow(f, arg)
	// What was found while something else was looked for may lack just that.
	if v.Valid {
		e.found[key] = v
	} else {
		delete(e.found, key)
	}
	return v
}

func (e *Event) typeNumber() int { return slices.Index(e.registry.EventTypes, e.Type()) }

// keyOf is how a field with its argument is written.
func keyOf(name string, arg fields.Arg) string {
	switch {
	case !arg.Given:
		return name
	case arg.Key != "":
		return name + "[" + arg.Key + "]"
	default:
		return name + "[" + strconv.Itoa(arg.Index) + "]"
	}
}

// splitName takes name[argument] apart; false when it has another form.
func splitName(s string) (name, arg string, ok bool) {
	name, rest, has := strings.Cut(s, "[")
	if !has {
		return s, "", true
	}
	arg, ok = strings.CutSuffix(rest, "]")
	return name, arg, ok
}

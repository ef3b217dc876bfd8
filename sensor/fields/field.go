// Package fields holds what conditions and outputs may ask of an event: the type of a
// filter field, its values, and the registry of a source's fields.
//
// A field is declared once, with its name, type, doc and extractor; the rules compiler,
// `saker rules fields` and the documentation all walk the registry. The fields of kernel
// events are in fields/syscalls. The package stands between the facts (process table,
// probe records) and the rules that are held against them.
package fields

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// ArgKind says whether and how a field takes an argument in brackets.
type ArgKind uint8

// The kinds of argument.
const (
	// NoArg: evt.type.
	NoArg ArgKind = iota
	// IndexArg: a number is required, evt.arg[0].
	IndexArg
	// KeyArg: a name is required, jevt.value[/stage].
	KeyArg
	// OptionalIndexArg: proc.aname or proc.aname[2].
	OptionalIndexArg
	// OptionalKeyArg: proc.env or proc.env[PATH].
	OptionalKeyArg
)

// Arg is a field's argument as parsed at load time.
type Arg struct {
	// Given says whether there was one.
	Given bool
	// Index is the number of IndexArg and OptionalIndexArg.
	Index int
	// Key is the text of KeyArg and OptionalKeyArg.
	Key string
}

// Field is one filter field of one event source.
type Field struct {
	// Name is the whole dotted name without argument: "proc.aname".
	Name string
	// Type is that of the values, or of their elements when List is set.
	Type Type
	// List says that values are lists.
	List bool
	// Arg says whether the field takes an argument.
	Arg ArgKind
	// Doc is one sentence for the reference page.
	Doc string
	// Events are the event types of which the field can have a value, by their names and
	// sorted; nil for all, empty for none.
	Events []string
	// NoRHS forbids the field on an operator's right-hand side, NoTransform inside a
	// transformer.
	NoRHS, NoTransform bool
	// Deprecated, when set, is the reason shown as a warning.
	Deprecated string
	// AnyOf says that a list value stands for alternatives: a condition on it is true when
	// any element satisfies it (proc.aname without index, fd.ip, fd.port). NotEqual is
	// then true only when every element differs. Such a list is printed with its elements
	// joined by spaces. A value without elements is a plain one (proc.aname[2]).
	AnyOf bool
	// NotEqualAny makes != of an AnyOf field true when any element differs, instead of every
	// one (proc.aname without index).
	NotEqualAny bool
	// Late says that the value may become known only after the event: what a container
	// runtime tells. It can then be extracted from another event of the same source that
	// has nothing but what the value depends on, from any goroutine.
	Late bool
	// CheckArg refuses a wrong argument at load time; may be nil.
	CheckArg func(Arg) error
	// Extract returns the field's value of the event ev, whose concrete type is that of
	// the field's source. It is called at most once an event and argument, from one
	// goroutine.
	Extract func(ev any, arg Arg) Value
	// Resolves marks a field whose values are addresses and whose literals are host names
	// (fd.sip.name). Its Type is String. A valid value has the address in Addr, which
	// conditions test with the registry's Resolve, and in Str a known name of it, empty
	// (printed as null) if there is none.
	Resolves bool
	// Format returns the text of a valid value in an alert's output, for a field whose text
	// is not its type's (evt.time prints 15:04:05.000000000). The alert's output_fields keep
	// the value itself. May be nil.
	Format func(Value) string
}

// Registry is the set of fields of one event source.
type Registry struct {
	// Source is the source's name in rules: "syscall".
	Source string
	// EventTypes are the names that evt.type may be compared with, by their number in the
	// event-type index. Empty for a source without event types.
	EventTypes []string
	// Unwatched are further names that evt.type may be compared with, of events that exist
	// but never come from this source. A comparison with one is false.
	Unwatched map[string]bool
	// EventType returns the event's number in EventTypes; nil for a source without types.
	EventType func(ev any) int
	// Resolve has a host name of a condition looked up from now on, without waiting, and
	// returns the test whether an address is one of its: false until the first answer. It
	// is called once a literal of a Resolves field; nil if the source has no resolver, and
	// then such a comparison is false.
	Resolve func(host string) func(netip.Addr) bool
	byName  map[string]*Field
}

// NewRegistry returns a registry of the given fields. It panics on a field without name,
// doc or extractor, and on two of the same name: declarations are code.
func NewRegistry(source string, fs []Field) *Registry {
	r := &Registry{Source: source, byName: make(map[string]*Field, len(fs))}
	for i := range fs {
		f := &fs[i]
		if f.Name == "" || f.Doc == "" || f.Extract == nil {
			panic(fmt.Sprintf("fields: field %q lacks a name, a doc or an extractor", f.Name))
		}
		if r.byName[f.Name] != nil {
			panic(fmt.Sprintf("fields: field %q is declared twice", f.Name))
		}
		r.byName[f.Name] = f
	}
	return r
}

// Lookup returns the field called name.
func (r *Registry) Lookup(name string) (*Field, bool) {
	f, ok := r.byName[name]
	return f, ok
}

// All returns every field, sorted by name.
func (r *Registry) All() []*Field {
	all := make([]*Field, 0, len(r.byName))
	for _, f := range r.byName {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *Field) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

package program

import (
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// Bounds makes upper bounds of conditions in a domain of the caller's, such as filters that
// the kernel can apply.
//
// A value of T stands for a set of events. Each function returns a set that holds at least
// the events that it describes: then Bound returns one that holds every event that any rule
// matches, and an event outside of it may be dropped.
type Bounds[T any] struct {
	// Comparison returns the bound of the events for which c is true, or with result false
	// of those for which it is not: of null values among them, with which no comparison is
	// true.
	Comparison func(c Comparison, result bool) T
	// All returns the bound of the events that are in all of the sets, Any of those that are
	// in any of them. All of none is every event, Any of none is no event. They may change
	// the slice, not the sets.
	All, Any func(sets []T) T
}

// Bound returns an upper bound of the events of type t, an index of the registry's
// EventTypes, that an enabled rule of p matches. Equal sub-expressions are asked for once.
func Bound[T any](p *Program, t int, b Bounds[T]) T {
	w := bounder[T]{p: p, Bounds: b, done: make(map[Ref]T)}
	if t < 0 || t >= len(p.byType) {
		return b.Any(nil)
	}
	sets := make([]T, len(p.byType[t]))
	for i, e := range p.byType[t] {
		sets[i] = w.bound(e.root)
	}
	return b.Any(sets)
}

type bounder[T any] struct {
	Bounds[T]
	p    *Program
	done map[Ref]T
}

func (w *bounder[T]) bound(r Ref) T {
	if set, ok := w.done[r]; ok {
		return set
	}
	var set T
	if n := &w.p.code[r.node()]; n.leaf >= 0 {
		set = w.Comparison(Comparison{p: w.p, leaf: &w.p.leaves[n.leaf]}, !r.negated())
	} else {
		parts := make([]T, 0, n.end-n.first)
		for _, c := range w.p.refs[n.first:n.end] {
			if r.negated() {
				c = c.not()
			}
			parts = append(parts, w.bound(c))
		}
		if r.negated() {
			set = w.All(parts)
		} else {
			set = w.Any(parts)
		}
	}
	w.done[r] = set
	return set
}

// Comparison is one comparison of a compiled condition.
type Comparison struct {
	p    *Program
	leaf *leaf
}

// Field returns the field that is compared and its argument. It is false for a comparison
// that is more than that of one field with literals: one of a transformer's result, of two
// fields, or of a host name, whose addresses change.
func (c Comparison) Field() (*fields.Field, fields.Arg, bool) {
	s := &c.p.slots[c.leaf.slot]
	if s.field == nil || c.leaf.test == compare || c.leaf.test == hostIn {
		return nil, fields.Arg{}, false
	}
	return s.field, s.arg, true
}

// Operator returns how the value is compared with the literals; In stands for equality with
// any of them. It is false where the literals alone do not tell, as for a list under a
// modifier.
func (c Comparison) Operator() (filter.Op, bool) {
	switch c.leaf.test {
	case present:
		return filter.Exists, true
	case textIn, numberIn, addrIn, netIn:
		return filter.In, true
	case textPrefix:
		return filter.StartsWith, true
	case textSuffix:
		return filter.EndsWith, true
	case textContains:
		return filter.Contains, true
	case textContainsFold:
		return filter.IContains, true
	case textPath:
		return filter.PMatch, true
	case textRegex:
		return filter.Regex, true
	case textGlob, textOrder, unsignedOrder, signedOrder:
		return c.leaf.op, true
	}
	return 0, false
}

// Differs says that the comparison is one of !=: it is true where the value is not one of
// the literals.
func (c Comparison) Differs() bool { return c.leaf.negate }

// Texts returns the literals of a text comparison, Numbers those of a number's.
func (c Comparison) Texts() []string { return c.leaf.texts }

// Numbers is described at Texts.
func (c Comparison) Numbers() []uint64 { return c.leaf.numbers }

// Holds says whether the comparison is true for v, a value of its Field.
func (c Comparison) Holds(v fields.Value) bool { return c.leaf.decide(&v) }

// Value returns what the event has in the comparison's Field.
func (c Comparison) Value(ev any) fields.Value {
	s := &c.p.slots[c.leaf.slot]
	return s.extract(ev)
}

// String returns the comparison about as it is written in a rule; long lists are cut.
func (c Comparison) String() string {
	l := c.leaf
	name := c.p.slots[l.slot].name
	op, ok := c.Operator()
	switch {
	case ok && op == filter.Exists:
		return name + " exists"
	case !ok:
		return name + " …"
	case op == filter.In && len(l.texts)+len(l.numbers) == 1:
		op = filter.Eq
	}
	literals := slices.Clone(l.texts)
	for _, n := range l.numbers {
		literals = append(literals, strconv.FormatInt(int64(n), 10))
	}
	for _, a := range l.addrs {
		literals = append(literals, a.String())
	}
	for _, n := range l.nets {
		literals = append(literals, n.String())
	}
	const most = 6
	if more := len(literals) - most; more > 1 {
		literals = append(literals[:most], "… "+strconv.Itoa(more)+" more")
	}
	text := strings.Join(literals, ", ")
	if op.List() || len(literals) > 1 {
		text = "(" + text + ")"
	}
	s := name + " " + op.String() + " " + text
	if l.negate {
		return "not " + s
	}
	return s
}

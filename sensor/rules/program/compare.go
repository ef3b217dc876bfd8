package program

import (
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/match"
)

// compare compares the value v of the leaf's slot with that of its other slot. It is false
// when the other is null.
func (m *Machine) compare(l *leaf, v *fields.Value) bool {
	other := m.value(l.other)
	if !other.Valid {
		return false
	}
	s := &m.slots[l.slot]
	if !s.list {
		return compareValues(l.op, s.typ, v, other)
	}
	in := func(x fields.Value) bool {
		for i := range other.List {
			if compareValues(filter.Eq, s.typ, &x, &other.List[i]) {
				return true
			}
		}
		return false
	}
	if len(v.List) == 0 {
		return false
	}
	for _, x := range v.List {
		if in(x) != (l.op == filter.In) {
			return l.op == filter.Intersects
		}
	}
	return l.op == filter.In
}

func compareValues(op filter.Op, t fields.Type, a, b *fields.Value) bool {
	if t == fields.Int {
		return ordered(op, compareNumbers(int64(a.Num), int64(b.Num)))
	}
	if isNumber(t) || t == fields.Bool {
		return ordered(op, compareNumbers(a.Num, b.Num))
	}
	if t == fields.IP {
		return (a.Addr.Unmap() == b.Addr.Unmap()) == (op != filter.Ne)
	}
	switch op {
	case filter.Contains, filter.BContains:
		return strings.Contains(a.Str, b.Str)
	case filter.IContains:
		return match.ContainsFold(a.Str, match.Lower(b.Str))
	case filter.StartsWith, filter.BStartsWith:
		return strings.HasPrefix(a.Str, b.Str)
	case filter.EndsWith:
		return strings.HasSuffix(a.Str, b.Str)
	case filter.Glob, filter.IGlob:
		return match.NewGlob(b.Str, op == filter.IGlob).Match(a.Str)
	}
	return ordered(op, strings.Compare(a.Str, b.Str))
}

package program

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/match"
)

// Machine evaluates a Program's rules, one event at a time. It is not safe for concurrent
// use; each goroutine has its own.
type Machine struct {
	*Program
	event any
	// round numbers the events; what is stamped with another round is stale.
	round  uint32
	values []fields.Value
	stamps []uint32
	// results holds round<<1 and the result of each shared instruction.
	results []uint32

	// all evaluates every rule, not only up to the first that matches.
	all    bool
	counts []typeCounts
}

// NewMachine returns a Machine for p. With all set it evaluates every rule for each event,
// otherwise only up to the first that matches.
func (p *Program) NewMachine(all bool) *Machine {
	m := &Machine{
		Program: p,
		all:     all,
		values:  make([]fields.Value, len(p.slots)),
		stamps:  make([]uint32, len(p.slots)),
		results: make([]uint32, p.shared),
		counts:  make([]typeCounts, len(p.byType)),
	}
	for i := range m.counts {
		m.counts[i].rules = make([]ruleCounts, len(p.byType[i]))
	}
	return m
}

const maxRound = 1<<31 - 1

// Match evaluates the rules against ev and appends the indexes of those that match to
// dst, in their order. Text and Fields speak of ev until the next call; ev must not change
// as long.
func (m *Machine) Match(ev any, dst []int) []int {
	m.begin(ev)
	t := 0
	if m.reg.EventType != nil {
		if t = m.reg.EventType(ev); t < 0 || t >= len(m.byType) {
			return dst
		}
	}
	counts := &m.counts[t]
	timed := counts.count()
	for i, e := range m.byType[t] {
		var start time.Time
		if timed {
			start = time.Now()
		}
		holds := m.test(e.root)
		if timed {
			counts.rules[i].spent.Add(uint64(time.Since(start)))
		}
		if !holds {
			continue
		}
		counts.rules[i].hits.Add(1)
		dst = append(dst, int(e.rule))
		if !m.all {
			break
		}
	}
	return dst
}

// begin makes what is known of the event before stale.
func (m *Machine) begin(ev any) {
	m.event = ev
	if m.round++; m.round > maxRound {
		m.round = 1
		clear(m.stamps)
		clear(m.results)
	}
}

func (m *Machine) test(r Ref) bool {
	n := &m.code[r.node()]
	if n.memo >= 0 {
		if got := m.results[n.memo]; got>>1 == m.round {
			return got&1 != 0 != r.negated()
		}
	}
	res := false
	if n.leaf >= 0 {
		res = m.leaf(&m.leaves[n.leaf])
	} else {
		if slices.ContainsFunc(m.refs[n.first:n.end], m.test) {
			res = true
		}
	}
	if n.memo >= 0 {
		m.results[n.memo] = m.round << 1
		if res {
			m.results[n.memo] |= 1
		}
	}
	return res != r.negated()
}

// value returns the slot's value, valid until the next event.
func (m *Machine) value(i int32) *fields.Value {
	v := &m.values[i]
	if m.stamps[i] == m.round {
		return v
	}
	s := &m.slots[i]
	if s.call == nil {
		*v = s.extract(m.event)
	} else {
		*v = s.call(m, s)
	}
	m.stamps[i] = m.round
	return v
}

// extract returns the value of a field's slot. A list without elements is null, unless it
// stands for alternatives.
func (s *slot) extract(ev any) fields.Value {
	v := s.field.Extract(ev, s.arg)
	if s.list && len(v.List) == 0 && !s.field.AnyOf {
		v.Valid = false
	}
	return v
}

func (m *Machine) leaf(l *leaf) bool {
	v := m.value(l.slot)
	if l.test == compare {
		return v.Valid && m.compare(l, v)
	}
	return l.decide(v)
}

// decide says whether a comparison with literals is true for a value.
func (l *leaf) decide(v *fields.Value) bool {
	switch {
	case !v.Valid:
		return false
	case l.test == present:
		return true
	case l.scope == single || l.scope == someElement && v.List == nil:
		return l.holds(v) != l.negate
	case len(v.List) == 0:
		return false
	}
	if l.scope == everyElement {
		for i := range v.List {
			if !l.holds(&v.List[i]) {
				return false
			}
		}
		return true
	}
	for i := range v.List {
		if l.holds(&v.List[i]) != l.anyDiffers {
			return l.anyDiffers || !l.negate
		}
	}
	return l.negate && !l.anyDiffers
}

// holds applies the test to one value that is not null.
func (l *leaf) holds(v *fields.Value) bool {
	switch l.test {
	case textIn:
		return l.words.Match(v.Str)
	case textPrefix:
		return l.prefixes.Match(v.Str)
	case textSuffix:
		return l.suffixes.Match(v.Str)
	case textContains:
		for _, s := range l.texts {
			if strings.Contains(v.Str, s) {
				return true
			}
		}
	case textContainsFold:
		for _, s := range l.texts {
			if match.ContainsFold(v.Str, s) {
				return true
			}
		}
	case textGlob:
		for _, g := range l.globs {
			if g.Match(v.Str) {
				return true
			}
		}
	case textRegex:
		return l.regex.MatchString(v.Str)
	case textPath:
		return l.paths.Match(v.Str)
	case textOrder:
		return ordered(l.op, strings.Compare(v.Str, l.texts[0]))
	case numberIn:
		return contains(l.numbers, l.numSet, v.Num)
	case unsignedOrder:
		return ordered(l.op, compareNumbers(v.Num, l.numbers[0]))
	case signedOrder:
		return ordered(l.op, compareNumbers(int64(v.Num), int64(l.numbers[0])))
	case addrIn:
		return contains(l.addrs, l.addrSet, v.Addr.Unmap())
	case netIn:
		return l.netSet.match(v.Addr.Unmap())
	case hostIn:
		return l.holdsHost(v.Addr)
	case several:
		return l.holdsSeveral(v)
	}
	return false
}

func (l *leaf) holdsHost(a netip.Addr) bool {
	for _, has := range l.hosts {
		if has(a) {
			return true
		}
	}
	return false
}

func (l *leaf) holdsSeveral(v *fields.Value) bool {
	n := 0
	for i := range l.subs {
		if l.subs[i].holds(v) != l.subs[i].negate {
			n++
		}
	}
	switch l.mode {
	case filter.OneOf:
		return n == 1
	case filter.AllOf:
		return n == len(l.subs)
	}
	return n > 0
}

func ordered(op filter.Op, c int) bool {
	switch op {
	case filter.Lt:
		return c < 0
	case filter.Le:
		return c <= 0
	case filter.Gt:
		return c > 0
	case filter.Ge:
		return c >= 0
	case filter.Ne:
		return c != 0
	}
	return c == 0
}

func compareNumbers[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

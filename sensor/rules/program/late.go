package program

import (
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
)

// Suspended is an event whose late fields are not known yet, with everything else that the
// rules it may match ask of it. It keeps nothing of the event itself.
type Suspended struct {
	counts     *typeCounts
	candidates []candidate
	values     []frozen
	size       int
}

// candidate is a rule that may match.
type candidate struct {
	entry
	// place is the rule's in the lists of its event type, for the counts.
	place int
	// sure says that the rule matches whatever the late fields are.
	sure bool
}

// frozen is a value as it was when the event happened.
type frozen struct {
	slot  int32
	value fields.Value
}

// Size is how much memory it takes, in bytes.
func (s *Suspended) Size() int { return s.size }

// What a Suspended costs besides texts, in bytes.
const (
	suspendedOverhead = 256
	valueOverhead     = 96
	candidateOverhead = 24
)

// Suspend evaluates the rules against ev like Match, but takes its late fields for unknown.
// It returns nil when no rule matches whatever they turn out to be. outputs returns the
// outputs of the rule with the given index.
func (m *Machine) Suspend(ev any, outputs func(rule int) []*Output) *Suspended {
	m.begin(ev)
	t := 0
	if m.reg.EventType != nil {
		if t = m.reg.EventType(ev); t < 0 || t >= len(m.byType) {
			return nil
		}
	}
	made := &Suspended{counts: &m.counts[t], size: suspendedOverhead}
	made.counts.events.Add(1)
	s := suspension{Machine: m, made: made, decided: make([]uint8, m.shared)}
	for i, e := range m.byType[t] {
		v := s.weigh(e.root)
		if v == no {
			continue
		}
		made.candidates = append(made.candidates, candidate{entry: e, place: i, sure: v == yes})
		if v == yes && !m.all {
			break
		}
	}
	if len(made.candidates) == 0 {
		return nil
	}
	s.frozen = make([]bool, len(m.slots))
	s.seen = make(map[uint32]bool)
	for _, c := range made.candidates {
		made.size += candidateOverhead
		if !c.sure {
			s.freezeCondition(c.root)
		}
		for _, o := range outputs(int(c.rule)) {
			s.freezeOutput(o)
		}
	}
	return made
}

// Resume decides on a suspended event now that its late fields can be extracted from ev, or
// are null for good, and appends the indexes of the rules that match to dst. m is a Machine of
// the program that has suspended it, not necessarily the same. Text and Fields speak of the
// suspended event until the next call.
func (m *Machine) Resume(s *Suspended, ev any, dst []int) []int {
	m.begin(ev)
	for _, f := range s.values {
		m.values[f.slot], m.stamps[f.slot] = f.value, m.round
	}
	for _, c := range s.candidates {
		if !c.sure && !m.test(c.root) {
			continue
		}
		s.counts.rules[c.place].hits.Add(1)
		dst = append(dst, int(c.rule))
		if !m.all {
			break
		}
	}
	return dst
}

// late says that the slot's value depends on a late field.
func (p *Program) late(i int32) bool {
	s := &p.slots[i]
	if s.field != nil {
		return s.field.Late
	}
	return slices.ContainsFunc(s.args, p.late)
}

// verdict is the value of an expression some of whose fields are not known.
type verdict uint8

// The verdicts, so ordered that a disjunction is the greatest of its parts.
const (
	no verdict = iota
	maybe
	yes
)

// suspension is a Suspended in the making.
type suspension struct {
	*Machine
	made *Suspended
	// decided holds 1 and the verdict of each shared instruction, 0 before it is known.
	decided []uint8
	frozen  []bool
	seen    map[uint32]bool
}

func (s *suspension) weigh(r Ref) verdict {
	n := &s.code[r.node()]
	var v verdict
	if n.memo >= 0 && s.decided[n.memo] > 0 {
		v = verdict(s.decided[n.memo] - 1)
	} else {
		v = s.weighNode(n)
		if n.memo >= 0 {
			s.decided[n.memo] = uint8(v) + 1
		}
	}
	if r.negated() {
		return yes - v
	}
	return v
}

func (s *suspension) weighNode(n *instruction) verdict {
	if n.leaf >= 0 {
		l := &s.leaves[n.leaf]
		switch {
		case s.late(l.slot), l.other >= 0 && s.late(l.other):
			return maybe
		case s.leaf(l):
			return yes
		}
		return no
	}
	v := no
	for _, child := range s.refs[n.first:n.end] {
		if v = max(v, s.weigh(child)); v == yes {
			break
		}
	}
	return v
}

// freezeCondition keeps what an expression compares.
func (s *suspension) freezeCondition(r Ref) {
	if s.seen[r.node()] {
		return
	}
	s.seen[r.node()] = true
	n := &s.code[r.node()]
	if n.leaf < 0 {
		for _, child := range s.refs[n.first:n.end] {
			s.freezeCondition(child)
		}
		return
	}
	l := &s.leaves[n.leaf]
	s.freeze(l.slot)
	if l.other >= 0 {
		s.freeze(l.other)
	}
}

// freezeOutput keeps what an output prints.
func (s *suspension) freezeOutput(o *Output) {
	for _, t := range o.tokens {
		if t.slot >= 0 {
			s.freeze(t.slot)
		}
	}
	for _, v := range o.values {
		s.freeze(v.slot)
	}
}

// freeze keeps the value of a slot; of a late one what else it is made of.
func (s *suspension) freeze(i int32) {
	if s.frozen[i] {
		return
	}
	s.frozen[i] = true
	if s.late(i) {
		for _, arg := range s.slots[i].args {
			s.freeze(arg)
		}
		return
	}
	v := s.keep(*s.value(i))
	s.made.values = append(s.made.values, frozen{i, v})
}

// keep returns a value that does not point into the event any more.
func (s *suspension) keep(v fields.Value) fields.Value {
	s.made.size += valueOverhead + len(v.Str)
	v.Str = strings.Clone(v.Str)
	v.List = slices.Clone(v.List)
	for i := range v.List {
		v.List[i] = s.keep(v.List[i])
	}
	return v
}

// Twin returns another Machine that evaluates the same rules in the same way.
func (m *Machine) Twin() *Machine { return m.NewMachine(m.all) }

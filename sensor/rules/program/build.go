package program

import (
	"cmp"
	"slices"

	"github.com/saker-security/saker/sensor/fields"
)

// Program is the compiled rules of one source. It is immutable; Machines run it.
type Program struct {
	reg    *fields.Registry
	slots  []slot
	leaves []leaf
	code   []instruction
	refs   []Ref
	shared int
	byType [][]entry
	types  [][]int
	never  []bool
}

// instruction is a node in its final form.
type instruction struct {
	// first and end bound the children in refs; leaf is -1 for a disjunction.
	first, end int32
	leaf       int32
	// memo is where the result is kept for those who share it, -1 for none.
	memo int32
}

// entry is a rule to try for an event type.
type entry struct {
	rule int32
	root Ref
}

// Never says that no event of any type can satisfy the rule, because of something else than
// event types: a list that is still empty.
func (p *Program) Never(rule int) bool { return p.never[rule] }

// EventTypes returns the numbers of the event types that rule may match, ascending; the
// rule is never tried for the others. A source without types has the one type 0.
func (p *Program) EventTypes(rule int) []int { return p.types[rule] }

// Build makes a Program of the rules' conditions, in the order in which they are tried.
// Those that are not enabled are never tried, but their event types are known. Its error is
// ErrTooLarge.
func (b *Builder) Build(conditions []Ref, enabled []bool) (*Program, error) {
	p := &Program{reg: b.reg, byType: make([][]entry, max(1, len(b.reg.EventTypes))), types: make([][]int, len(conditions)), never: make([]bool, len(conditions))}
	o := optimizer{b: b, neutral: make(map[uint32]Ref)}
	o.start(anyType)
	for i, c := range conditions {
		p.never[i] = o.fold(c) == False
	}
	groups := b.alikeTypes(len(p.byType))
	lists := make([][]entry, len(groups))
	for k, types := range groups {
		o.start(types[0])
		for i, c := range conditions {
			r := o.fold(c)
			if r == False {
				continue
			}
			p.types[i] = append(p.types[i], types...)
			if enabled[i] {
				lists[k] = append(lists[k], entry{int32(i), r})
			}
		}
	}
	if b.overflow {
		return nil, ErrTooLarge
	}
	o.emit(p, lists)
	for k, types := range groups {
		for _, t := range types {
			p.byType[t] = lists[k]
		}
	}
	for i := range p.types {
		slices.Sort(p.types[i])
	}
	p.slots, p.leaves = b.slots, b.leaves
	return p, nil
}

// alikeTypes groups the n event types so that no condition tells those of a group apart.
func (b *Builder) alikeTypes(n int) [][]int {
	var groups [][]int
	index := make(map[string]int)
	for t := range n {
		s := b.signature(t)
		k, ok := index[s]
		if !ok {
			k = len(groups)
			index[s] = k
			groups = append(groups, nil)
		}
		groups[k] = append(groups[k], t)
	}
	return groups
}

// signature tells event types apart as far as conditions do.
func (b *Builder) signature(t int) string {
	if len(b.reg.EventTypes) == 0 {
		return ""
	}
	var bits []byte
	for i := range b.leaves {
		if types := b.leaves[i].types; types != nil {
			bits = append(bits, byte(types[t/64]>>(t%64)&1))
		}
	}
	return string(bits)
}

// optimizer rewrites the graph for one event type after the other.
type optimizer struct {
	b *Builder
	// neutral holds the results for nodes that do not depend on the type, typed those for
	// the current type.
	neutral, typed map[uint32]Ref
	eventType      int
}

// anyType stands for an event whose type is not known.
const anyType = -1

func (o *optimizer) start(t int) {
	o.eventType = t
	o.typed = make(map[uint32]Ref)
}

// fold returns what r amounts to for events of the current type.
func (o *optimizer) fold(r Ref) Ref {
	if r <= True {
		return r
	}
	id := r.node()
	memo := o.neutral
	if o.b.nodes[id].typed {
		memo = o.typed
	}
	res, ok := memo[id]
	if !ok {
		res = o.foldNode(id)
		memo[id] = res
	}
	if r.negated() {
		res = res.not()
	}
	return res
}

func (o *optimizer) foldNode(id uint32) Ref {
	n := o.b.nodes[id]
	if n.leaf >= 0 {
		if len(o.b.reg.EventTypes) > 0 {
			if value, decided := o.b.leaves[n.leaf].known(o.eventType); decided {
				if value {
					return True
				}
				return False
			}
		}
		return Ref(id << 1)
	}
	out := make([]Ref, 0, len(n.children))
	for _, c := range n.children {
		f := o.fold(c)
		if f == True {
			return True
		}
		out = o.appendFlat(out, f)
	}
	out = o.mergeLeaves(out)
	slices.SortFunc(out, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(o.b.worth(a), o.b.worth(b)), cmp.Compare(a, b))
	})
	return o.b.or(out)
}

// maxInline is how many alternatives a shared sub-expression may have to be written out in
// the one that refers to it, instead of being evaluated once for all.
const maxInline = 8

// appendFlat adds r to a disjunction; a disjunction within it is written out when that
// does not repeat much.
func (o *optimizer) appendFlat(out []Ref, r Ref) []Ref {
	n := &o.b.nodes[r.node()]
	if r.negated() || n.leaf >= 0 || len(n.children) > maxInline && n.parents > 1 {
		return append(out, r)
	}
	return append(out, n.children...)
}

// group identifies leaves whose disjunction is one leaf.
type group struct {
	slot    int32
	test    test
	scope   scope
	op      uint8
	negated bool
}

// mergeLeaves replaces comparisons of one value with several literals by one comparison
// with all of them: a=x or a in (y, z).
func (o *optimizer) mergeLeaves(refs []Ref) []Ref {
	groups := make(map[group][]int)
	for i, r := range refs {
		n := &o.b.nodes[r.node()]
		if n.leaf < 0 {
			continue
		}
		l := &o.b.leaves[n.leaf]
		if !l.mergeable() || l.negate != r.negated() {
			continue
		}
		g := group{l.slot, l.test, l.scope, uint8(l.op), r.negated()}
		groups[g] = append(groups[g], i)
	}
	for i := range refs {
		n := &o.b.nodes[refs[i].node()]
		if n.leaf < 0 {
			continue
		}
		l := o.b.leaves[n.leaf]
		g := group{l.slot, l.test, l.scope, uint8(l.op), refs[i].negated()}
		members := groups[g]
		if len(members) < 2 || members[0] != i {
			continue
		}
		merged := leaf{slot: l.slot, other: -1, test: l.test, scope: l.scope, op: l.op, negate: l.negate}
		for _, k := range members {
			merged.merge(&o.b.leaves[o.b.nodes[refs[k].node()].leaf])
			if k != i {
				refs[k] = False
			}
		}
		negated := refs[i].negated()
		if refs[i] = o.b.addLeaf(merged); negated {
			refs[i] = refs[i].not()
		}
	}
	return refs
}

// emit writes the nodes that the entries reach as instructions and renumbers the entries.
func (o *optimizer) emit(p *Program, lists [][]entry) {
	e := emitter{b: o.b, p: p, uses: make(map[uint32]int), place: make(map[uint32]uint32)}
	for _, entries := range lists {
		for _, entry := range entries {
			e.count(entry.root.node())
		}
	}
	for _, entries := range lists {
		for i := range entries {
			entries[i].root = e.emit(entries[i].root)
		}
	}
}

type emitter struct {
	b     *Builder
	p     *Program
	uses  map[uint32]int
	place map[uint32]uint32
}

func (e *emitter) count(id uint32) {
	if e.uses[id]++; e.uses[id] > 1 {
		return
	}
	for _, c := range e.b.nodes[id].children {
		e.count(c.node())
	}
}

func (e *emitter) emit(r Ref) Ref {
	id := r.node()
	at, ok := e.place[id]
	if !ok {
		n := &e.b.nodes[id]
		in := instruction{leaf: n.leaf, memo: -1}
		children := make([]Ref, len(n.children))
		for i, c := range n.children {
			children[i] = e.emit(c)
		}
		in.first = int32(len(e.p.refs))
		e.p.refs = append(e.p.refs, children...)
		in.end = int32(len(e.p.refs))
		if e.uses[id] > 1 && id != 0 {
			in.memo = int32(e.p.shared)
			e.p.shared++
		}
		at = uint32(len(e.p.code))
		e.p.code = append(e.p.code, in)
		e.place[id] = at
	}
	return Ref(at<<1) | r&1
}

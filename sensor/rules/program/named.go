package program

import "github.com/saker-security/saker/sensor/fields"

// NamedTypes adds the event types that an expression names: those for which one of its
// comparisons of the event's type is true, one with != excepted. An expression that is true
// for other types too does not name them. Nodes in seen, which it adds to, are left out.
func (b *Builder) NamedTypes(r Ref, set map[int]bool, seen map[Ref]bool) {
	r &^= 1
	if seen[r] {
		return
	}
	seen[r] = true
	n := &b.nodes[r.node()]
	for _, c := range n.children {
		b.NamedTypes(c, set, seen)
	}
	if n.leaf < 0 {
		return
	}
	l := &b.leaves[n.leaf]
	if !isEventType(&b.slots[l.slot]) || l.negate || l.test == present {
		return
	}
	for t, name := range b.reg.EventTypes {
		if name == "" || set[t] {
			continue
		}
		v := fields.Text(name)
		if l.types != nil && l.types[t/64]>>(t%64)&1 != 0 || l.types == nil && l.decide(&v) {
			set[t] = true
		}
	}
}

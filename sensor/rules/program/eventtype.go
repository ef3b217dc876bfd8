package program

import "github.com/saker-security/saker/sensor/rules/filter"

// The fields whose value the event's type decides: evt.type always has the type's name,
// syscall.type has it or is null.
const (
	eventTypeField   = "evt.type"
	syscallTypeField = "syscall.type"
)

func isEventType(s *slot) bool {
	return s.field != nil && (s.field.Name == eventTypeField || s.field.Name == syscallTypeField)
}

// checkEventType compiles a comparison of the event's type with literals. Names must
// exist. Of the operators only =, != and in narrow the set of event types.
func (c *compiler) checkEventType(e *filter.Check, left int32) Ref {
	s := &c.slots[left]
	if len(c.reg.EventTypes) == 0 {
		return c.plainEventType(e, left)
	}
	var items []filter.Operand
	switch right := e.Right.(type) {
	case *filter.Value:
		items = []filter.Operand{right}
	case *filter.List:
		items = right.Items
	default:
		c.problem(e.Right.Offset(), Invalid, "%s can be compared with names only", s.name)
		return False
	}
	set := make([]uint64, (len(c.reg.EventTypes)+63)/64)
	ok := true
	for _, item := range items {
		v := item.(*filter.Value)
		i, known := c.typeIndex[v.Text]
		if !known && c.reg.Unwatched[v.Text] {
			c.problem(v.Pos, NeverSeen, "events of type %q are not watched, the comparison with it is always false", v.Text)
			continue
		}
		if !known {
			c.problem(v.Pos, Unknown, "unknown event type %q%s", v.Text, DidYouMean(v.Text, c.typeNames))
			ok = false
			continue
		}
		set[i/64] |= 1 << (i % 64)
	}
	if !ok {
		return False
	}
	narrows := e.Mod == filter.NoModifier && (e.Op == filter.Eq || e.Op == filter.Ne || e.Op == filter.In)
	if !narrows {
		return c.checkLiterals(e, left, items)
	}
	l := leaf{slot: left, other: -1, test: textIn, op: filter.Eq, types: set, exact: s.field.Name == eventTypeField}
	for _, item := range items {
		l.texts = append(l.texts, item.(*filter.Value).Text)
	}
	if l.negate = e.Op == filter.Ne; l.negate {
		for i := range set {
			set[i] = ^set[i]
		}
	}
	return c.addLeaf(l)
}

// plainEventType is the comparison in a source that has no event types: any name will do.
func (c *compiler) plainEventType(e *filter.Check, left int32) Ref {
	switch right := e.Right.(type) {
	case *filter.Value:
		return c.checkLiterals(e, left, []filter.Operand{right})
	case *filter.List:
		return c.checkLiterals(e, left, right.Items)
	}
	return c.checkOther(e, left, e.Right)
}

func (b *Builder) typeNames(yield func(string) bool) {
	for _, name := range b.reg.EventTypes {
		if name != "" && !yield(name) {
			return
		}
	}
}

// known evaluates a leaf for events of type t. decided is false when it depends on more.
func (l *leaf) known(t int) (value, decided bool) {
	if l.types == nil || t < 0 {
		return false, false
	}
	may := l.types[t/64]>>(t%64)&1 != 0
	return may, l.exact || !may
}

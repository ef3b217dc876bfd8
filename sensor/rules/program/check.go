package program

import (
	"net/netip"
	"slices"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// check compiles one comparison.
func (c *compiler) check(e *filter.Check) Ref {
	left, ok := c.operand(e.Left, false)
	if !ok {
		return False
	}
	s := &c.slots[left]
	if s.field == nil && s.call == nil {
		c.problem(e.Pos, Invalid, "a comparison needs a field on its left")
		return False
	}
	if !operatorFits(e.Op, s) {
		what := s.typ.String()
		if s.list {
			what = "list"
		}
		c.problem(e.OpPos, Invalid, "the operator %q cannot be applied to %s, which has the type %s",
			e.Op, filter.FormatOperand(e.Left), what)
		return False
	}
	if e.Op == filter.Exists {
		return c.addLeaf(leaf{slot: left, other: -1, test: present})
	}
	if isEventType(s) {
		return c.checkEventType(e, left)
	}
	switch right := e.Right.(type) {
	case *filter.Field, *filter.Call:
		return c.checkOther(e, left, right)
	case *filter.Value:
		return c.checkLiterals(e, left, []filter.Operand{right})
	case *filter.List:
		return c.checkLiterals(e, left, right.Items)
	}
	return False
}

// operatorFits says which operators a type has.
func operatorFits(op filter.Op, s *slot) bool {
	if op == filter.Exists {
		return true
	}
	if s.list && elementScope(s) == single {
		return op == filter.In || op == filter.Intersects
	}
	switch op {
	case filter.Eq, filter.Ne, filter.In, filter.Intersects:
		return true
	}
	switch s.typ {
	case fields.String, fields.Path:
		if s.field != nil && s.field.Resolves {
			return false
		}
		return op != filter.BContains && op != filter.BStartsWith
	case fields.Bytes:
		switch op {
		case filter.Contains, filter.StartsWith, filter.EndsWith, filter.BContains, filter.BStartsWith:
			return true
		}
		return false
	case fields.Int, fields.Uint, fields.Time, fields.Duration, fields.Port:
		return op == filter.Lt || op == filter.Le || op == filter.Gt || op == filter.Ge
	}
	return false
}

// checkOther compiles a comparison with a field or transformer.
func (c *compiler) checkOther(e *filter.Check, left int32, right filter.Operand) Ref {
	other, ok := c.operand(right, false)
	if !ok {
		return False
	}
	a, b := &c.slots[left], &c.slots[other]
	switch {
	case e.Op == filter.PMatch || e.Op == filter.Regex:
		c.problem(right.Offset(), Invalid, "the operator %q cannot compare with a field", e.Op)
	case a.typ == fields.Net || noRHS(a):
		c.problem(right.Offset(), Invalid, "%s cannot be compared with a field", filter.FormatOperand(e.Left))
	case b.typ == fields.Net || noRHS(b):
		c.problem(right.Offset(), Invalid, "%s cannot stand on the right of an operator", filter.FormatOperand(right))
	case !sameType(a.typ, b.typ) || a.list != b.list:
		c.problem(right.Offset(), Invalid, "%s and %s have different types: %s and %s",
			filter.FormatOperand(e.Left), filter.FormatOperand(right), typeName(a), typeName(b))
	default:
		return c.addLeaf(leaf{slot: left, other: other, test: compare, op: e.Op})
	}
	return False
}

func noRHS(s *slot) bool {
	return s.field != nil && (s.field.NoRHS || s.field.AnyOf && !s.arg.Given || s.field.Resolves)
}

func sameType(a, b fields.Type) bool { return a == b || isText(a) && isText(b) }

func typeName(s *slot) string {
	if s.list {
		return "list of " + s.typ.String()
	}
	return s.typ.String()
}

// checkLiterals compiles a comparison with literals: one, a list, or a list under a
// modifier.
func (c *compiler) checkLiterals(e *filter.Check, left int32, items []filter.Operand) Ref {
	s := &c.slots[left]
	ok := true
	for _, item := range items {
		v := item.(*filter.Value)
		c.warnValue(e, v)
		ok = c.checkLiteral(e.Op, s, v) && ok
	}
	if !ok {
		return False
	}
	values := make([]string, len(items))
	for i, item := range items {
		values[i] = item.(*filter.Value).Text
	}
	if e.Mod == filter.NoModifier {
		if len(values) == 0 {
			return False
		}
		return c.addLeaf(c.literalLeaf(e.Op, left, values))
	}
	return c.modified(e, left, values)
}

// modified compiles a comparison with a modifier. It is false when the list is empty.
func (c *compiler) modified(e *filter.Check, left int32, values []string) Ref {
	if len(values) == 0 {
		return False
	}
	parts := make([]leaf, len(values))
	for i, v := range values {
		parts[i] = c.literalLeaf(e.Op, left, []string{v})
	}
	if parts[0].scope == single && e.Mod != filter.OneOf {
		refs := make([]Ref, len(parts))
		for i, p := range parts {
			if refs[i] = c.addLeaf(p); e.Mod == filter.AllOf {
				refs[i] = refs[i].not()
			}
		}
		if r := c.or(refs); e.Mod == filter.AllOf {
			return r.not()
		} else {
			return r
		}
	}
	return c.addLeaf(leaf{slot: left, other: -1, test: several, mode: e.Mod, scope: parts[0].scope, subs: parts})
}

// literalLeaf returns the leaf that compares with literals that checkLiteral has passed.
func (c *compiler) literalLeaf(op filter.Op, left int32, values []string) leaf {
	s := &c.slots[left]
	l := leaf{slot: left, other: -1, scope: elementScope(s), op: filter.Eq}
	switch op {
	case filter.Ne:
		l.negate, l.anyDiffers = true, anyDiffers(s)
	case filter.In:
		if s.list && l.scope == single {
			l.scope = everyElement
		}
	case filter.Intersects:
		if s.list {
			l.scope = someElement
		}
	}
	switch {
	case s.field != nil && s.field.Resolves:
		l.test, l.texts = hostIn, values
		l.hosts = c.resolve(values)
	case isText(s.typ), s.typ == fields.Bytes:
		textLeaf(&l, op, values)
	case s.typ == fields.IP:
		l.test = addrIn
		for _, v := range values {
			a, _ := parseAddr(v)
			l.addrs = append(l.addrs, a)
		}
	case s.typ == fields.Net:
		l.test = netIn
		for _, v := range values {
			n, _ := parseNet(v)
			l.nets = append(l.nets, n)
		}
	default:
		l.test = numberIn
		switch op {
		case filter.Lt, filter.Le, filter.Gt, filter.Ge:
			l.op, l.test = op, unsignedOrder
			if s.typ == fields.Int {
				l.test = signedOrder
			}
		}
		for _, v := range values {
			n, _ := parseNumber(s.typ, v)
			l.numbers = append(l.numbers, n)
		}
	}
	return l
}

// resolve has host names looked up from now on, each once, and returns their tests.
func (b *Builder) resolve(hosts []string) []func(netip.Addr) bool {
	if b.reg.Resolve == nil {
		return nil
	}
	tests := make([]func(netip.Addr) bool, len(hosts))
	for i, host := range hosts {
		if b.hosts[host] == nil {
			b.hosts[host] = b.reg.Resolve(host)
		}
		tests[i] = b.hosts[host]
	}
	return tests
}

func textLeaf(l *leaf, op filter.Op, values []string) {
	l.texts = slices.Clone(values)
	switch op {
	case filter.Contains:
		l.test = textContains
	case filter.BContains:
		l.test, l.texts = textContains, unhex(values)
	case filter.IContains:
		l.test = textContainsFold
	case filter.StartsWith:
		l.test = textPrefix
	case filter.BStartsWith:
		l.test, l.texts = textPrefix, unhex(values)
	case filter.EndsWith:
		l.test = textSuffix
	case filter.Glob, filter.IGlob:
		l.test, l.op = textGlob, op
	case filter.Regex:
		l.test = textRegex
		l.regex, _ = compileRegex(values[0])
	case filter.PMatch:
		l.test = textPath
	case filter.Lt, filter.Le, filter.Gt, filter.Ge:
		l.test, l.op = textOrder, op
	default:
		l.test = textIn
	}
}

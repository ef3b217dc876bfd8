package filter

import (
	"slices"
	"strings"
)

// MaxDepth is how deep parentheses and transformers may nest.
const MaxDepth = 10000

// MaxText is the longest text that is parsed, in bytes.
const MaxText = 8 << 20

// Parse reads a condition. Its error is a *SyntaxError.
func Parse(text string) (Expr, error) {
	p := &parser{text: text}
	if len(text) > MaxText {
		return nil, p.errorf(0, "the condition is longer than %d bytes", MaxText)
	}
	e, err := p.all()
	if err != nil && (strings.Contains(text, `\\"`) || strings.Contains(text, `\\'`)) {
		// Falco takes a quote behind an escaped backslash for an escaped quote. Where that
		// leads nowhere, it is the end of the string.
		again := &parser{text: text, pairs: true}
		if e, failed := again.all(); failed == nil {
			return e, nil
		}
	}
	return e, err
}

func (p *parser) all() (Expr, error) {
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.off < len(p.text) {
		return nil, p.errorf(p.off, "unexpected %s, want 'and', 'or' or the end", p.rest())
	}
	return e, nil
}

func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.errorf(p.off, "nested more than %d deep", MaxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) or() (Expr, error) {
	p.blank()
	pos := p.off
	children, err := p.chain("or", p.and)
	if err != nil {
		return nil, err
	}
	if len(children) == 1 {
		return children[0], nil
	}
	return &Or{Pos: pos, Children: children}, nil
}

func (p *parser) and() (Expr, error) {
	p.blank()
	pos := p.off
	children, err := p.chain("and", p.not)
	if err != nil {
		return nil, err
	}
	if len(children) == 1 {
		return children[0], nil
	}
	return &And{Pos: pos, Children: children}, nil
}

// chain reads operands of next with keyword between them. After the keyword a blank or a
// parenthesis must follow; after a parenthesis without blank only the parenthesis belongs
// to it.
func (p *parser) chain(keyword string, next func() (Expr, error)) ([]Expr, error) {
	first, err := next()
	if err != nil {
		return nil, err
	}
	children := []Expr{first}
	p.blank()
	for p.literal(keyword) {
		operand := next
		if !p.blank() {
			if !p.literal("(") {
				return nil, p.errorf(p.off, "unexpected %s, want a blank or '(' after '%s'", p.rest(), keyword)
			}
			operand = p.group
		}
		child, err := operand()
		if err != nil {
			return nil, err
		}
		children = append(children, child)
		p.blank()
	}
	return children, nil
}

func (p *parser) not() (Expr, error) {
	p.blank()
	pos := p.off
	negated := false
	for strings.HasPrefix(p.text[p.off:], "not") && isSpace(p.at(3)) {
		negated = !negated
		p.off += 3
		p.run(isSpace)
	}
	var x Expr
	var err error
	if p.literal("not(") {
		negated = !negated
		x, err = p.group()
	} else {
		x, err = p.atom()
	}
	if err != nil || !negated {
		return x, err
	}
	return &Not{Pos: pos, X: x}, nil
}

// group reads what follows an opening parenthesis, with the closing one.
func (p *parser) group() (Expr, error) {
	open := p.off - 1
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	p.blank()
	if !p.literal(")") {
		if p.off >= len(p.text) {
			return nil, p.errorf(open, "the '(' here is never closed")
		}
		return nil, p.errorf(p.off, "unexpected %s, want 'and', 'or' or ')'", p.rest())
	}
	return x, nil
}

func (p *parser) atom() (Expr, error) {
	p.blank()
	if p.literal("(") {
		return p.group()
	}
	pos := p.off
	left, err := p.fieldOrCall()
	if err != nil {
		return nil, err
	}
	if left != nil {
		return p.check(left, pos)
	}
	if name, ok := p.identifier(); ok {
		return &Macro{Pos: pos, Name: name}, nil
	}
	return nil, p.errorf(p.off, "unexpected %s, want a field, a macro or '('", p.rest())
}

// fieldOrCall reads a field or a transformer, nil if neither stands here.
func (p *parser) fieldOrCall() (Operand, error) {
	if pos := p.off; fieldNameEnd(p.text, pos) > pos {
		return p.field()
	}
	return p.call()
}

func (p *parser) field() (Operand, error) {
	f := &Field{Pos: p.off}
	f.Name, _ = p.fieldName()
	var err error
	f.ArgPos = p.off + 1
	f.Arg, f.HasArg, err = p.arg()
	return f, err
}

// arg reads an argument in brackets, which must follow without blank.
func (p *parser) arg() (string, bool, error) {
	if !p.literal("[") {
		return "", false, nil
	}
	arg, ok, err := p.quoted()
	if err != nil {
		return "", false, err
	}
	if !ok {
		arg, ok = p.run(isBareArg)
	}
	if !ok {
		return "", false, p.errorf(p.off, "unexpected %s, want the argument of a field", p.rest())
	}
	if !p.literal("]") {
		return "", false, p.errorf(p.off, "unexpected %s, want ']'", p.rest())
	}
	return arg, true, nil
}

// call reads a transformer's call, nil if none stands here.
func (p *parser) call() (Operand, error) {
	for _, name := range Transformers {
		pos := p.off
		if p.literal(name + "(") {
			return p.callRest(name, pos)
		}
	}
	return nil, nil
}

func (p *parser) callRest(name string, pos int) (Operand, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	c := &Call{Pos: pos, Name: name}
	for {
		p.blank()
		arg, err := p.callArg(true)
		if err != nil {
			return nil, err
		}
		c.Args = append(c.Args, arg)
		p.blank()
		if !p.literal(",") {
			break
		}
	}
	if !p.literal(")") {
		return nil, p.errorf(p.off, "unexpected %s, want ',' or ')' in %s(…)", p.rest(), name)
	}
	var err error
	c.Arg, c.HasArg, err = p.arg()
	return c, err
}

// callArg reads an argument of a transformer; lists stand only on its first level.
func (p *parser) callArg(lists bool) (Operand, error) {
	pos := p.off
	if x, err := p.fieldOrCall(); x != nil || err != nil {
		return x, err
	}
	if s, ok, err := p.quoted(); ok {
		return &Value{Pos: pos, Text: s, Quoted: true}, err
	}
	if s, ok := p.number(); ok {
		return &Value{Pos: pos, Text: s}, nil
	}
	if !lists || !p.literal("(") {
		return nil, p.errorf(p.off, "unexpected %s, want a field, a transformer, a quoted string or a number", p.rest())
	}
	list := &List{Pos: pos}
	p.blank()
	for !p.literal(")") {
		if len(list.Items) > 0 {
			if !p.literal(",") {
				return nil, p.errorf(p.off, "unexpected %s, want ',' or ')'", p.rest())
			}
			p.blank()
		}
		item, err := p.callArg(false)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, item)
		p.blank()
	}
	return list, nil
}

// The operators in the order in which they are tried. Those in words need a blank behind
// them, save exists and the list operators.
var (
	numberOps = []Op{Le, Lt, Ge, Gt}
	wordOps   = []Op{Glob, IGlob, Contains, IContains, BContains, StartsWith, BStartsWith, EndsWith, Regex}
	listOps   = []Op{Intersects, In, PMatch}
)

func (p *parser) operator() (Op, bool) {
	if p.literal("exists") {
		return Exists, true
	}
	for _, op := range numberOps {
		if p.literal(op.String()) {
			return op, true
		}
	}
	switch {
	case p.literal("=="), p.literal("="):
		return Eq, true
	case p.literal("!="):
		return Ne, true
	}
	for _, op := range wordOps {
		if p.word(op.String()) {
			return op, true
		}
	}
	for _, op := range listOps {
		if p.literal(op.String()) {
			return op, true
		}
	}
	return 0, false
}

func (p *parser) modifier() (Modifier, bool) {
	for m := OneOf; m <= AllOf; m++ {
		if p.word(m.String()) {
			return m, true
		}
	}
	return NoModifier, false
}

func (p *parser) check(left Operand, pos int) (Expr, error) {
	p.blank()
	c := &Check{Pos: pos, OpPos: p.off, Left: left}
	var ok bool
	if c.Op, ok = p.operator(); !ok {
		return nil, p.errorf(p.off, "unexpected %s, want an operator such as =, !=, in, startswith or exists", p.rest())
	}
	if c.Op == Exists {
		return c, nil
	}
	var err error
	switch {
	case c.Op.List():
		c.Right, err = p.listOperand()
	case slices.Contains(numberOps, c.Op):
		c.Right, err = p.numberOperand()
	default:
		if c.Mod = p.modifierBeforeList(); c.Mod != NoModifier {
			c.Right, err = p.literalList()
		} else {
			c.Right, err = p.stringOperand()
		}
	}
	return c, err
}

// modifierBeforeList takes a modifier if a list follows it; otherwise the word is a value.
func (p *parser) modifierBeforeList() Modifier {
	start := p.off
	if p.text[start-1] == '=' && !p.blank() {
		return NoModifier
	}
	m, ok := p.modifier()
	if ok && p.at(0) == '(' {
		return m
	}
	if ok && isLetter(p.at(0)) && !p.keyword() {
		return m
	}
	p.off = start
	return NoModifier
}

func (p *parser) keyword() bool {
	for _, k := range []string{"and", "or", "not"} {
		if strings.HasPrefix(p.text[p.off:], k) {
			if c := p.at(len(k)); !isLetter(c) && !isDigit(c) {
				return true
			}
		}
	}
	return false
}

// fieldOperand reads val(field) or a transformer on the right-hand side, nil if neither
// stands here. val(f) is the field itself.
func (p *parser) fieldOperand() (Operand, error) {
	if !p.literal("val(") {
		return p.call()
	}
	p.blank()
	if fieldNameEnd(p.text, p.off) == p.off {
		return nil, p.errorf(p.off, "unexpected %s, want a field in val(…)", p.rest())
	}
	f, err := p.field()
	if err != nil {
		return nil, err
	}
	p.blank()
	if !p.literal(")") {
		return nil, p.errorf(p.off, "unexpected %s, want ')'", p.rest())
	}
	if p.at(0) == '[' {
		return nil, p.errorf(p.off, "val(…) takes no argument in brackets; write it behind the field")
	}
	return f, nil
}

func (p *parser) numberOperand() (Operand, error) {
	p.blank()
	if x, err := p.fieldOperand(); x != nil || err != nil {
		return x, err
	}
	pos := p.off
	if s, ok := p.number(); ok {
		return &Value{Pos: pos, Text: s}, nil
	}
	return nil, p.errorf(p.off, "unexpected %s, want a number, val(field) or a transformer", p.rest())
}

func (p *parser) stringOperand() (Operand, error) {
	p.blank()
	if x, err := p.fieldOperand(); x != nil || err != nil {
		return x, err
	}
	return p.value()
}

func (p *parser) value() (Operand, error) {
	pos := p.off
	if s, ok, err := p.quoted(); ok {
		return &Value{Pos: pos, Text: s, Quoted: true}, err
	}
	if s, ok := p.run(isBare); ok {
		return &Value{Pos: pos, Text: s}, nil
	}
	return nil, p.errorf(p.off, "unexpected %s, want a value", p.rest())
}

func (p *parser) listOperand() (Operand, error) {
	p.blank()
	if p.at(0) != '(' {
		if x, err := p.fieldOperand(); x != nil || err != nil {
			return x, err
		}
	}
	return p.literalList()
}

// literalList reads a list of literals, or the one name of a list that was not found,
// which stands for itself.
func (p *parser) literalList() (Operand, error) {
	p.blank()
	list := &List{Pos: p.off}
	if !p.literal("(") {
		name, ok := p.identifier()
		if !ok {
			return nil, p.errorf(p.off, "unexpected %s, want a list such as (a, b)", p.rest())
		}
		list.Items = []Operand{&Value{Pos: list.Pos, Text: name}}
		return list, nil
	}
	p.blank()
	if p.literal(")") {
		return list, nil
	}
	for {
		p.blank()
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, v)
		p.blank()
		if p.literal(")") {
			return list, nil
		}
		if !p.literal(",") {
			return nil, p.errorf(p.off, "unexpected %s, want ',' or ')'", p.rest())
		}
	}
}

package route

import (
	"fmt"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/saker-security/saker/event"
)

// prepare makes a parsed expression fit for the type checker, and returns the mistakes that
// the checker would miss or explain badly. It rewrites in place
//
//	priority == "critical"   to   priority == CRITICAL
//	has(fields.x)            to   "x" in fields
//	time.getHours("UTC")     to   @in_zone(time, "UTC").getHours()
func prepare(text string, tree *ast.AST) []Mistake {
	p := preparer{text: text, info: tree.SourceInfo(), factory: ast.NewExprFactory(), lastID: ast.MaxID(tree)}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(p.visit))
	return p.mistakes[:min(len(p.mistakes), maxMistakes)]
}

type preparer struct {
	text     string
	info     *ast.SourceInfo
	factory  ast.ExprFactory
	mistakes []Mistake
	// lastID is the largest id that a part of the expression has.
	lastID int64
}

func (p *preparer) refuse(e ast.Expr, format string, args ...any) {
	at := p.info.GetStartLocation(e.ID())
	p.mistakes = append(p.mistakes, Mistake{at.Line(), at.Column() + 1, fmt.Sprintf(format, args...)})
}

func (p *preparer) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.CallKind:
		p.call(e)
	case ast.SelectKind:
		p.selection(e)
	case ast.ComprehensionKind:
		p.loop(e)
	}
}

func (p *preparer) call(e ast.Expr) {
	c := e.AsCall()
	if len(c.Args()) == 0 {
		return
	}
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals,
		operators.Greater, operators.GreaterEquals:
		a, b := c.Args()[0], c.Args()[1]
		if isIdent(a, "priority") {
			p.priority(b)
		} else if isIdent(b, "priority") {
			p.priority(a)
		}
	case operators.In:
		if list := c.Args()[1]; isIdent(c.Args()[0], "priority") && list.Kind() == ast.ListKind {
			for _, item := range list.AsList().Elements() {
				p.priority(item)
			}
		}
	case overloads.Matches:
		pattern := c.Args()[len(c.Args())-1]
		p.pattern(pattern)
	case cidrFunction:
		p.prefix(c.Args()[0])
	default:
		if slices.Contains(zoned, c.FunctionName()) && c.IsMemberFunction() {
			p.zone(e)
		}
	}
}

// priority takes e for a priority that is compared with.
func (p *preparer) priority(e ast.Expr) {
	if e.Kind() == ast.LiteralKind {
		if _, isInt := e.AsLiteral().(types.Int); isInt {
			p.refuse(e, "a priority has no number here: name it, for example WARNING")
			return
		}
	}
	word, ok := literal(e)
	if !ok {
		return
	}
	value, ok := event.ParsePriority(word)
	if !ok {
		p.refuse(e, "%q is no priority: it is one of debug, informational, notice, warning, error, critical, alert, emergency", word)
		return
	}
	e.SetKindCase(p.factory.NewIdent(e.ID(), strings.ToUpper(value.String())))
}

// selection deals with a.b where a is the output fields.
func (p *preparer) selection(e ast.Expr) {
	s := e.AsSelect()
	operand := s.Operand()
	switch {
	case isIdent(operand, "fields") && s.IsTestOnly():
		name := p.factory.NewLiteral(operand.ID(), types.String(s.FieldName()))
		fields := p.factory.NewIdent(p.newID(operand), "fields")
		e.SetKindCase(p.factory.NewCall(e.ID(), operators.In, name, fields))
	case operand.Kind() == ast.SelectKind && isIdent(operand.AsSelect().Operand(), "fields"):
		name := operand.AsSelect().FieldName() + "." + s.FieldName()
		if _, rest, ok := strings.Cut(p.text, "fields."+name); ok {
			name = fieldName(name + rest)
		}
		p.refuse(operand, "an output field is written as fields[%q]", name)
	}
}

// newID returns an id for a part that stands in the place of the part e.
func (p *preparer) newID(e ast.Expr) int64 {
	p.lastID++
	place, _ := p.info.GetOffsetRange(e.ID())
	p.info.SetOffsetRange(p.lastID, place)
	return p.lastID
}

// loop refuses a loop whose variable hides a part of the event.
func (p *preparer) loop(e ast.Expr) {
	c := e.AsComprehension()
	for _, name := range []string{c.IterVar(), c.IterVar2()} {
		if isVariable(name) || slices.ContainsFunc(priorities, func(x priority) bool { return x.name == name }) {
			p.refuse(e, "%s has a meaning already: call the loop's variable something else", name)
		}
	}
}

func (p *preparer) pattern(e ast.Expr) {
	word, ok := literal(e)
	if !ok {
		p.refuse(e, "a regular expression must be written out as a string")
		return
	}
	if _, err := syntax.Parse(word, syntax.Perl); err != nil {
		p.refuse(e, "the regular expression is wrong: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
}

func (p *preparer) prefix(e ast.Expr) {
	word, ok := literal(e)
	if !ok {
		p.refuse(e, `a network must be written out as a string, for example "10.0.0.0/8"`)
		return
	}
	if _, err := netip.ParsePrefix(word); err != nil {
		p.refuse(e, "%q is no network such as 10.0.0.0/8 or fd00::/8", word)
	}
}

// zoned are the functions of a timestamp that can be given a time zone.
var zoned = []string{
	overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDayOfYear,
	overloads.TimeGetDate, overloads.TimeGetDayOfMonth, overloads.TimeGetDayOfWeek,
	overloads.TimeGetHours, overloads.TimeGetMinutes, overloads.TimeGetSeconds,
	overloads.TimeGetMilliseconds,
}

// zone takes the time zone out of a call of one of them: the language would read the zone's
// file for every event. Offsets such as +02:00 are left to the language.
func (p *preparer) zone(e ast.Expr) {
	c := e.AsCall()
	word, ok := literal(c.Args()[0])
	if !ok {
		p.refuse(c.Args()[0], "a time zone must be written out as a string")
		return
	}
	if strings.Contains(word, ":") {
		return
	}
	if _, err := location(word); err != nil {
		p.refuse(c.Args()[0], "the time zone %q is not known here", word)
		return
	}
	p.info.SetMacroCall(e.ID(), p.factory.NewMemberCall(0, c.FunctionName(),
		p.factory.CopyExpr(c.Target()), p.factory.CopyExpr(c.Args()[0])))
	local := p.factory.NewCall(p.newID(e), zoneFunction, c.Target(), c.Args()[0])
	e.SetKindCase(p.factory.NewMemberCall(e.ID(), c.FunctionName(), local))
}

func isIdent(e ast.Expr, name string) bool {
	return e.Kind() == ast.IdentKind && e.AsIdent() == name
}

// literal returns the content of a string that is written out.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

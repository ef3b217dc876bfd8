package route

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/saker-security/saker/event"
)

// The most that an explanation shows: parts of the expression, values of each, characters
// of a part or value, and entries of a list.
const (
	maxParts, maxFacts  = 3, 3
	maxShown, maxListed = 120, 8
)

// Explain decides as Decide does, which delivers where m cannot be evaluated, and says why
// in a clause. Where the expression is false it shows the parts that made it so, with the
// values that they found in the event:
//
//	`fields["k8s.ns.name"] == "prod"` is false: fields["k8s.ns.name"] is "dev"
func (m *Match) Explain(e *event.Event) (pass bool, reason string) {
	if m == nil {
		return true, "there is no match"
	}
	pass, err := m.Eval(e)
	switch {
	case err != nil:
		return true, "the match cannot be evaluated, which lets the event pass: " + err.Error()
	case pass:
		return true, "the match is true"
	}
	reason = "the match is false"
	program, err := m.traced()
	if err != nil {
		return false, reason
	}
	v := viewOf(e)
	defer v.release()
	_, details, _ := program.Eval(v)
	if details == nil || details.State() == nil {
		return false, reason
	}
	tree := m.checked.NativeRep()
	x := explainer{e, tree.SourceInfo(), details.State()}
	if parts := x.parts(tree.Expr(), false); len(parts) > 0 {
		return false, strings.Join(parts, ", and ")
	}
	return false, reason
}

// An explainer knows what every part of an expression came to.
type explainer struct {
	e     *event.Event
	info  *ast.SourceInfo
	state interpreter.EvalState
}

// parts returns what made expr come to the value that it has, as one clause for each part.
func (x *explainer) parts(expr ast.Expr, value bool) []string {
	if expr.Kind() != ast.CallKind {
		return []string{x.part(expr, value)}
	}
	args := expr.AsCall().Args()
	switch expr.AsCall().FunctionName() {
	case operators.LogicalNot:
		return x.parts(args[0], !value)
	case operators.LogicalAnd, operators.LogicalOr:
		var all []string
		for _, a := range args {
			if x.is(a, value) && len(all) < maxParts {
				all = append(all, x.parts(a, value)...)
			}
		}
		return all[:min(len(all), maxParts)]
	}
	return []string{x.part(expr, value)}
}

func (x *explainer) is(expr ast.Expr, value bool) bool {
	v, ok := x.state.Value(expr.ID())
	return ok && v == types.Bool(value)
}

// part says what a part came to, and the values it found.
func (x *explainer) part(expr ast.Expr, value bool) string {
	text := fmt.Sprintf("`%s` is %t", shortened(x.text(expr)), value)
	var facts []string
	x.facts(expr, &facts)
	if len(facts) > 0 {
		text += ": " + strings.Join(facts, ", ")
	}
	return text
}

func (x *explainer) text(expr ast.Expr) string {
	text, err := cel.ExprToString(expr, x.info)
	if err != nil {
		return "…"
	}
	return text
}

// facts collects the parts of the event that expr reads, with their values. What a loop
// reads again and again is left out.
func (x *explainer) facts(expr ast.Expr, all *[]string) {
	if name, ok := fieldRead(expr); ok {
		if _, there := x.e.Field(name); !there {
			x.fact("the event has no field "+name, all)
			return
		}
		x.value(expr, all)
		return
	}
	switch expr.Kind() {
	case ast.IdentKind:
		if isVariable(expr.AsIdent()) && expr.AsIdent() != "fields" {
			x.value(expr, all)
		}
	case ast.CallKind:
		if c := expr.AsCall(); c.IsMemberFunction() {
			x.facts(c.Target(), all)
		}
		for _, a := range expr.AsCall().Args() {
			x.facts(a, all)
		}
	case ast.SelectKind:
		x.facts(expr.AsSelect().Operand(), all)
	case ast.ListKind:
		for _, item := range expr.AsList().Elements() {
			x.facts(item, all)
		}
	case ast.ComprehensionKind:
		x.facts(expr.AsComprehension().IterRange(), all)
	}
}

func (x *explainer) value(expr ast.Expr, all *[]string) {
	v, ok := x.state.Value(expr.ID())
	if !ok {
		return
	}
	if isIdent(expr, "priority") {
		x.fact("priority is "+name(x.e.Priority), all)
		return
	}
	x.fact(x.text(expr)+" is "+shownValue(v), all)
}

func (x *explainer) fact(text string, all *[]string) {
	if len(*all) < maxFacts && !slices.Contains(*all, text) {
		*all = append(*all, text)
	}
}

// fieldRead returns the name of the output field that expr reads, if that is what it does.
func fieldRead(expr ast.Expr) (name string, ok bool) {
	switch expr.Kind() {
	case ast.SelectKind:
		s := expr.AsSelect()
		return s.FieldName(), isIdent(s.Operand(), "fields") && !s.IsTestOnly()
	case ast.CallKind:
		c := expr.AsCall()
		if f := c.FunctionName(); f != operators.Index && f != fieldFunction || !isIdent(c.Args()[0], "fields") {
			return "", false
		}
		return literal(c.Args()[1])
	}
	return "", false
}

// shownValue returns a value as an expression would write it.
func shownValue(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return strconv.Quote(shortened(string(v)))
	case types.Null:
		return "null"
	case types.Timestamp:
		return v.Time.UTC().Format("2006-01-02T15:04:05Z")
	case traits.Lister:
		return shownList(v)
	}
	if types.IsError(v) {
		return "not to be had"
	}
	return shortened(fmt.Sprint(v.Value()))
}

func shownList(list traits.Lister) string {
	size, _ := list.Size().(types.Int)
	var items []string
	for i := range min(size, maxListed) {
		items = append(items, shownValue(list.Get(i)))
	}
	if size > maxListed {
		items = append(items, "…")
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// shortened returns at most maxShown characters of text.
func shortened(text string) string {
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return string([]rune(text)[:maxShown]) + "…"
}

package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/program"
)

// maxExplained is how many sub-expressions an Explainer tells apart. What is beyond that
// shows as one with the macro or parentheses that it stands in.
const maxExplained = 10000

// Explainer says of events why a rule does or does not match them. It evaluates every
// sub-expression and is therefore slow; it is for people. It is not safe for concurrent
// use.
type Explainer struct {
	rule    *Rule
	root    *explained
	machine *program.Machine
}

// explained is a sub-expression with its index in the Explainer's program.
type explained struct {
	text     string
	index    int
	value    *program.Output
	field    string
	children []*explained
}

// Explanation is a sub-expression of a rule's condition and what it is for one event.
type Explanation struct {
	// Text is the sub-expression, with lists and exceptions written out.
	Text string
	// Result says whether it is true.
	Result bool
	// Field and Value are the left side of a comparison and the event's value; "<NA>" when
	// there is none. Field is empty for other expressions.
	Field, Value string
	// Children are the parts, for a macro its condition.
	Children []Explanation
}

// Explainer returns the Explainer of a rule; the error is that there is no such rule.
func (rs *Ruleset) Explainer(name string) (*Explainer, error) {
	for _, e := range rs.engines {
		i := slices.IndexFunc(e.rules, func(r *compiledRule) bool { return r.Name == name })
		if i < 0 {
			continue
		}
		b := explainerBuilder{builder: program.NewBuilder(e.reg), macros: rs.macros, done: make(map[string]program.Ref)}
		root := b.add(e.rules[i].expr)
		enabled := make([]bool, len(b.refs))
		for i := range enabled {
			enabled[i] = true
		}
		p, err := b.builder.Build(b.refs, enabled)
		if err != nil {
			return nil, err
		}
		return &Explainer{rule: &e.rules[i].Rule, root: root, machine: p.NewMachine(true)}, nil
	}
	names := func(yield func(string) bool) {
		for _, r := range rs.rules {
			if !yield(r.Name) {
				return
			}
		}
	}
	return nil, fmt.Errorf("there is no rule %q%s", name, program.DidYouMean(name, names))
}

type explainerBuilder struct {
	builder *program.Builder
	macros  map[string]*macroUnit
	refs    []program.Ref
	// done holds the macros that are compiled.
	done map[string]program.Ref
}

func (b *explainerBuilder) macro(name string) (program.Ref, bool) {
	r, ok := b.done[name]
	if !ok {
		r, _ = b.builder.Expr(b.macros[name].expr, b.macro)
		b.done[name] = r
	}
	return r, true
}

// add takes in an expression that has compiled before.
func (b *explainerBuilder) add(e filter.Expr) *explained {
	x := &explained{text: filter.Format(e), index: len(b.refs)}
	ref, _ := b.builder.Expr(e, b.macro)
	b.refs = append(b.refs, ref)
	if len(b.refs) >= maxExplained {
		return x
	}
	switch e := e.(type) {
	case *filter.And:
		b.addAll(x, e.Children)
	case *filter.Or:
		b.addAll(x, e.Children)
	case *filter.Not:
		b.addAll(x, []filter.Expr{e.X})
	case *filter.Macro:
		b.addAll(x, []filter.Expr{b.macros[e.Name].expr})
	case *filter.Check:
		x.field = filter.FormatOperand(e.Left)
		x.value, _ = b.builder.Output("*%" + x.field)
	}
	return x
}

func (b *explainerBuilder) addAll(x *explained, children []filter.Expr) {
	for _, c := range children {
		x.children = append(x.children, b.add(c))
	}
}

// Rule returns the rule that is explained.
func (x *Explainer) Rule() *Rule { return x.rule }

// Explain returns what the rule's condition and its parts are for ev. That the rule is not
// enabled, or that another one comes first, is not looked at.
func (x *Explainer) Explain(ev any) Explanation {
	results := make(map[int]bool)
	for _, i := range x.machine.Match(ev, nil) {
		results[i] = true
	}
	return x.explain(x.root, results)
}

func (x *Explainer) explain(e *explained, results map[int]bool) Explanation {
	out := Explanation{Text: e.text, Result: results[e.index], Field: e.field}
	if e.value != nil {
		out.Value, _ = x.machine.Text(e.value)
	}
	for _, c := range e.children {
		out.Children = append(out.Children, x.explain(c, results))
	}
	return out
}

// String returns the explanation as an indented tree: + before what is true, - before what
// is not.
func (e Explanation) String() string {
	var b strings.Builder
	e.write(&b, 0)
	return b.String()
}

func (e Explanation) write(b *strings.Builder, depth int) {
	mark := "-"
	if e.Result {
		mark = "+"
	}
	fmt.Fprintf(b, "%s%s %s", strings.Repeat("  ", depth), mark, e.Text)
	if e.Field != "" {
		fmt.Fprintf(b, "    [%s is %q]", e.Field, e.Value)
	}
	b.WriteByte('\n')
	for _, c := range e.Children {
		c.write(b, depth+1)
	}
}

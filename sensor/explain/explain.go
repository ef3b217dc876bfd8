// Package explain says of one event why a rule does or does not match it, for a person who
// wonders.
//
// It stands on rules.Explainer, which evaluates every part of a condition, and adds what that
// does not look at: whether the rule is on, which events it is tried for, which rule comes
// before it, and what of the event is not known at all.
package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// Result is what a condition, or a part of it, is for an event.
type Result string

// The results. Unknown is what depends on a field that nobody knows the value of.
const (
	True    Result = "true"
	False   Result = "false"
	Unknown Result = "unknown"
)

// Part is a part of a condition.
type Part struct {
	// Text is the part, with lists and exceptions written out.
	Text   string `json:"text"`
	Result Result `json:"result"`
	// Field and Value are the left side of a comparison and what it is; "<NA>" for null.
	Field string `json:"field,omitempty"`
	Value string `json:"value,omitempty"`
	Parts []Part `json:"parts,omitempty"`

	kind kind
}

// kind is how a part is made of its own parts.
type kind uint8

const (
	comparison kind = iota
	all
	some
	negation
)

// Event is the event that is held against a rule.
type Event struct {
	// Value is what the fields of the source are read from, Source and Type the names of its
	// source and, if it has one, of its type.
	Value        any
	Source, Type string
	// Known says whether the value of a field is known; nil if all are.
	Known func(field string) bool
}

// Verdict is what there is to say of a rule and an event.
type Verdict struct {
	Rule  string `json:"rule"`
	Place string `json:"place"`
	// Alert says that the event causes an alert of the rule; Unknown if that depends on what
	// is not known.
	Alert Result `json:"alert"`
	// Reason is why, in a sentence.
	Reason string `json:"reason"`
	// Condition is the rule's condition.
	Condition Part `json:"condition"`
}

// Explainer explains one rule. It is not safe for concurrent use.
type Explainer struct {
	set       *rules.Ruleset
	explainer *rules.Explainer
	evaluator *rules.Evaluator
	rule      *rules.Rule
}

// New returns the Explainer of the rule called name; the error is that there is none.
func New(set *rules.Ruleset, name string) (*Explainer, error) {
	x, err := set.Explainer(name)
	if err != nil {
		return nil, err
	}
	return &Explainer{set, x, set.NewEvaluator(x.Rule().Source), x.Rule()}, nil
}

// Rule returns the rule that is explained.
func (x *Explainer) Rule() *rules.Rule { return x.rule }

// Explain says what the rule makes of an event, which must be of the rule's source.
func (x *Explainer) Explain(ev Event) Verdict {
	v := Verdict{Rule: x.rule.Name, Place: x.rule.Position.String()}
	v.Condition = part(x.explainer.Explain(ev.Value), ev.Known)
	v.Alert, v.Reason = x.judge(v.Condition, ev)
	return v
}

// judge says whether there is an alert, and why.
func (x *Explainer) judge(condition Part, ev Event) (Result, string) {
	switch {
	case ev.Type != "" && x.rule.EventTypes != nil && !slices.Contains(x.rule.EventTypes, ev.Type):
		return False, fmt.Sprintf("the rule is tried for events of type %s, and this one is %s", list(x.rule.EventTypes), ev.Type)
	case condition.Result == False:
		return False, "the condition is false, because " + why(condition)
	case condition.Result == Unknown:
		return Unknown, "the condition depends on " + strings.Join(unknownFields(condition), ", ") + ", which the event does not tell"
	case !x.rule.Enabled:
		return False, "the condition is true, but the rule is off"
	}
	if before := x.before(ev); before != "" {
		return False, fmt.Sprintf("the condition is true, but the rule %q comes first and matches too (rule_matching is first)", before)
	}
	return True, "the condition is true"
}

// before names the rule that matches the event first and keeps the one that is explained from
// being tried; empty if there is none, or if too little of the event is known.
func (x *Explainer) before(ev Event) string {
	if ev.Known != nil {
		return ""
	}
	first := ""
	for _, m := range x.evaluator.Evaluate(ev.Value) {
		if m.Rule.Name == x.rule.Name {
			return ""
		}
		first = cmp.Or(first, m.Rule.Name)
	}
	return first
}

// list names event types, the first few of many.
func list(types []string) string {
	const most = 8
	if len(types) > most {
		return strings.Join(types[:most], ", ") + fmt.Sprintf(" and %d more", len(types)-most)
	}
	return strings.Join(types, ", ")
}

// part takes over an explanation, with what is unknown.
func part(e rules.Explanation, known func(string) bool) Part {
	p := Part{Text: e.Text, Result: of(e.Result), Field: e.Field, Value: e.Value}
	for _, c := range e.Children {
		p.Parts = append(p.Parts, part(c, known))
	}
	// The text of an expression tells what kind it is.
	expr, err := filter.Parse(e.Text)
	if err != nil {
		return p
	}
	switch expr := expr.(type) {
	case *filter.And:
		p.kind, p.Result = all, join(p, False)
	case *filter.Or:
		p.kind, p.Result = some, join(p, True)
	case *filter.Not:
		p.kind = negation
		if len(p.Parts) == 1 {
			p.Result = opposite[p.Parts[0].Result]
		}
	case *filter.Macro:
		p.kind, p.Result = all, join(p, False)
	case *filter.Check:
		unknown := func(f string) bool { return !known(f) }
		if known != nil && slices.ContainsFunc(fieldsOf(expr), unknown) {
			p.Result, p.Value = Unknown, ""
		}
	}
	return p
}

var opposite = map[Result]Result{True: False, False: True, Unknown: Unknown}

func of(b bool) Result {
	if b {
		return True
	}
	return False
}

// join is what the parts are together, of which one that is decisive decides. An expression
// that was not taken apart keeps its own result.
func join(p Part, decisive Result) Result {
	if len(p.Parts) == 0 {
		return p.Result
	}
	together := opposite[decisive]
	for _, c := range p.Parts {
		switch c.Result {
		case decisive:
			return decisive
		case Unknown:
			together = Unknown
		}
	}
	return together
}

// fieldsOf are the fields that a comparison looks at.
func fieldsOf(c *filter.Check) []string {
	var names []string
	var add func(o filter.Operand)
	add = func(o filter.Operand) {
		switch o := o.(type) {
		case *filter.Field:
			names = append(names, o.String())
		case *filter.Call:
			for _, a := range o.Args {
				add(a)
			}
		case *filter.List:
			for _, a := range o.Items {
				add(a)
			}
		}
	}
	add(c.Left)
	if c.Right != nil {
		add(c.Right)
	}
	return names
}

// why says what makes a part true or false: the first comparison that decides, or the whole
// part where it takes several.
func why(p Part) string {
	switch {
	case p.kind == negation && len(p.Parts) == 1:
		return why(p.Parts[0])
	case p.kind == all && p.Result == False, p.kind == some && p.Result == True, len(p.Parts) == 1:
		for _, c := range p.Parts {
			if c.Result == p.Result {
				return why(c)
			}
		}
	}
	text := short(p.Text)
	if p.Field == "" || strings.HasPrefix(text, p.Field+" exists") {
		return fmt.Sprintf("%s is %s", text, p.Result)
	}
	return fmt.Sprintf("%s is %s: %s is %q", text, p.Result, p.Field, short(p.Value))
}

// short cuts what is too long for a sentence.
func short(text string) string {
	const most = 120
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// unknownFields are the fields of the comparisons that are unknown, each once.
func unknownFields(p Part) []string {
	var names []string
	if p.Field != "" && p.Result == Unknown {
		names = append(names, p.Field)
	}
	for _, c := range p.Parts {
		if c.Result == Unknown {
			names = append(names, unknownFields(c)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Agreement is how much of the condition is true, from 0 to 1: the share of the parts that
// it takes all of, at the top.
func (v Verdict) Agreement() float64 {
	top := v.Condition
	for len(top.Parts) == 1 {
		top = top.Parts[0]
	}
	if len(top.Parts) == 0 {
		return map[Result]float64{True: 1}[top.Result]
	}
	n := 0
	for _, c := range top.Parts {
		if c.Result == True {
			n++
		}
	}
	return float64(n) / float64(len(top.Parts))
}

// Write writes the verdict for a person: a line, and the condition as a tree with + before
// what is true, - before what is false and ? before what is unknown.
func (v Verdict) Write(w io.Writer) error {
	first := map[Result]string{True: "causes an alert", False: "causes no alert", Unknown: "may cause an alert"}[v.Alert]
	if _, err := fmt.Fprintf(w, "%s of rule %q (%s): %s\n\n", first, v.Rule, v.Place, v.Reason); err != nil {
		return err
	}
	return v.Condition.write(w, 0)
}

func (p Part) write(w io.Writer, depth int) error {
	mark := map[Result]string{True: "+", False: "-", Unknown: "?"}[p.Result]
	line := strings.Repeat("  ", depth) + mark + " " + p.Text
	switch {
	case p.Field != "" && p.Result == Unknown:
		line += fmt.Sprintf("    [%s is not known]", p.Field)
	case p.Field != "":
		line += fmt.Sprintf("    [%s is %q]", p.Field, p.Value)
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	for _, c := range p.Parts {
		if err := c.write(w, depth+1); err != nil {
			return err
		}
	}
	return nil
}

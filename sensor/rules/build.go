package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/match"
	"github.com/saker-security/saker/sensor/rules/program"
)

// compiledMacro is a macro compiled for one source.
type compiledMacro struct {
	*macroUnit
	ref      program.Ref
	problems []program.Problem
	// bad are the macros, this one perhaps among them, that do not compile.
	bad []*compiledMacro
	// reported says that its mistakes are known as errors.
	reported bool
}

// builder returns the builder of a source.
func (c *compiler) builder(source string) *program.Builder {
	b := c.builders[source]
	if b == nil {
		b = program.NewBuilder(c.sources[source])
		c.builders[source] = b
	}
	return b
}

// use collects the broken macros that an expression refers to.
type use struct{ bad []*compiledMacro }

// lookup returns the lookup of macros for one source; it notes broken ones in u.
func (c *compiler) lookup(source string, u *use) program.Macro {
	return func(name string) (program.Ref, bool) {
		m := c.compiledMacro(source, c.macros[name])
		for _, bad := range m.bad {
			if !slices.Contains(u.bad, bad) {
				u.bad = append(u.bad, bad)
			}
		}
		return m.ref, len(m.bad) == 0
	}
}

func (c *compiler) compiledMacro(source string, unit *macroUnit) *compiledMacro {
	if m := unit.compiled[source]; m != nil {
		return m
	}
	m := &compiledMacro{macroUnit: unit}
	unit.compiled[source] = m
	var u use
	m.ref, m.problems = c.builder(source).Expr(unit.expr, c.lookup(source, &u))
	m.bad = u.bad
	if slices.ContainsFunc(m.problems, program.Problem.Fatal) {
		m.bad = append(m.bad, m)
	}
	c.warnings(unit.text, "macro", unit.name, "condition", m.problems)
	return m
}

// build compiles the rules.
func (c *compiler) build(units []*ruleUnit) *Ruleset {
	rs := &Ruleset{opts: c.opts, engines: make(map[string]*engine), macros: c.macros}
	for _, u := range units {
		if u.expr == nil {
			continue
		}
		if r := c.buildRule(u); r != nil {
			e := rs.engine(r.Source, c.builder(r.Source))
			e.rules = append(e.rules, r)
			rs.rules = append(rs.rules, &r.Rule)
		}
	}
	if c.problems > 0 {
		return nil
	}
	for _, e := range rs.engines {
		if err := e.finish(); err != nil {
			c.problems++
			c.fatal = err
			return nil
		}
	}
	for _, u := range units {
		c.warnEventTypes(rs, u)
	}
	return rs
}

// buildRule compiles a rule; nil when it is left out or broken.
func (c *compiler) buildRule(u *ruleUnit) *compiledRule {
	b := c.builder(u.source)
	before := c.problems
	var used use
	ref, problems := b.Expr(u.expr, c.lookup(u.source, &used))
	c.checkExceptionFields(u)
	c.warnings(u.text, "rule", u.name, "condition", problems)
	ok := c.fatalProblems(u, u.text, "rule", u.name, "condition", ErrCompileCondition, problems)
	for _, m := range used.bad {
		ok = c.macroProblems(u, m) && ok
	}
	out, fields, good := c.outputs(u, b)
	if !ok || !good || c.problems > before {
		return nil
	}
	r := &compiledRule{
		Rule: Rule{
			Name: u.name, Desc: u.desc.s, Source: u.source, Priority: u.priority, Tags: u.tags,
			Condition: u.cond.s, Expanded: filter.Format(u.expr), Output: u.output.s, Position: u.src.node(u.at),
			Capture: u.capture, CaptureMillis: u.captureMillis,
		},
		condition: ref, output: out, extra: fields, expr: u.expr,
	}
	r.Enabled = c.enabled(u)
	r.ConditionFields, r.Macros = c.parts(u.expr)
	return r
}

// fatalProblems reports the mistakes among problems. It is false when there are any: those
// that only concern unknown names are warnings for a rule that wants to be left out then.
func (c *compiler) fatalProblems(u *ruleUnit, t text, kind, name, part string, code Code, problems []program.Problem) bool {
	ok := true
	for _, p := range problems {
		if !p.Fatal() {
			continue
		}
		ok = false
		if p.Kind == program.Unknown && u.skipUnknown {
			c.warnIn(t, p.Offset, WarnUnknownFilter, kind, name, part, "%s; the rule %q is left out", p.Msg, u.name)
			continue
		}
		c.errorIn(t, p.Offset, code, kind, name, part, "%s", p.Msg)
	}
	return ok
}

// macroProblems reports the mistakes of a macro that a rule uses, as errors once.
func (c *compiler) macroProblems(u *ruleUnit, m *compiledMacro) bool {
	if m.reported {
		return false
	}
	before := c.problems
	problems := slices.Clone(m.problems)
	for i := range problems {
		if !u.skipUnknown {
			problems[i].Msg += fmt.Sprintf("; the rule %q uses the macro", u.name)
		}
	}
	ok := c.fatalProblems(u, m.text, "macro", m.name, "condition", ErrCompileCondition, problems)
	m.reported = c.problems > before
	return ok
}

var warningCodes = map[program.ProblemKind]Code{
	program.DoubtfulValue:   WarnCompileCondition,
	program.NeverSeen:       WarnCompileCondition,
	program.UnsafeNA:        WarnUnsafeNACheck,
	program.DeprecatedField: WarnDeprecatedItem,
}

func (c *compiler) warnings(t text, kind, name, part string, problems []program.Problem) {
	for _, p := range problems {
		if !p.Fatal() {
			c.warnIn(t, p.Offset, warningCodes[p.Kind], kind, name, part, "%s", p.Msg)
		}
	}
}

// checkExceptionFields checks the fields of exceptions that have no values and so do not
// show in the condition.
func (c *compiler) checkExceptionFields(u *ruleUnit) {
	for _, ex := range u.exceptions {
		for _, f := range ex.fields {
			if len(ex.values) > 0 {
				continue
			}
			t := scalarText(ex.src, f)
			e, err := filter.Parse(f.Value + " exists")
			if err != nil {
				c.errorIn(t, 0, ErrValidate, "rule", u.name, "exceptions", "%q is not a field", f.Value)
				continue
			}
			_, problems := c.builder(u.source).Expr(e, nil)
			c.fatalProblems(u, t, "rule", u.name, "exceptions", ErrValidate, problems)
		}
	}
}

// outputs compiles the rule's output with what is added to it, and the added fields.
func (c *compiler) outputs(u *ruleUnit, b *program.Builder) (*program.Output, []extraField, bool) {
	t := u.output
	if c.opts.SuggestedOutput && u.source == "syscall" && b.HasFields(suggestedOutput) {
		t = t.plus(t.instead(len(t.s), " "+suggestedOutput))
	}
	ok := true
	var extra []extraField
	for _, a := range c.opts.Append {
		if !a.applies(u.rule) {
			continue
		}
		if a.Output != "" {
			t = t.plus(t.instead(len(t.s), " "+a.Output))
		}
		for _, f := range a.Fields {
			format := f.Format
			if format == "" {
				format = "%" + f.Name
			}
			o, problems := b.Output("*" + format)
			ok = c.fatalProblems(u, t.instead(0, format), "rule", u.name, "output", ErrCompileOutput, problems) && ok
			extra = append(extra, extraField{name: f.Name, output: o, raw: f.Format == ""})
		}
	}
	if i := strings.Index(t.s, "%container.info"); i >= 0 {
		c.warnIn(t, i, WarnDeprecatedItem, "rule", u.name, "output", "%%container.info is deprecated and prints nothing")
		t = t.slice(0, i).plus(t.slice(i+len("%container.info"), len(t.s)))
	}
	// Nulls print as <NA>: an alert with a hole is better than none.
	if !strings.HasPrefix(t.s, "*") && strings.TrimSpace(t.s) != "" {
		t = t.instead(0, "*").plus(t)
	}
	o, problems := b.Output(t.s)
	c.warnings(t, "rule", u.name, "output", problems)
	ok = c.fatalProblems(u, t, "rule", u.name, "output", ErrCompileOutput, problems) && ok
	if ok {
		b.AddField(o, c.opts.timeField())
	}
	return o, extra, ok
}

func (o Options) timeField() string {
	if o.ISO8601 {
		return "evt.time.iso8601"
	}
	return "evt.time"
}

func (a Append) applies(r *rule) bool {
	for _, tag := range a.Tags {
		if !slices.Contains(r.tags, tag) {
			return false
		}
	}
	return (a.Source == "" || a.Source == r.source) && (a.Rule == "" || a.Rule == r.name)
}

// enabled says whether the rule is to be tried, after priority and toggles.
func (c *compiler) enabled(u *ruleUnit) bool {
	on := u.enabled
	for _, t := range c.opts.Toggles {
		if t.applies(u.rule) {
			on = t.Enable
		}
	}
	return on && u.priority >= c.opts.MinPriority
}

func (t Toggle) applies(r *rule) bool {
	if t.Tag != "" && slices.Contains(r.tags, t.Tag) {
		return true
	}
	return t.Rule != "" && match.Wildcard(t.Rule, r.name)
}

// manyEventTypes is how many event types a rule may be tried for without a warning.
const manyEventTypes = 100

// warnEventTypes warns of a rule that is tried for every event, or for none.
func (c *compiler) warnEventTypes(rs *Ruleset, u *ruleUnit) {
	reg := c.sources[u.source]
	if len(reg.EventTypes) == 0 || !u.warnTypes {
		return
	}
	e := rs.engines[u.source]
	if e == nil {
		return
	}
	i := slices.IndexFunc(e.rules, func(r *compiledRule) bool { return r.Name == u.name })
	if i < 0 {
		return
	}
	switch n := len(e.program.EventTypes(i)); {
	case n == 0 && !e.program.Never(i):
		c.warnIn(u.text, 0, WarnNoEventType, "rule", u.name, "condition", "no event type can satisfy the condition")
	case n > manyEventTypes, n == len(reg.EventTypes):
		c.warnIn(u.text, 0, WarnNoEventType, "rule", u.name, "condition",
			"the condition hardly restricts evt.type: the rule is tried for %d types of event", n)
	}
}

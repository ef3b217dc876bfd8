package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/program"
)

// compiler turns what a collector holds into a Ruleset.
type compiler struct {
	sources map[string]*fields.Registry
	opts    Options
	reports map[*source]*FileReport
	// parsed keeps syntax trees from one pass to the next.
	parsed map[string]parsed
	// problems counts errors; fatal is one that no file is to blame for.
	problems int
	fatal    error

	col      *collector
	lists    []*listText
	macros   map[string]*macroUnit
	builders map[string]*program.Builder
	size     int
}

type parsed struct {
	expr filter.Expr
	err  error
}

// macroUnit is a macro as this pass sees it.
type macroUnit struct {
	*macro
	text text
	expr filter.Expr
	used bool
	// state is for the search for loops.
	state    visitState
	compiled map[string]*compiledMacro
}

type visitState uint8

const (
	unvisited visitState = iota
	visiting
	visited
)

// compile checks that names and syntax hold together. Only with final set it compiles
// conditions and outputs too; the Ruleset is nil otherwise, and on errors.
func (c *compiler) compile(col *collector, final bool) *Ruleset {
	c.col, c.size = col, 0
	c.builders = make(map[string]*program.Builder)
	var tooLong *list
	if c.lists, tooLong = col.listTexts(); tooLong != nil {
		c.errorAt(tooLong.src.node(tooLong.at), tooLong.src, ErrValidate, "list", tooLong.name, "",
			"the list is longer than %d bytes once the lists in it are written out", MaxCondition)
		return nil
	}
	c.readMacros()
	units := c.readRules()
	if !final || c.fatal != nil {
		return nil
	}
	rs := c.build(units)
	c.warnUnused()
	if c.problems > 0 || c.fatal != nil {
		return nil
	}
	return rs
}

// readMacros substitutes and parses the macros and checks what they refer to.
func (c *compiler) readMacros() {
	c.macros = make(map[string]*macroUnit, len(c.col.macros.order))
	for _, m := range c.col.macros.order {
		u := &macroUnit{macro: m, compiled: make(map[string]*compiledMacro)}
		u.text, u.expr = c.parse(m.cond, "macro", m.name)
		c.macros[m.name] = u
	}
	for _, m := range c.col.macros.order {
		c.visit(c.macros[m.name])
	}
}

// visit resolves the macros that a macro refers to, depth first.
func (c *compiler) visit(u *macroUnit) {
	if u.state != unvisited || u.expr == nil {
		return
	}
	u.state = visiting
	ok := c.macroNames(u.expr, func(m *filter.Macro) bool {
		next := c.macros[m.Name]
		switch {
		case next == nil:
			return c.undefinedMacro(u.text, m, "macro", u.name)
		case next == u:
			c.errorIn(u.text, m.Pos, ErrValidate, "macro", u.name, "condition", "the macro refers to itself")
			return false
		case next.first >= u.last:
			c.errorIn(u.text, m.Pos, ErrValidate, "macro", u.name, "condition", "the macro %q is defined only after this one", m.Name)
			return false
		case next.state == visiting:
			c.errorIn(u.text, m.Pos, ErrValidate, "macro", u.name, "condition", "the macro %q refers to itself in the end", m.Name)
			return false
		}
		next.used = true
		c.visit(next)
		return next.expr != nil
	})
	if !ok {
		u.expr = nil
	}
	u.state = visited
}

func (c *compiler) undefinedMacro(t text, m *filter.Macro, kind, name string) bool {
	if !c.col.broken["macro "+m.Name] {
		names := func(yield func(string) bool) {
			for _, m := range c.col.macros.order {
				if !yield(m.name) {
					return
				}
			}
		}
		c.errorIn(t, m.Pos, ErrValidate, kind, name, "condition",
			"undefined macro %q%s", m.Name, program.DidYouMean(m.Name, names))
	}
	return false
}

// macroNames calls f for each reference to a macro; false when f was, once.
func (c *compiler) macroNames(e filter.Expr, f func(*filter.Macro) bool) bool {
	ok := true
	each := func(children ...filter.Expr) {
		for _, x := range children {
			ok = c.macroNames(x, f) && ok
		}
	}
	switch e := e.(type) {
	case *filter.And:
		each(e.Children...)
	case *filter.Or:
		each(e.Children...)
	case *filter.Not:
		each(e.X)
	case *filter.Macro:
		ok = f(e)
	}
	return ok
}

// parse substitutes lists in a condition and parses it; the tree is nil when it has
// reported a problem.
func (c *compiler) parse(cond text, kind, name string) (text, filter.Expr) {
	t, ok := substitute(cond, c.lists)
	if !ok {
		c.errorIn(cond, 0, ErrCompileCondition, kind, name, "condition",
			"the condition is longer than %d bytes once its lists are written out", MaxCondition)
		return t, nil
	}
	if c.size += len(t.s); c.size > MaxConditions {
		c.fatal = fmt.Errorf("the conditions are longer than %d bytes once lists are written out", MaxConditions)
		return t, nil
	}
	p, ok := c.parsed[t.s]
	if !ok {
		p.expr, p.err = filter.Parse(t.s)
		c.parsed[t.s] = p
	}
	if syntax, bad := errors.AsType[*filter.SyntaxError](p.err); bad {
		c.errorIn(t, syntax.Offset, ErrCompileCondition, kind, name, "condition", "%s", syntax.Msg)
		return t, nil
	}
	return t, p.expr
}

// ruleUnit is a rule as this pass sees it. Its tree is nil when it is broken.
type ruleUnit struct {
	*rule
	text text
	expr filter.Expr
}

func (c *compiler) readRules() []*ruleUnit {
	var units []*ruleUnit
	for _, r := range c.col.rules.order {
		if c.sources[r.source] == nil {
			continue
		}
		u := &ruleUnit{rule: r}
		units = append(units, u)
		cond, bad := r.withExceptions()
		if bad != nil {
			c.errorAt(bad.ex.src.node(bad.at), bad.ex.src, ErrValidate, "rule", r.name, "exceptions", "exception %q: %s", bad.ex.name, bad.msg)
			continue
		}
		if u.text, u.expr = c.parse(cond, "rule", r.name); u.expr == nil {
			continue
		}
		ok := c.macroNames(u.expr, func(m *filter.Macro) bool {
			next := c.macros[m.Name]
			if next == nil {
				return c.undefinedMacro(u.text, m, "rule", r.name)
			}
			next.used = true
			return next.expr != nil
		})
		if !ok {
			u.expr = nil
		}
	}
	return units
}

func (c *compiler) warnUnused() {
	for _, r := range c.col.rules.order {
		if c.sources[r.source] == nil {
			c.warnAt(r.src.node(r.at), r.src, WarnUnknownSource, "rule", r.name, "",
				"the rule is left out: unknown source %q; there are %s", r.source, strings.Join(sortedSources(c.sources), ", "))
		}
	}
	for _, m := range c.col.macros.order {
		if !c.macros[m.name].used {
			c.warnAt(m.src.node(m.at), m.src, WarnUnusedMacro, "macro", m.name, "", "no rule or macro refers to it")
		}
	}
	for _, l := range c.lists {
		if !l.used {
			c.warnAt(l.src.node(l.at), l.src, WarnUnusedList, "list", l.name, "", "no rule, macro or list refers to it")
		}
	}
}

// maxProblems is how many errors, and how many warnings, a file's report holds.
const maxProblems = 1000

// errorIn adds an error at byte i of a text.
func (c *compiler) errorIn(t text, i int, code Code, kind, name, part, format string, args ...any) {
	c.errorAt(t.position(i), t.part(i).src, code, kind, name, part, format, args...)
}

func (c *compiler) errorAt(pos Position, src *source, code Code, kind, name, part, format string, args ...any) {
	c.problems++
	rep := c.reports[src]
	rep.Errors = addProblem(rep.Errors, Problem{
		Code: code, Position: pos, Item: kind, Name: name, Part: part,
		Message: fmt.Sprintf(format, args...), Snippet: snippet(src, pos),
	})
}

func (c *compiler) warnIn(t text, i int, code Code, kind, name, part, format string, args ...any) {
	c.warnAt(t.position(i), t.part(i).src, code, kind, name, part, format, args...)
}

func (c *compiler) warnAt(pos Position, src *source, code Code, kind, name, part, format string, args ...any) {
	rep := c.reports[src]
	rep.Warnings = addProblem(rep.Warnings, Problem{
		Code: code, Position: pos, Item: kind, Name: name, Part: part,
		Message: fmt.Sprintf(format, args...), Snippet: snippet(src, pos),
	})
}

func addProblem(ps []Problem, p Problem) []Problem {
	if len(ps) >= maxProblems || slices.Contains(ps, p) {
		return ps
	}
	return append(ps, p)
}

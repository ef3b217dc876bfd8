package rules

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
)

// collector holds the items of all files read so far, with overrides applied.
type collector struct {
	// next numbers the items, so that it is known what was there when another one came.
	next    int
	lists   index[*list]
	macros  index[*macro]
	rules   index[*rule]
	plugins []pluginRequirement
	engine  version
	// broken holds "macro name" of the items that could not be read, so that what refers to
	// them is not reported as well.
	broken map[string]bool
}

// index keeps items in the order of their first definition.
type index[T any] struct {
	order  []T
	byName map[string]T
}

// list is a named list of literals.
type list struct {
	src  *source
	at   *yaml.Node
	name string
	// first is the item number of the first definition, last that of the last change.
	first, last int
	items       []string
}

// macro is a named condition.
type macro struct {
	src         *source
	at          *yaml.Node
	name        string
	first, last int
	cond        text
}

// rule is a rule with everything that overrides made of it.
type rule struct {
	src  *source
	at   *yaml.Node
	name string

	cond, output, desc text
	priority           event.Priority
	source             string
	tags               []string
	exceptions         []*exception
	ruleFlags
}

// ruleFlags are the settings of a rule that are single values.
type ruleFlags struct {
	enabled, warnTypes, skipUnknown, capture bool
	// captureMillis is capture_duration.
	captureMillis uint64
}

func (c *collector) requireEngine(v version) {
	if c.engine.less(v) {
		c.engine = v
	}
}

func (c *collector) number() int {
	c.next++
	return c.next
}

func (x *index[T]) add(name string, v T) {
	if x.byName == nil {
		x.byName = make(map[string]T)
	}
	x.byName[name] = v
	x.order = append(x.order, v)
}

// defineList adds a list, or replaces the one of its name and keeps its place.
func (c *collector) defineList(l *list) {
	n := c.number()
	l.first, l.last = n, n
	if old := c.lists.byName[l.name]; old != nil {
		l.first = old.first
		*old = *l
		return
	}
	c.lists.add(l.name, l)
}

// appendList adds to the list of the same name; false if there is none.
func (c *collector) appendList(l *list) bool {
	old := c.lists.byName[l.name]
	if old == nil {
		return false
	}
	old.items = append(slices.Clip(old.items), l.items...)
	old.last = c.number()
	return true
}

// defineMacro adds a macro, or replaces the one of its name and keeps its place.
func (c *collector) defineMacro(m *macro) {
	n := c.number()
	m.first, m.last = n, n
	if old := c.macros.byName[m.name]; old != nil {
		m.first = old.first
		*old = *m
		return
	}
	c.macros.add(m.name, m)
}

// appendMacro adds to the condition of the macro of the same name; false if there is none.
func (c *collector) appendMacro(m *macro) bool {
	old := c.macros.byName[m.name]
	if old == nil {
		return false
	}
	old.cond = joined(old.cond, m.cond)
	old.last = c.number()
	return true
}

// joined appends with a blank between, as override does with every text.
func joined(a, b text) text { return a.plus(b.instead(0, " "), b) }

// defineRule adds a rule, or replaces the one of its name and keeps its place.
func (c *collector) defineRule(r *rule) {
	c.number()
	if old := c.rules.byName[r.name]; old != nil {
		*old = *r
		return
	}
	c.rules.add(r.name, r)
}

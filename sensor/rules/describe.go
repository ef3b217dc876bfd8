package rules

import (
	"maps"
	"slices"

	"github.com/saker-security/saker/sensor/rules/filter"
)

// parts returns the fields and the macros of an expression and of its macros, sorted.
func (c *compiler) parts(e filter.Expr) (fieldNames, macroNames []string) {
	p := partFinder{macros: c.macros, fields: make(map[string]bool), seen: make(map[string]bool)}
	p.expr(e)
	return slices.Sorted(maps.Keys(p.fields)), slices.Sorted(maps.Keys(p.seen))
}

type partFinder struct {
	macros map[string]*macroUnit
	fields map[string]bool
	seen   map[string]bool
}

func (p partFinder) expr(e filter.Expr) {
	switch e := e.(type) {
	case *filter.And:
		for _, x := range e.Children {
			p.expr(x)
		}
	case *filter.Or:
		for _, x := range e.Children {
			p.expr(x)
		}
	case *filter.Not:
		p.expr(e.X)
	case *filter.Macro:
		if m := p.macros[e.Name]; m != nil && !p.seen[e.Name] {
			p.seen[e.Name] = true
			p.expr(m.expr)
		}
	case *filter.Check:
		p.operand(e.Left)
		p.operand(e.Right)
	}
}

func (p partFinder) operand(o filter.Operand) {
	switch o := o.(type) {
	case *filter.Field:
		p.fields[o.String()] = true
	case *filter.Call:
		for _, a := range o.Args {
			p.operand(a)
		}
	case *filter.List:
		for _, a := range o.Items {
			p.operand(a)
		}
	}
}

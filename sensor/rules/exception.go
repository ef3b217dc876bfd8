package rules

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/sensor/rules/filter"
)

// exception is a named set of field values for which a rule does not fire.
type exception struct {
	src  *source
	at   *yaml.Node
	name string
	// fields are the fields; single says that they were given as one, not as a list.
	fields []*yaml.Node
	single bool
	// comps are the operators, one a field; nil until completeException sets those not
	// given.
	comps    []string
	hasComps bool
	// values are the rows, or the flat list of a single field.
	values []*yaml.Node
}

// exceptions reads the exceptions of an item. Those that are merged into a rule may leave
// out fields.
func (it item) exceptions(merged bool) ([]*exception, bool) {
	n := it.get("exceptions")
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.SequenceNode {
		it.problem(n, ErrYAMLValidate, "exceptions", "must be a list, not %s", kindName(n))
		return nil, false
	}
	seen := make(map[string]bool)
	var out []*exception
	for _, c := range n.Content {
		ex := it.exception(resolve(c), merged)
		if ex == nil {
			return nil, false
		}
		if seen[ex.name] {
			it.warn(ex.at, WarnExceptionNotUnique, "exceptions", "the name %q is used twice in the rule", ex.name)
		}
		seen[ex.name] = true
		out = append(out, ex)
	}
	return out, true
}

func (it item) exception(n *yaml.Node, merged bool) *exception {
	if n.Kind != yaml.MappingNode {
		it.problem(n, ErrYAMLValidate, "exceptions", "an exception must be a mapping, not %s", kindName(n))
		return nil
	}
	name := it.scalar(n, "name")
	if name == nil {
		return nil
	}
	ex := &exception{src: it.src, at: n, name: name.Value}
	var ok bool
	if ex.fields, ex.single, ok = it.scalarOrList(n, "fields"); !ok {
		return nil
	}
	if ex.fields == nil && !merged {
		it.problem(n, ErrValidate, "exceptions", "the exception %q has no fields", ex.name)
		return nil
	}
	comps, single, ok := it.scalarOrList(n, "comps")
	if !ok {
		return nil
	}
	ex.hasComps = comps != nil
	for _, c := range comps {
		ex.comps = append(ex.comps, strings.Trim(c.Value, " \t\r\n"))
	}
	if ex.hasComps && ex.fields != nil && single != ex.single {
		it.problem(n, ErrValidate, "exceptions", "the fields and comps of %q must both be lists or both single", ex.name)
		return nil
	}
	values := lookup(n, "values")
	switch {
	case values == nil:
		if merged {
			it.warn(n, WarnAppendNoValues, "exceptions", "the exception %q has no values", ex.name)
		}
	case values.Kind != yaml.SequenceNode:
		it.problem(values, ErrYAMLValidate, "exceptions", "the values of %q must be a list, not %s", ex.name, kindName(values))
		return nil
	default:
		for _, v := range values.Content {
			ex.values = append(ex.values, resolve(v))
		}
	}
	return ex
}

// scalarOrList reads a value that may be single or a list of single values; nil when the
// key is absent.
func (it item) scalarOrList(n *yaml.Node, key string) (out []*yaml.Node, single, ok bool) {
	v := lookup(n, key)
	if v == nil {
		return nil, false, true
	}
	nodes := []*yaml.Node{v}
	if single = v.Kind == yaml.ScalarNode; !single {
		nodes = v.Content
	}
	out = make([]*yaml.Node, 0, len(nodes))
	for _, c := range nodes {
		c = resolve(c)
		if v.Kind == yaml.MappingNode || c.Kind != yaml.ScalarNode || isNull(c) || c.Value == "" {
			it.problem(v, ErrYAMLValidate, "exceptions", "%q must be a name or a list of names", key)
			return nil, false, false
		}
		out = append(out, c)
	}
	return out, single, true
}

// completeException sets the operators that were not given and checks those that were.
func (it item) completeException(ex *exception) bool {
	if !ex.hasComps {
		comp := "="
		if ex.single {
			comp = "in"
		}
		ex.comps = nil
		for range ex.fields {
			ex.comps = append(ex.comps, comp)
		}
	}
	if len(ex.comps) != len(ex.fields) {
		it.problem(ex.at, ErrValidate, "exceptions", "the exception %q has %d fields but %d comps", ex.name, len(ex.fields), len(ex.comps))
		return false
	}
	for _, comp := range ex.comps {
		op, mod, ok := filter.ParseOp(comp)
		if !ok {
			it.problem(ex.at, ErrValidate, "exceptions", "the exception %q has an unknown operator %q", ex.name, comp)
			return false
		}
		if ex.single && !op.List() && mod == filter.NoModifier {
			it.problem(ex.at, ErrValidate, "exceptions",
				"the operator of %q must be in, pmatch, intersects or one with oneof, anyof or allof, because fields is a single one", ex.name)
			return false
		}
	}
	return true
}

// mergeExceptions adds exceptions to those of a rule: values to those of the same name,
// and new ones.
func (it item) mergeExceptions(r *rule, exceptions []*exception) {
	for _, ex := range exceptions {
		old := r.exception(ex.name)
		switch {
		case old != nil && ex.fields != nil:
			it.problem(ex.at, ErrValidate, "exceptions", "the exception %q has its fields already; only values can be added", ex.name)
		case old != nil && ex.hasComps:
			it.problem(ex.at, ErrValidate, "exceptions", "the exception %q has its comps already; only values can be added", ex.name)
		case old != nil:
			grown := *old
			grown.values = append(slices.Clip(old.values), ex.values...)
			*old = grown
		case ex.fields == nil:
			it.problem(ex.at, ErrValidate, "exceptions", "the new exception %q has no fields", ex.name)
		case len(ex.values) == 0:
			it.problem(ex.at, ErrValidate, "exceptions", "the new exception %q has no values", ex.name)
		case it.completeException(ex):
			r.exceptions = append(r.exceptions, ex)
		}
	}
}

func (r *rule) exception(name string) *exception {
	for _, ex := range r.exceptions {
		if ex.name == name {
			return ex
		}
	}
	return nil
}

// exceptionError is a row of values that does not fit.
type exceptionError struct {
	ex  *exception
	at  *yaml.Node
	msg string
}

// withExceptions returns the rule's condition with its exceptions written out, before
// lists are substituted.
func (r *rule) withExceptions() (text, *exceptionError) {
	if len(r.exceptions) == 0 {
		return r.cond, nil
	}
	out := []text{r.cond, r.cond.instead(0, ")")}
	for _, ex := range r.exceptions {
		if len(ex.values) == 0 {
			continue
		}
		group, err := ex.group()
		if err != nil {
			return text{}, err
		}
		out = append(append(out, ex.made(ex.at, " and not ")), group...)
	}
	return r.cond.instead(0, "(").plus(out...), nil
}

func (ex *exception) made(n *yaml.Node, s string) text { return madeText(s, ex.src, n) }

// group returns what the condition must not satisfy.
func (ex *exception) group() ([]text, *exceptionError) {
	if ex.single {
		field := ex.fields[0]
		out := []text{ex.made(ex.at, "("), scalarText(ex.src, field), ex.made(field, " "+ex.comps[0]+" (")}
		for i, v := range ex.values {
			if v.Kind != yaml.ScalarNode {
				return nil, &exceptionError{ex, v, "each value must be a single one, because fields is a single one"}
			}
			if i > 0 {
				out = append(out, ex.made(v, ", "))
			}
			item, err := ex.quoted(v)
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return append(out, ex.made(ex.at, "))")), nil
	}
	out := []text{ex.made(ex.at, "(")}
	for i, row := range ex.values {
		if i > 0 {
			out = append(out, ex.made(row, " or "))
		}
		if row.Kind != yaml.SequenceNode || len(row.Content) != len(ex.fields) {
			return nil, &exceptionError{ex, row, "each row of values must be a list with as many values as there are fields"}
		}
		cells, err := ex.row(row)
		if err != nil {
			return nil, err
		}
		out = append(out, cells...)
	}
	return append(out, ex.made(ex.at, ")")), nil
}

func (ex *exception) row(row *yaml.Node) ([]text, *exceptionError) {
	out := []text{ex.made(row, "(")}
	for k, field := range ex.fields {
		if k > 0 {
			out = append(out, ex.made(row, " and "))
		}
		cell := resolve(row.Content[k])
		out = append(out, scalarText(ex.src, field), ex.made(cell, " "+ex.comps[k]+" "))
		value, err := ex.cell(cell, ex.comps[k])
		if err != nil {
			return nil, err
		}
		out = append(out, value...)
	}
	return append(out, ex.made(row, ")")), nil
}

// cell returns a value of a row: a list in parentheses, or a literal, which a list operator
// takes in parentheses too.
func (ex *exception) cell(n *yaml.Node, comp string) ([]text, *exceptionError) {
	if n.Kind == yaml.SequenceNode {
		out := []text{ex.made(n, "(")}
		for i, c := range n.Content {
			if i > 0 {
				out = append(out, ex.made(n, ", "))
			}
			item, err := ex.quoted(resolve(c))
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return append(out, ex.made(n, ")")), nil
	}
	op, mod, _ := filter.ParseOp(comp)
	if !op.List() && mod == filter.NoModifier {
		item, err := ex.quoted(n)
		return []text{item}, err
	}
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		return nil, &exceptionError{ex, n, "a value is empty or no single value"}
	}
	if strings.HasPrefix(n.Value, "(") {
		return []text{scalarText(ex.src, n)}, nil
	}
	return []text{ex.made(n, "("), scalarText(ex.src, n), ex.made(n, ")")}, nil
}

// quoted returns a value as it stands in a condition. Only a blank has it quoted: values
// may be calls, or have their own quotes.
func (ex *exception) quoted(n *yaml.Node) (text, *exceptionError) {
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		return text{}, &exceptionError{ex, n, "a value is empty or no single value"}
	}
	if needsQuotes(n.Value) {
		return ex.made(n, `"`+n.Value+`"`), nil
	}
	return scalarText(ex.src, n), nil
}

func needsQuotes(s string) bool {
	return strings.Contains(s, " ") && s[0] != '"' && s[0] != '\''
}

// Package program compiles conditions and outputs of rules against the fields of one event
// source, and evaluates them.
//
//	filter.Expr --Builder--> graph of distinct comparisons --Build--> Program --> Machine
//
// Equal comparisons and equal sub-expressions are one node, whichever rules and macros they
// come from. For each event type the graph is simplified with what is known of evt.type, so
// a rule that cannot match an event of that type is not even tried. A Machine evaluates one
// event at a time: it extracts each field and decides each node at most once an event, and
// does not allocate unless a transformer does.
package program

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// MaxNodes is how many distinct comparisons and sub-expressions the rules of one source
// may have, over all event types.
const MaxNodes = 2 << 20

// Ref is an expression of a Builder's graph, possibly negated.
type Ref uint32

// The constant expressions.
const (
	False Ref = 0
	True  Ref = 1
)

func (r Ref) not() Ref      { return r ^ 1 }
func (r Ref) node() uint32  { return uint32(r) >> 1 }
func (r Ref) negated() bool { return r&1 != 0 }

// node is a disjunction of children, or a leaf. Conjunctions are negated disjunctions.
type node struct {
	children []Ref
	// leaf is an index into leaves, -1 for a disjunction.
	leaf int32
	// typed says that the value depends on the event's type alone somewhere below.
	typed bool
	depth int32
	// cost is the expected time of an evaluation, likely the chance that it is true: both
	// guesses that decide what is tried first.
	cost, likely float32
	// parents counts how many distinct nodes refer to this one.
	parents int32
}

// Builder compiles for one source. Its zero value is not usable; see NewBuilder.
type Builder struct {
	reg       *fields.Registry
	typeIndex map[string]int

	slots     []slot
	slotIndex map[string]int32
	leaves    []leaf
	leafIndex map[string]int32
	nodes     []node
	nodeIndex map[string]Ref
	hosts     map[string]func(netip.Addr) bool
	overflow  bool
	key       []byte
}

// NewBuilder returns a Builder for the fields of reg.
func NewBuilder(reg *fields.Registry) *Builder {
	b := &Builder{
		reg:       reg,
		typeIndex: make(map[string]int, len(reg.EventTypes)),
		slotIndex: make(map[string]int32),
		leafIndex: make(map[string]int32),
		nodes:     []node{{leaf: -1, likely: 0.001}},
		nodeIndex: make(map[string]Ref),
		hosts:     make(map[string]func(netip.Addr) bool),
	}
	for i, name := range reg.EventTypes {
		if name != "" {
			b.typeIndex[name] = i
		}
	}
	return b
}

// Fields adds the names of the fields that an expression has to set. Nodes in seen, which
// it adds to, are left out; so the cost for many expressions is that of the graph.
func (b *Builder) Fields(r Ref, set map[string]bool, seen map[Ref]bool) {
	r &^= 1
	if seen[r] {
		return
	}
	seen[r] = true
	n := &b.nodes[r.node()]
	for _, c := range n.children {
		b.Fields(c, set, seen)
	}
	if n.leaf < 0 {
		return
	}
	l := &b.leaves[n.leaf]
	b.slotFields(l.slot, set)
	if l.other >= 0 {
		b.slotFields(l.other, set)
	}
}

func (b *Builder) slotFields(i int32, set map[string]bool) {
	s := &b.slots[i]
	if s.field != nil {
		set[s.field.Name] = true
	}
	for _, a := range s.args {
		b.slotFields(a, set)
	}
}

// OutputFields adds the names of the fields that an output has to set.
func (b *Builder) OutputFields(o *Output, set map[string]bool) {
	for _, v := range o.values {
		b.slotFields(v.slot, set)
	}
}

// Registry returns the fields that the Builder compiles against.
func (b *Builder) Registry() *fields.Registry { return b.reg }

// HasFields says whether all fields of a template exist.
func (b *Builder) HasFields(template string) bool {
	_, problems := b.Output(template)
	return !slices.ContainsFunc(problems, Problem.Fatal)
}

// Problem is something to say about a condition: a mistake, or a warning.
type Problem struct {
	// Offset is a byte offset into the condition's text.
	Offset int
	Kind   ProblemKind
	Msg    string
}

// ProblemKind says what a Problem means for the rule.
type ProblemKind uint8

// The kinds of problem: the first two are mistakes, the rest are warnings.
const (
	// Invalid: the condition makes no sense.
	Invalid ProblemKind = iota
	// Unknown: it names a field or an event type that does not exist here.
	Unknown
	// DoubtfulValue: a literal looks like a field or transformer, or a regex could be simpler.
	DoubtfulValue
	// NeverSeen: it names an event type that the sensor does not watch.
	NeverSeen
	// UnsafeNA: it compares with the text <NA>, which a missing value is not.
	UnsafeNA
	// DeprecatedField: it names a field that will go.
	DeprecatedField
)

// Fatal says whether the problem is a mistake.
func (p Problem) Fatal() bool { return p.Kind <= Unknown }

// Macro is the lookup of a macro's expression by name. The rules package has checked that
// the macro exists; ok is false when the macro itself does not compile.
type Macro func(name string) (r Ref, ok bool)

// Expr compiles e. When a problem is fatal, the Ref means nothing.
func (b *Builder) Expr(e filter.Expr, macro Macro) (Ref, []Problem) {
	c := compiler{Builder: b, macro: macro}
	r := c.expr(e)
	if b.nodes[r.node()].depth > filter.MaxDepth {
		c.problem(e.Offset(), Invalid, "the condition with its macros is nested more than %d deep", filter.MaxDepth)
	}
	return r, c.problems
}

// compiler compiles one condition.
type compiler struct {
	*Builder
	macro    Macro
	problems []Problem
}

func (c *compiler) expr(e filter.Expr) Ref {
	switch e := e.(type) {
	case *filter.And:
		return c.chain(e.Children, true).not()
	case *filter.Or:
		return c.chain(e.Children, false)
	case *filter.Not:
		return c.expr(e.X).not()
	case *filter.Macro:
		r, _ := c.macro(e.Name)
		return r
	case *filter.Check:
		return c.check(e)
	}
	return False
}

func (c *compiler) chain(children []filter.Expr, negate bool) Ref {
	refs := make([]Ref, len(children))
	for i, x := range children {
		refs[i] = c.expr(x)
		if negate {
			refs[i] = refs[i].not()
		}
	}
	return c.or(refs)
}

// or returns the disjunction of refs, which it may reorder.
func (b *Builder) or(refs []Ref) Ref {
	out := refs[:0]
	for _, r := range refs {
		switch {
		case r == True:
			return True
		case r == False, slices.Contains(out[max(0, len(out)-64):], r):
		default:
			out = append(out, r)
		}
	}
	switch len(out) {
	case 0:
		return False
	case 1:
		return out[0]
	}
	return b.intern(out)
}

// intern returns the node of a disjunction of at least two children.
func (b *Builder) intern(children []Ref) Ref {
	b.key = append(b.key[:0], 'o')
	for _, r := range children {
		b.key = binary.LittleEndian.AppendUint32(b.key, uint32(r))
	}
	if r, ok := b.nodeIndex[string(b.key)]; ok {
		return r
	}
	n := node{children: slices.Clone(children), leaf: -1}
	none := float32(1)
	for _, r := range children {
		child := &b.nodes[r.node()]
		child.parents++
		n.typed = n.typed || child.typed
		n.depth = max(n.depth, child.depth+1)
		n.cost += none * child.cost
		none *= 1 - b.likely(r)
	}
	n.likely = min(max(1-none, 0.001), 0.999)
	return b.add(n)
}

// likely guesses the chance that r is true.
func (b *Builder) likely(r Ref) float32 {
	p := b.nodes[r.node()].likely
	if r.negated() {
		return 1 - p
	}
	return p
}

// worth is the time to spend on r in a disjunction for each decision that it brings: the
// less, the sooner it is to be tried.
func (b *Builder) worth(r Ref) float32 { return b.nodes[r.node()].cost / b.likely(r) }

func (b *Builder) leafNode(i int32) Ref {
	b.key = binary.LittleEndian.AppendUint32(append(b.key[:0], 'l'), uint32(i))
	if r, ok := b.nodeIndex[string(b.key)]; ok {
		return r
	}
	l := &b.leaves[i]
	return b.add(node{leaf: i, typed: l.types != nil, cost: l.cost(b.slots), likely: l.likely()})
}

func (b *Builder) add(n node) Ref {
	if len(b.nodes) >= MaxNodes {
		b.overflow = true
		return False
	}
	r := Ref(len(b.nodes) << 1)
	b.nodes = append(b.nodes, n)
	b.nodeIndex[string(b.key)] = r
	return r
}

// ErrTooLarge says that the rules of a source exceed MaxNodes.
var ErrTooLarge = errors.New("the rules are too large: more than 2097152 distinct comparisons and sub-expressions")

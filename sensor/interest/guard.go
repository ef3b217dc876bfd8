package interest

import (
	"encoding/binary"
	"slices"

	"github.com/saker-security/saker/sensor/rules"
)

// guard is an expression over comparisons of what a process keeps until it executes another
// program. The zero guard is always true.
type guard int32

const always guard = 0

// guardNode is a comparison, or all or any of earlier nodes.
type guardNode struct {
	kind       guardKind
	comparison rules.Comparison
	result     bool
	children   []guard
}

type guardKind uint8

const (
	guardTrue guardKind = iota
	guardCompare
	guardAll
	guardAny
)

// guards holds every distinct guard once, children before parents.
type guards struct {
	nodes []guardNode
	index map[string]guard
	ids   map[rules.Comparison]uint32
}

func newGuards() *guards {
	return &guards{
		nodes: make([]guardNode, 1),
		index: make(map[string]guard),
		ids:   make(map[rules.Comparison]uint32),
	}
}

// compare is the guard that c is true, or with result false that it is not.
func (g *guards) compare(c rules.Comparison, result bool) guard {
	id, ok := g.ids[c]
	if !ok {
		id = uint32(len(g.ids))
		g.ids[c] = id
	}
	key := binary.LittleEndian.AppendUint32([]byte{'-'}, id)
	if result {
		key[0] = '+'
	}
	return g.intern(string(key), guardNode{kind: guardCompare, comparison: c, result: result})
}

func (g *guards) intern(key string, n guardNode) guard {
	if id, ok := g.index[key]; ok {
		return id
	}
	id := guard(len(g.nodes))
	g.nodes = append(g.nodes, n)
	g.index[key] = id
	return id
}

// all is true where every one of a and b is.
func (g *guards) all(a, b guard) guard {
	if a == always || b == always {
		return max(a, b)
	}
	return g.join(guardAll, a, b)
}

// any is true where a or b is.
func (g *guards) any(a, b guard) guard {
	if a == always || b == always {
		return always
	}
	return g.join(guardAny, a, b)
}

func (g *guards) join(kind guardKind, a, b guard) guard {
	children := append(g.parts(kind, a), g.parts(kind, b)...)
	slices.Sort(children)
	children = g.absorb(kind, slices.Compact(children))
	if len(children) == 1 {
		return children[0]
	}
	key := []byte{byte(kind)}
	for _, c := range children {
		key = binary.LittleEndian.AppendUint32(key, uint32(c))
	}
	return g.intern(string(key), guardNode{kind: kind, children: children})
}

// parts are the operands of an expression of the kind, else the expression itself.
func (g *guards) parts(kind guardKind, id guard) []guard {
	if n := &g.nodes[id]; n.kind == kind {
		return slices.Clone(n.children)
	}
	return []guard{id}
}

// absorb leaves out operands that another one makes superfluous: of x and (x or y), and of
// x or (x and y), x remains.
func (g *guards) absorb(kind guardKind, children []guard) []guard {
	other := guardAll + guardAny - kind
	return slices.DeleteFunc(slices.Clone(children), func(c guard) bool {
		return g.nodes[c].kind == other && slices.ContainsFunc(children, func(x guard) bool {
			if x == c {
				return false
			}
			return containsAll(g.nodes[c].children, g.parts(other, x))
		})
	})
}

// implies says that y is true where x is; it may say no where that is so.
func (g *guards) implies(x, y guard) bool {
	if y == always || x == y {
		return true
	}
	of, to := &g.nodes[x], &g.nodes[y]
	return to.kind == guardAny && containsAll(to.children, g.parts(guardAny, x)) ||
		of.kind == guardAll && containsAll(of.children, g.parts(guardAll, y))
}

func containsAll(set, want []guard) bool {
	return !slices.ContainsFunc(want, func(x guard) bool { return !slices.Contains(set, x) })
}

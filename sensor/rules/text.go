package rules

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// text is a condition or output put together from scalars of rules files, which remembers
// where each part comes from.
type text struct {
	s     string
	parts []part
}

// part begins at byte from of a text and ends where the next one begins.
type part struct {
	from int
	src  *source
	node *yaml.Node
	// at is the index into the node's value where the part begins. Parts that were made,
	// not copied, have fixed set: all of them stands for the place at.
	at    int
	fixed bool
}

// scalarText returns the text of a scalar node.
func scalarText(src *source, n *yaml.Node) text {
	return text{s: n.Value, parts: []part{{src: src, node: n}}}
}

// madeText returns a text that has no place of its own and is reported at node n.
func madeText(s string, src *source, n *yaml.Node) text {
	return text{s: s, parts: []part{{src: src, node: n, fixed: true}}}
}

// plus returns t followed by more.
func (t text) plus(more ...text) text {
	n := len(t.s)
	for _, m := range more {
		n += len(m.s)
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteString(t.s)
	parts := slices.Clone(t.parts)
	for _, m := range more {
		for _, p := range m.parts {
			p.from += b.Len()
			parts = append(parts, p)
		}
		b.WriteString(m.s)
	}
	return text{b.String(), parts}
}

// slice returns t[from:to].
func (t text) slice(from, to int) text {
	out := text{s: t.s[from:to]}
	if from == to {
		return out
	}
	for _, p := range t.parts[t.partIndex(from):] {
		if p.from >= to {
			break
		}
		if p.from < from {
			if !p.fixed {
				p.at += from - p.from
			}
			p.from = from
		}
		p.from -= from
		out.parts = append(out.parts, p)
	}
	return out
}

// instead returns a text s that is reported where t begins at offset i.
func (t text) instead(i int, s string) text {
	p := t.part(i)
	if !p.fixed {
		p.at += i - p.from
	}
	p.from, p.fixed = 0, true
	return text{s: s, parts: []part{p}}
}

func (t text) part(i int) part {
	if len(t.parts) == 0 {
		return part{}
	}
	return t.parts[t.partIndex(i)]
}

// partIndex returns the index of the part that byte i belongs to. Parts that begin at the
// same byte are empty but for the last.
func (t text) partIndex(i int) int {
	k, _ := slices.BinarySearchFunc(t.parts, i+1, func(p part, i int) int { return p.from - i })
	return max(k-1, 0)
}

// position returns the place in a file of byte i.
func (t text) position(i int) Position {
	p := t.part(i)
	if p.src == nil {
		return Position{}
	}
	at := p.at
	if !p.fixed {
		at += i - p.from
	}
	if p.node.Kind != yaml.ScalarNode || p.fixed && p.at == 0 {
		return p.src.node(p.node)
	}
	return p.src.inside(p.node, at)
}

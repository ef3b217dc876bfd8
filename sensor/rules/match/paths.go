package match

import "strings"

// Paths is a set of paths of which one must be a prefix of the tested path, component by
// component: /var matches /var and /var/log, not /variable. Empty components count for
// nothing, so / matches every path. A component with ?, * or [ is a pattern for that
// component.
type Paths struct{ root pathNode }

type pathNode struct {
	// end: a path of the set ends here, and so everything below matches.
	end   bool
	exact map[string]*pathNode
	globs []pathGlob
}

type pathGlob struct {
	pattern *Glob
	next    *pathNode
}

// NewPaths returns the set of the given paths.
func NewPaths(paths []string) *Paths {
	set := &Paths{}
	for _, path := range paths {
		n := &set.root
		for c, rest := component(path); c != "" && !n.end; c, rest = component(rest) {
			n = n.child(c)
		}
		n.end = true
	}
	return set
}

func (n *pathNode) child(c string) *pathNode {
	if strings.ContainsAny(c, "?*[") {
		for _, g := range n.globs {
			if g.pattern.pattern == c {
				return g.next
			}
		}
		g := pathGlob{NewGlob(c, false), &pathNode{}}
		n.globs = append(n.globs, g)
		return g.next
	}
	if n.exact[c] == nil {
		if n.exact == nil {
			n.exact = make(map[string]*pathNode)
		}
		n.exact[c] = &pathNode{}
	}
	return n.exact[c]
}

// component cuts the first component that is not empty off path; "" when there is none.
func component(path string) (c, rest string) {
	start := 0
	for start < len(path) && path[start] == '/' {
		start++
	}
	end := start
	for end < len(path) && path[end] != '/' {
		end++
	}
	return path[start:end], path[end:]
}

// Match says whether a path of the set is a prefix of path.
func (s *Paths) Match(path string) bool { return s.root.match(path) }

func (n *pathNode) match(path string) bool {
	if n.end {
		return true
	}
	c, rest := component(path)
	if c == "" {
		return false
	}
	if next := n.exact[c]; next != nil && next.match(rest) {
		return true
	}
	for _, g := range n.globs {
		if g.pattern.Match(c) && g.next.match(rest) {
			return true
		}
	}
	return false
}

// Package match holds the text matchers behind the operators of Falco rules: glob
// patterns, path prefixes by component, and sets of words, prefixes and suffixes.
//
// Matchers are built when rules are loaded, are then immutable, and do not allocate when
// they match. They compare bytes, as Falco does.
package match

import "strings"

// Glob is a shell pattern after fnmatch(3) without flags: * and ? match any byte, also a
// slash and a leading dot, [a-z], [!a-z] and [[:alpha:]] match one byte of a set, and a
// backslash takes the next byte literally. A pattern matches the whole of a text.
type Glob struct {
	pattern string
	fold    bool
	// prefix is what a match must begin with: the pattern up to its first special byte.
	prefix string
	// parts are what stands between stars when * is the only special byte in the pattern,
	// nil otherwise.
	parts []string
}

// NewGlob returns the pattern; fold makes it ignore the case of ASCII letters.
func NewGlob(pattern string, fold bool) *Glob {
	g := &Glob{pattern: pattern, fold: fold}
	if fold {
		return g
	}
	g.prefix = pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		g.prefix = pattern[:i]
	}
	if !strings.ContainsAny(pattern, `?[\`) {
		g.parts = strings.Split(pattern, "*")
	}
	return g
}

// Match says whether the whole of s matches. It takes at most len(s)·len(pattern) steps.
func (g *Glob) Match(s string) bool {
	if g.parts != nil {
		return matchParts(g.parts, s)
	}
	if !strings.HasPrefix(s, g.prefix) {
		return false
	}
	p, i := len(g.prefix), len(g.prefix)
	star, mark := -1, 0
	for i < len(s) {
		if p < len(g.pattern) && g.pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if next, ok := g.one(p, s[i]); ok {
			p, i = next, i+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(g.pattern) && g.pattern[p] == '*' {
		p++
	}
	return p == len(g.pattern)
}

// one matches the pattern's element at p against the byte c and returns where the next
// element begins.
func (g *Glob) one(p int, c byte) (int, bool) {
	if p >= len(g.pattern) {
		return p, false
	}
	switch g.pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		if end, ok, isClass := g.class(p, c); isClass {
			return end, ok
		}
	case '\\':
		if p+1 == len(g.pattern) {
			return p, false
		}
		p++
	}
	return p + 1, g.same(g.pattern[p], c)
}

func (g *Glob) same(a, b byte) bool { return a == b || g.fold && lower(a) == lower(b) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c &^ 0x20
	}
	return c
}

// class matches the bracket expression at p. isClass is false when it is never closed, and
// the bracket stands for itself.
func (g *Glob) class(p int, c byte) (end int, ok, isClass bool) {
	s := g.pattern
	i := p + 1
	negated := i < len(s) && (s[i] == '!' || s[i] == '^')
	if negated {
		i++
	}
	found := false
	for first := true; ; first = false {
		if i >= len(s) {
			return 0, false, false
		}
		if s[i] == ']' && !first {
			return i + 1, found != negated, true
		}
		if strings.HasPrefix(s[i:], "[:") {
			if n := strings.Index(s[i+2:], ":]"); n >= 0 {
				found = found || inClass(s[i+2:i+2+n], c) || g.fold && (inClass(s[i+2:i+2+n], lower(c)) || inClass(s[i+2:i+2+n], upper(c)))
				i += n + 4
				continue
			}
		}
		lo, next := classByte(s, i)
		hi := lo
		if next+1 < len(s) && s[next] == '-' && s[next+1] != ']' {
			hi, next = classByte(s, next+1)
		}
		if lo <= c && c <= hi || g.fold && (lo <= lower(c) && lower(c) <= hi || lo <= upper(c) && upper(c) <= hi) {
			found = true
		}
		i = next
	}
}

// classByte returns the byte that stands at i of a bracket expression, and what follows it.
func classByte(s string, i int) (byte, int) {
	if s[i] == '\\' && i+1 < len(s) {
		i++
	}
	return s[i], i + 1
}

func inClass(name string, c byte) bool {
	letter := lower(c) >= 'a' && lower(c) <= 'z'
	digit := c >= '0' && c <= '9'
	switch name {
	case "alpha":
		return letter
	case "digit":
		return digit
	case "alnum":
		return letter || digit
	case "lower":
		return c >= 'a' && c <= 'z'
	case "upper":
		return c >= 'A' && c <= 'Z'
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r'
	case "blank":
		return c == ' ' || c == '\t'
	case "punct":
		return c > ' ' && c < 0x7f && !letter && !digit
	case "print":
		return c >= ' ' && c < 0x7f
	case "graph":
		return c > ' ' && c < 0x7f
	case "cntrl":
		return c < ' ' || c == 0x7f
	case "xdigit":
		return digit || lower(c) >= 'a' && lower(c) <= 'f'
	}
	return false
}

// Wildcard says whether the whole of s matches a pattern in which * stands for any text and
// every other byte for itself.
func Wildcard(pattern, s string) bool {
	return matchParts(strings.Split(pattern, "*"), s)
}

// matchParts says whether s is parts with any text between them.
func matchParts(parts []string, s string) bool {
	if len(parts) == 1 {
		return parts[0] == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(s, first) || !strings.HasSuffix(s[len(first):], last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}

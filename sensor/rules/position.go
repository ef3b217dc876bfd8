package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Position is a place in a rules file. Line and Column count from 1, Column in characters;
// both are 0 when the whole file is meant. Offset is in bytes.
type Position struct {
	File   string
	Line   int
	Column int
	Offset int
}

// String returns file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// source is a file with the index of its lines.
type source struct {
	name    string
	content string
	// lines holds the offset of each line's first byte.
	lines []int
}

func newSource(name, content string) *source {
	s := &source{name: name, content: content, lines: []int{0}}
	for i := range len(content) {
		if content[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns the n-th line, counted from 1, without its end.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	text := s.content[s.lines[n-1]:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(text, "\r")
}

// offset returns the byte offset of a line and column, both counted from 1.
func (s *source) offset(line, column int) int {
	if line < 1 || line > len(s.lines) {
		return len(s.content)
	}
	text := s.line(line)
	i := 0
	for n := 1; n < column && i < len(text); n++ {
		_, size := utf8.DecodeRuneInString(text[i:])
		i += size
	}
	return s.lines[line-1] + i
}

// position returns where a byte offset is.
func (s *source) position(offset int) Position {
	offset = min(max(offset, 0), len(s.content))
	lo, hi := 0, len(s.lines)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s.lines[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	column := utf8.RuneCountInString(s.content[s.lines[lo]:offset]) + 1
	return Position{File: s.name, Line: lo + 1, Column: column, Offset: offset}
}

// node returns where a YAML node begins.
func (s *source) node(n *yaml.Node) Position {
	if n == nil || n.Line == 0 {
		return Position{File: s.name}
	}
	return s.position(s.offset(n.Line, n.Column))
}

// inside returns where the byte at index i of a scalar's value stands in the file. YAML
// folds lines, strips indentation and resolves escapes; the characters that are not blank
// keep their order, so they are followed one by one from the scalar's start.
func (s *source) inside(n *yaml.Node, i int) Position {
	at := s.offset(n.Line, n.Column)
	switch n.Style &^ (yaml.TaggedStyle | yaml.FlowStyle) {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		if nl := strings.IndexByte(s.content[at:], '\n'); nl >= 0 {
			at += nl + 1
		}
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		at++
	}
	i = min(max(i, 0), len(n.Value))
	for k := range i {
		if blank(n.Value[k]) {
			continue
		}
		next := at
		for next < len(s.content) && s.content[next] != n.Value[k] {
			next++
		}
		if next == len(s.content) {
			break
		}
		at = next + 1
	}
	if i < len(n.Value) && !blank(n.Value[i]) {
		for at < len(s.content) && blank(s.content[at]) {
			at++
		}
	}
	return s.position(at)
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

package migrate

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// commentPrefix begins every comment that is added.
const commentPrefix = "# Saker: "

// render writes the result and says which line of the file each of its lines comes from: the text as it was with some lines changed, where that is
// possible, so that nothing else moves. Otherwise, as for JSON and for what stands between
// braces, the whole tree is written anew. Both must mean the same as the changed tree.
func (w *walk) render(text []byte, document *yaml.Node) ([]byte, map[int]int, error) {
	edited, ok := w.editLines(string(text))
	if ok && !w.isJSON() {
		plain := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{w.apply(document.Content[0], false)}}
		if lines, same := compare([]byte(edited), plain); same {
			return []byte(edited), lines, nil
		}
	}
	for _, comments := range []bool{true, false} {
		tree := *document
		tree.Content = []*yaml.Node{w.apply(document.Content[0], comments)}
		tidy(&tree, comments)
		var out bytes.Buffer
		enc := yaml.NewEncoder(&out)
		enc.SetIndent(2)
		if err := enc.Encode(&tree); err != nil {
			return nil, nil, err
		}
		if lines, same := compare(out.Bytes(), &tree); same {
			return out.Bytes(), lines, nil
		}
	}
	return nil, nil, errors.New("write the result: the file cannot be written in another form; simplify its quotes, anchors and comments")
}

// editLines changes the lines of the text. It returns false where that cannot be done.
func (w *walk) editLines(text string) (string, bool) {
	e := editor{lines: strings.Split(text, "\n"), above: map[int][]string{}, below: map[int][]string{}, out: map[int]int{}}
	for _, x := range w.entries {
		if !e.entry(x) {
			return "", false
		}
	}
	for n, value := range w.values {
		if w.isDropped(n, e.out) {
			continue
		}
		e.replace(n, quoted(value))
	}
	return e.text()
}

// isDropped reports whether a node stands in lines that become comments.
func (w *walk) isDropped(n *yaml.Node, out map[int]int) bool {
	_, is := out[n.Line-1]
	return is
}

// editor changes the lines of a text. Lines count from 0.
type editor struct {
	lines []string
	// above and below are new lines.
	above, below map[int][]string
	// out are the lines that become comments, with the column of the sign.
	out    map[int]int
	tokens []token
	failed bool
}

// token is a word in a line to replace, at offset start.
type token struct {
	line, start, end int
	text             string
}

// entry notes what is to be done about one entry.
func (e *editor) entry(x *entry) bool {
	line := x.key.Line - 1
	if line < 0 || line >= len(e.lines) {
		return false
	}
	indent := e.lines[line][:len(e.lines[line])-len(strings.TrimLeft(e.lines[line], " "))]
	for _, c := range x.comments {
		e.above[line] = append(e.above[line], indent+commentPrefix+oneLine(c))
	}
	if !x.drop {
		if x.rename != "" {
			e.replace(x.key, x.rename)
		}
		return true
	}
	if x.flow || len(indent) != x.key.Column-1 {
		return false
	}
	last := e.end(x, len(indent))
	for i := line; i <= last; i++ {
		e.out[i] = len(indent)
	}
	if x.instead != "" {
		e.below[last] = append(e.below[last], indent+name(x)+": "+quoted(x.instead))
	}
	return true
}

// name is the name of an entry in the result.
func name(x *entry) string { return cmp.Or(x.rename, x.key.Value) }

// end returns the last line of a block entry.
func (e *editor) end(x *entry, indent int) int {
	last := min(max(x.key.Line, lastLine(x.value))-1, len(e.lines)-1)
	for i := last + 1; i < len(e.lines); i++ {
		body := strings.TrimLeft(e.lines[i], " ")
		if strings.TrimSpace(body) == "" {
			continue
		}
		if len(e.lines[i])-len(body) <= indent {
			break
		}
		last = i
	}
	return last
}

func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// replace changes a scalar that stands in one line.
func (e *editor) replace(n *yaml.Node, text string) {
	if n.Line < 1 || n.Line > len(e.lines) {
		e.failed = true
		return
	}
	line := e.lines[n.Line-1]
	start := 0
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(line[start:])
		start += size
	}
	end := start + scalarLength(line[start:], n)
	e.failed = e.failed || end == start
	e.tokens = append(e.tokens, token{n.Line - 1, start, end, text})
}

// scalarLength is how long a scalar is that begins a text, 0 if it does not end there.
func scalarLength(text string, n *yaml.Node) int {
	var quote byte
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0 && strings.HasPrefix(text, `"`):
		quote = '"'
	case n.Style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(text, `'`):
		quote = '\''
	case n.Style == 0 && strings.HasPrefix(text, n.Value):
		return len(n.Value)
	default:
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\', quote == '\'' && strings.HasPrefix(text[i:], "''"):
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return 0
}

// text puts the lines together.
func (e *editor) text() (string, bool) {
	// From right to left, so that places stay what they are.
	slices.SortFunc(e.tokens, func(a, b token) int { return cmp.Or(cmp.Compare(b.line, a.line), cmp.Compare(b.start, a.start)) })
	for _, t := range e.tokens {
		if line := e.lines[t.line]; t.end <= len(line) {
			e.lines[t.line] = line[:t.start] + t.text + line[t.end:]
		}
	}
	var out []string
	for i, line := range e.lines {
		if column, is := e.out[i]; is && strings.TrimSpace(line) != "" {
			column = min(column, len(line)-len(strings.TrimLeft(line, " ")))
			line = line[:column] + "# " + line[column:]
		}
		out = append(out, e.above[i]...)
		out = append(out, line)
		out = append(out, e.below[i]...)
	}
	return strings.Join(out, "\n"), !e.failed
}

// apply returns the changed tree. With comments, it has those that editLines would write.
func (w *walk) apply(n *yaml.Node, comments bool) *yaml.Node {
	c := *n
	if value, changed := w.values[n]; changed {
		c.Kind, c.Tag, c.Value, c.Style, c.Content = yaml.ScalarNode, "!!str", value, yaml.DoubleQuotedStyle, nil
		return &c
	}
	c.Content = nil
	if n.Kind != yaml.MappingNode {
		for _, item := range n.Content {
			c.Content = append(c.Content, w.apply(item, comments))
		}
		return &c
	}
	var waiting []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := *n.Content[i], n.Content[i+1]
		e := w.byKey[n.Content[i]]
		if e == nil {
			e = &entry{key: &key, value: value}
		}
		for _, text := range e.comments {
			waiting = append(waiting, commentPrefix+oneLine(text))
		}
		if e.drop {
			waiting = append(waiting, commented(e)...)
		}
		if e.drop && e.instead == "" {
			continue
		}
		key.Value = name(e)
		if e.drop {
			value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: e.instead, Style: yaml.DoubleQuotedStyle, Line: value.Line}
		} else {
			value = w.apply(value, comments)
		}
		if comments && value.Kind != yaml.ScalarNode && value.LineComment != "" {
			// A section has no place beside it.
			waiting = append(waiting, value.LineComment)
			value.LineComment = ""
		}
		if comments {
			key.HeadComment = strings.Join(nonEmpty(append([]string{key.HeadComment}, waiting...)), "\n")
			waiting = nil
		}
		c.Content = append(c.Content, &key, value)
	}
	if comments && len(waiting) > 0 && len(c.Content) > 0 {
		last := c.Content[len(c.Content)-2]
		last.FootComment = strings.Join(nonEmpty(append([]string{last.FootComment}, waiting...)), "\n")
	} else if comments {
		c.HeadComment = strings.Join(nonEmpty(append([]string{c.HeadComment}, waiting...)), "\n")
	}
	return &c
}

func nonEmpty(lines []string) []string {
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

// commented is an entry as comments.
func commented(e *entry) []string {
	text, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{e.key, e.value}})
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := range lines {
		lines[i] = "# " + lines[i]
	}
	return lines
}

// tidy makes blocks of what stands between braces, and may drop all comments.
func tidy(n *yaml.Node, comments bool) {
	n.Style &^= yaml.FlowStyle
	if !comments {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	}
	for _, c := range n.Content {
		tidy(c, comments)
	}
}

// compare reads text and reports whether it means what tree does, and which line of tree each
// line of text comes from.
func compare(text []byte, tree *yaml.Node) (lines map[int]int, same bool) {
	lines = map[int]int{}
	document, err := parse(text)
	if err != nil {
		return nil, false
	}
	if document == nil {
		return lines, len(tree.Content[0].Content) == 0
	}
	return lines, equal(document.Content[0], tree.Content[0], lines)
}

func equal(a, b *yaml.Node, lines map[int]int) bool {
	// What a section holds goes first: the section begins where its first key does, which
	// may be in the comments now.
	defer func() {
		if _, known := lines[a.Line]; !known {
			lines[a.Line] = b.Line
		}
	}()
	if isNull(a) && b.Kind == yaml.MappingNode && len(b.Content) == 0 {
		return true // all keys of the section have become comments
	}
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || a.Value != b.Value || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !equal(a.Content[i], b.Content[i], lines) {
			return false
		}
	}
	return true
}

// quoted is a text in double quotes.
func quoted(s string) string {
	text, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle})
	if err != nil {
		return `""`
	}
	return strings.TrimRight(string(text), "\n")
}

// oneLine keeps what the file says from ending a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

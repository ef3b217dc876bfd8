package silence

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
)

// Matcher compares one part of an event with a value.
//
// A part that the event doesn't have counts as empty, as it does in Alertmanager: "" equals
// it, ".*" matches it, and != with any other value holds for it. A field is compared by its
// text, null as the empty one. = and =~ of tag hold where one of the tags does as they say,
// != and !~ where none does what they deny.
type Matcher struct {
	// Name is rule, priority, source, hostname, output, tag, or the name of an output
	// field.
	Name string `json:"name"`
	// Op is =, !=, =~ or !~; the latter two take an RE2 expression for the whole value, as
	// Alertmanager does.
	Op string `json:"op"`
	// Value is compared exactly; that of priority is a priority's name in any case, or an
	// expression for names such as Warning.
	Value string `json:"value"`
}

// ops are the operators; a longer one stands before one that it begins with.
var ops = []string{"=~", "!~", "!=", "="}

// String returns the matcher in the form that ParseMatcher reads.
func (m Matcher) String() string { return m.Name + m.Op + strconv.Quote(m.Value) }

// ParseMatcher reads the text form of a matcher: a name, an operator and a value, which
// may stand in double quotes, with Go's escapes, or without:
//
//	rule="Terminal shell in container"
//	k8s.ns.name=~"dev-.*"
//	hostname!=db-1
//
// A name that has an operator's character in it can't be written that way. The error names
// the place of the mistake, counting characters from 1.
func ParseMatcher(text string) (Matcher, error) {
	at := strings.IndexAny(text, "=!~")
	if at < 0 {
		return Matcher{}, fmt.Errorf("%s: there must be an operator, one of = != =~ !~, as in rule=\"Terminal shell in container\"", shown(text))
	}
	place := utf8.RuneCountInString(text[:at]) + 1
	op := ""
	for _, o := range ops {
		if strings.HasPrefix(text[at:], o) {
			op = o
			break
		}
	}
	if op == "" {
		return Matcher{}, fmt.Errorf("%s: character %d: the operator must be one of = != =~ !~", shown(text), place)
	}
	m := Matcher{Name: strings.TrimSpace(text[:at]), Op: op}
	rest := text[at+len(op):]
	value := strings.TrimSpace(rest)
	place += len(op) + utf8.RuneCountInString(rest[:len(rest)-len(strings.TrimLeft(rest, " \t"))])
	if m.Name == "" {
		return Matcher{}, fmt.Errorf("%s: there must be a name before the operator", shown(text))
	}
	if !strings.HasPrefix(value, `"`) {
		if strings.HasPrefix(value, "=") {
			return Matcher{}, fmt.Errorf("%s: character %d: a single = compares; a value that begins with = stands in quotes", shown(text), place)
		}
		m.Value = value
	} else {
		unquoted, err := strconv.Unquote(value)
		if err != nil {
			return Matcher{}, fmt.Errorf("%s: character %d: the quoted value must end with a quote and have valid escapes", shown(text), place)
		}
		m.Value = unquoted
	}
	if _, err := compile(m); err != nil {
		return Matcher{}, fmt.Errorf("%s: %w", shown(text), err)
	}
	return m, nil
}

// shown quotes what was written, but not more than fits a line.
func shown(text string) string {
	const most = 80
	if len(text) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:most], ""))
	}
	return strconv.Quote(text)
}

// part is the part of an event that a matcher looks at.
type part uint8

const (
	rulePart part = iota
	hostnamePart
	fieldPart
	tagPart
	sourcePart
	priorityPart
	outputPart
)

var parts = map[string]part{
	"rule": rulePart, "hostname": hostnamePart, "tag": tagPart, "source": sourcePart,
	"priority": priorityPart, "output": outputPart,
}

// A matcher is a Matcher in the form that is quick to ask.
type matcher struct {
	part part
	// name is the field's.
	name  string
	value string
	// pattern is nil where the value is compared exactly.
	pattern *regexp.Regexp
	negated bool
}

func compile(m Matcher) (matcher, error) {
	c := matcher{value: m.Value, name: m.Name, negated: strings.HasPrefix(m.Op, "!")}
	switch {
	case m.Name == "":
		return c, errors.New("there must be a name")
	case len(m.Name) > MaxName || !utf8.ValidString(m.Name):
		return c, fmt.Errorf("the name must be text of at most %d bytes", MaxName)
	case strings.ContainsAny(m.Name, "=!~\"") || strings.TrimSpace(m.Name) != m.Name:
		return c, errors.New("the name must not hold =, !, ~ or quotes, nor spaces around it")
	case !slices.Contains(ops, m.Op):
		return c, fmt.Errorf("the operator must be one of = != =~ !~, not %q", m.Op)
	case len(m.Value) > MaxValue || !utf8.ValidString(m.Value):
		return c, fmt.Errorf("the value must be text of at most %d bytes", MaxValue)
	}
	var ok bool
	if c.part, ok = parts[m.Name]; !ok {
		c.part = fieldPart
	}
	if strings.HasSuffix(m.Op, "~") {
		pattern, err := compilePattern(m.Value)
		if err != nil {
			return c, err
		}
		c.pattern = pattern
		return c, nil
	}
	if c.part == priorityPart && m.Value != "" {
		p, ok := event.ParsePriority(m.Value)
		if !ok {
			return c, fmt.Errorf("%q is no priority: it is one of debug, informational, notice, warning, error, critical, alert, emergency", m.Value)
		}
		c.value = p.String()
	}
	return c, nil
}

// maxProgram is the most instructions of a regular expression: a short one can ask for
// very many by counting.
const maxProgram = 1000

// compilePattern compiles an expression for the whole of a text, in which a dot stands for
// any character, line ends included.
func compilePattern(text string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the value is no regular expression: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("the value is no regular expression: %w", err)
	}
	if len(program.Inst) > maxProgram {
		return nil, errors.New("the regular expression is too large")
	}
	return regexp.Compile("^(?s:" + text + ")$")
}

// everything reports whether the matcher says nothing about an event: it holds for one that
// lacks the part that it looks at, or for any text whatsoever.
func (c *matcher) everything() bool {
	if c.holds("") != c.negated {
		return true
	}
	for _, probe := range []string{"x", "Warning", "a b\tc\nd", "0123456789", "ⓐ"} {
		if c.holds(probe) == c.negated {
			return false
		}
	}
	return c.part == rulePart || c.part == priorityPart
}

// matches reports whether the matcher holds for e.
func (c *matcher) matches(e *event.Event) bool {
	if c.part == tagPart {
		return c.anyTag(e.Tags) != c.negated
	}
	return c.holds(c.of(e)) != c.negated
}

// of returns the text of the part of e that the matcher looks at, which is not tag.
func (c *matcher) of(e *event.Event) string {
	switch c.part {
	case rulePart:
		return e.Rule
	case hostnamePart:
		return e.Hostname
	case sourcePart:
		return e.Source
	case priorityPart:
		return e.Priority.String()
	case outputPart:
		return e.Output
	}
	v, _ := e.Field(c.name)
	if v.Kind() == event.Null {
		return ""
	}
	return v.Text()
}

func (c *matcher) anyTag(tags []string) bool {
	if len(tags) == 0 {
		return c.holds("")
	}
	return slices.ContainsFunc(tags, c.holds)
}

func (c *matcher) holds(text string) bool {
	if c.pattern != nil {
		return c.pattern.MatchString(text)
	}
	return text == c.value
}

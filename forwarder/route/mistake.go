package route

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/operators"
)

// CompileError says what keeps a text from being an expression.
type CompileError struct {
	// Text is the expression.
	Text string
	// Mistakes has at least one entry, in the order of the text.
	Mistakes []Mistake
}

// Mistake is one thing that is wrong with an expression.
type Mistake struct {
	// Line and Column count from 1, Column in characters; 0 when the whole is meant.
	Line, Column int
	// Message says what is wrong and what would be right.
	Message string
}

// maxMistakes is how many mistakes one error shows: what follows is mostly due to them.
const maxMistakes = 5

// Error shows each mistake, with the line it is in and a caret below its place:
//
//	column 1: there is no hostnam (did you mean hostname?)
//	    hostnam == "db-1"
//	    ^
func (e *CompileError) Error() string {
	var b strings.Builder
	lines := strings.Split(e.Text, "\n")
	for i, m := range e.Mistakes {
		if i > 0 {
			b.WriteString("\n  ")
		}
		if m.Column > 0 && len(lines) > 1 {
			fmt.Fprintf(&b, "line %d, ", m.Line)
		}
		if m.Column > 0 {
			fmt.Fprintf(&b, "column %d: ", m.Column)
		}
		b.WriteString(m.Message)
		if m.Column > 0 && m.Line <= len(lines) {
			snippet(&b, lines[m.Line-1], m.Column-1)
		}
	}
	return b.String()
}

// snippet writes the part of a line around a column, which counts characters from 0, and a
// caret below it.
func snippet(b *strings.Builder, line string, column int) {
	const before, width = 60, 100
	runes := []rune(strings.TrimRight(line, "\r"))
	column = min(column, len(runes))
	start := 0
	if len(runes) > width {
		start = max(0, column-before)
	}
	runes = runes[start:min(len(runes), start+width)]
	for i, r := range runes {
		if r < ' ' || r == utf8.RuneError {
			runes[i] = ' '
		}
	}
	fmt.Fprintf(b, "\n    %s\n    %*s^", string(runes), column-start, "")
}

// compileError makes a CompileError of what the parser or the checker found.
func compileError(text string, found []*common.Error) *CompileError {
	e := &CompileError{Text: text}
	for _, f := range found {
		m := Mistake{f.Location.Line(), max(f.Location.Column(), 0) + 1, f.Message}
		if m.Line < 1 {
			m.Line, m.Column = 0, 0
		}
		m = reword(text, m)
		// One slip of the pen makes the parser stumble several times, and a loop that is
		// none leaves its variable unknown.
		if n := len(e.Mistakes); n > 0 && (strings.HasPrefix(f.Message, "Syntax error") || strings.Contains(e.Mistakes[n-1].Message, "is written as in")) {
			break
		}
		if e.Mistakes = append(e.Mistakes, m); len(e.Mistakes) == maxMistakes {
			break
		}
	}
	return e
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(did you mean '([^']*)'\?\))?`)
	noOverload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	badToken   = regexp.MustCompile(`^token recognition error at: '(.*)'$`)
	badInput   = regexp.MustCompile(`^(?:mismatched|extraneous) input '(.*?)' expecting `)
)

// reword says in plain words what the language's own messages say.
func reword(text string, m Mistake) Mistake {
	if syntax, ok := strings.CutPrefix(m.Message, "Syntax error: "); ok {
		m.Message = syntaxMessage(syntax)
		return m
	}
	if f := undeclared.FindStringSubmatch(m.Message); f != nil {
		// The checker points at the bracket of a call; the name stands before it.
		if at := strings.TrimRight(before(text, m), " "); strings.HasSuffix(at, f[1]) {
			m.Column = utf8.RuneCountInString(strings.TrimSuffix(at, f[1])) + 1
		}
		m.Message = undeclaredMessage(f[1], f[2], after(text, m))
		return m
	}
	if f := noOverload.FindStringSubmatch(m.Message); f != nil {
		m.Message = overloadMessage(f[1], f[2])
	} else if plain, ok := plainMessages[m.Message]; ok {
		m.Message = plain
	} else if strings.HasPrefix(m.Message, "regex program size") {
		m.Message = "the regular expression is too large"
	} else if strings.HasPrefix(m.Message, "expression node count") {
		m.Message = fmt.Sprintf("must not have more than %d parts", maxNodes)
	} else if strings.HasPrefix(m.Message, "expression recursion limit exceeded") {
		m.Message = fmt.Sprintf("must not have more than %d brackets within one another", maxNesting)
	}
	return m
}

var plainMessages = map[string]string{
	"comprehension exceeds nesting limit": "there must not be more than two loops within one another",
	"invalid timestamp argument":          "a timestamp is written as 2026-01-31T15:04:05Z",
	"invalid duration argument":           "a duration is written as 1h30m",
}

// dotted is a name with dots, as output fields have.
var dotted = regexp.MustCompile(`^[A-Za-z_]\w*(?:\[\w*\])?(?:\.\w+(?:\[\w*\])?)+`)

// undeclaredMessage says what to write for a name that doesn't exist; guess is the
// checker's, rest the line from the name on.
func undeclaredMessage(name, guess, rest string) string {
	if word, ok := wordOperators[name]; ok {
		return fmt.Sprintf("write %s in the place of %s", word, name)
	}
	if example, ok := macros[name]; ok {
		return fmt.Sprintf("%s is written as in %s", name, example)
	}
	if near := nearest(name, guess); near != "" {
		return fmt.Sprintf("there is no %s (did you mean %s?)", name, near)
	}
	if field := fieldName(rest); field != "" {
		return fmt.Sprintf("there is no %s: an output field is written as fields[%q]", name, field)
	}
	return "there is no " + name
}

// macros look like functions, but exist only with the right number of arguments.
var macros = map[string]string{
	"field":      `field("k8s.ns.name")`,
	"has_tag":    `has_tag("container")`,
	"exists":     `tags.exists(t, t == "x")`,
	"exists_one": `tags.exists_one(t, t == "x")`,
	"all":        `tags.all(t, t != "x")`,
	"filter":     `tags.filter(t, t != "x")`,
	"map":        `tags.map(t, t + "x")`,
	"has":        `has(fields.cluster)`,
}

// fieldName returns the name of an output field that text begins with, without a function
// that is called of it; "" if there is none.
func fieldName(text string) string {
	name := dotted.FindString(text)
	if strings.HasPrefix(text[len(name):], "(") {
		name = name[:strings.LastIndexByte(name, '.')]
	}
	if !strings.Contains(name, ".") {
		return ""
	}
	return name
}

// before returns what stands before a mistake in its line.
func before(text string, m Mistake) string {
	lines := strings.Split(text, "\n")
	if m.Line < 1 || m.Line > len(lines) {
		return ""
	}
	runes := []rune(lines[m.Line-1])
	return string(runes[:min(max(m.Column-1, 0), len(runes))])
}

// after returns the line of a mistake from its place on.
func after(text string, m Mistake) string {
	line := strings.Split(text, "\n")[min(m.Line-1, strings.Count(text, "\n"))]
	return strings.TrimPrefix(line, before(text, m))
}

// wordOperators are words that other languages have for our operators.
var wordOperators = map[string]string{
	"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!",
	"contains": `text.contains("part")`, "startswith": `text.startsWith("start")`,
}

func syntaxMessage(syntax string) string {
	if f := badToken.FindStringSubmatch(syntax); f != nil {
		switch token := f[1]; {
		case strings.HasPrefix(token, "="):
			return "write == to compare"
		case strings.HasPrefix(token, `"`), strings.HasPrefix(token, "'"):
			return "the string has no end"
		case strings.HasPrefix(token, "&"), strings.HasPrefix(token, "|"):
			return "write && for and, || for or"
		default:
			return fmt.Sprintf("%q is not understood here", token)
		}
	}
	if f := badInput.FindStringSubmatch(syntax); f != nil {
		if word, ok := wordOperators[f[1]]; ok {
			return fmt.Sprintf("write %s in the place of %s", word, f[1])
		}
		if f[1] == "<EOF>" {
			return "the expression ends too early"
		}
		return fmt.Sprintf("%s is not expected here", f[1])
	}
	return strings.ReplaceAll(syntax, "'<EOF>'", "the end")
}

func overloadMessage(function, signature string) string {
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		if a, b, ok := strings.Cut(strings.Trim(signature, "()"), ", "); ok {
			return fmt.Sprintf("%s does not take %s and %s", symbol, typeName(a), typeName(b))
		}
		return fmt.Sprintf("%s does not take %s", symbol, typeName(strings.Trim(signature, "()")))
	}
	if function == operators.Index {
		return `a field is named by a string, as in fields["k8s.ns.name"], and a place in a list by a number`
	}
	if function == tagFunction {
		return "has_tag takes the name of a tag, a string"
	}
	if function == fieldFunction {
		return "field takes the name of a field, a string"
	}
	if strings.HasSuffix(signature, "()") {
		return function + " needs a value in its brackets"
	}
	if target, args, ok := strings.Cut(signature, ".("); ok {
		return fmt.Sprintf("%s of %s does not take (%s", function, typeName(target), args)
	}
	return fmt.Sprintf("%s does not take %s", function, signature)
}

// typeName returns the name of a type as people say it.
func typeName(t string) string {
	switch t {
	case "bool":
		return "true or false"
	case "int":
		return "an int"
	case "uint", "double", "string":
		return "a " + t
	case "google.protobuf.Timestamp", "timestamp":
		return "a timestamp"
	case "google.protobuf.Duration", "duration":
		return "a duration"
	case "null_type":
		return "null"
	}
	if strings.HasPrefix(t, "list") {
		return "a list"
	}
	if strings.HasPrefix(t, "map") {
		return "a map"
	}
	return t
}

// nearest returns the name that word may have been meant to be: the checker's own guess, or
// one that differs only in the case of its letters.
func nearest(word, guess string) string {
	for _, v := range variables {
		if strings.EqualFold(v.name, word) {
			return v.name
		}
	}
	for _, p := range priorities {
		if strings.EqualFold(p.name, word) {
			return p.name
		}
	}
	return guess
}

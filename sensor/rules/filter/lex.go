package filter

import (
	"fmt"
	"strings"
)

// SyntaxError is a mistake in the text at byte Offset.
type SyntaxError struct {
	Offset int
	Msg    string
}

// Error returns the message without the place: whoever prints it knows the file.
func (e *SyntaxError) Error() string { return e.Msg }

// parser reads text from off. Its lexing methods move off only when they succeed.
type parser struct {
	text  string
	off   int
	depth int
	// pairs has a string end at a quote behind an escaped backslash.
	pairs bool
}

func (p *parser) errorf(off int, format string, args ...any) error {
	return &SyntaxError{Offset: off, Msg: fmt.Sprintf(format, args...)}
}

// rest shows what stands at the cursor in an error message.
func (p *parser) rest() string {
	if p.off >= len(p.text) {
		return "the end"
	}
	s := p.text[p.off:]
	if isSpace(s[0]) {
		return "a blank"
	}
	if i := strings.IndexAny(s, " \t\r\n"); i > 0 {
		s = s[:i]
	}
	if len(s) > 24 {
		s = s[:24] + "…"
	}
	return fmt.Sprintf("%q", s)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\b' || c == '\r' || c == '\n' }

// isSpace is the class [:space:], which ends words. It has \v and \f, which separate nothing.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

// at returns the byte i places after the cursor, 0 past the end.
func (p *parser) at(i int) byte {
	if p.off+i < len(p.text) {
		return p.text[p.off+i]
	}
	return 0
}

func (p *parser) blank() bool {
	start := p.off
	for p.off < len(p.text) && isBlank(p.text[p.off]) {
		p.off++
	}
	return p.off > start
}

func (p *parser) literal(s string) bool {
	if strings.HasPrefix(p.text[p.off:], s) {
		p.off += len(s)
		return true
	}
	return false
}

// word takes s when a blank follows, and the blank.
func (p *parser) word(s string) bool {
	start := p.off
	if p.literal(s) && p.blank() {
		return true
	}
	p.off = start
	return false
}

// identifierEnd returns the end of the identifier at offset i, i if there is none.
func identifierEnd(s string, i int) int {
	if i >= len(s) || !isLetter(s[i]) {
		return i
	}
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return i
}

func (p *parser) identifier() (string, bool) {
	end := identifierEnd(p.text, p.off)
	if end == p.off {
		return "", false
	}
	s := p.text[p.off:end]
	p.off = end
	return s, true
}

// fieldNameEnd returns the end of the longest dotted name at offset i, i if there is none.
func fieldNameEnd(s string, i int) int {
	end := identifierEnd(s, i)
	dots := 0
	for end > i && end < len(s) && s[end] == '.' {
		next := identifierEnd(s, end+1)
		if next == end+1 {
			break
		}
		end = next
		dots++
	}
	if dots == 0 {
		return i
	}
	return end
}

func (p *parser) fieldName() (string, bool) {
	end := fieldNameEnd(p.text, p.off)
	if end == p.off {
		return "", false
	}
	s := p.text[p.off:end]
	p.off = end
	return s, true
}

func (p *parser) run(in func(byte) bool) (string, bool) {
	start := p.off
	for p.off < len(p.text) && in(p.text[p.off]) {
		p.off++
	}
	return p.text[start:p.off], p.off > start
}

func isBare(c byte) bool {
	switch c {
	case '(', ')', '"', '\'', '=', ',', 0:
		return false
	}
	return !isSpace(c)
}

func isBareArg(c byte) bool {
	switch c {
	case '[', ']', '"', '\'', 0:
		return false
	}
	return !isSpace(c)
}

// number takes a decimal number, a fraction, an exponent with a sign, or a hexadecimal
// number. Which of them a field takes is for its type to say.
func (p *parser) number() (string, bool) {
	start := p.off
	if p.at(0) == '0' && p.at(1)|0x20 == 'x' && isHex(p.at(2)) {
		p.off += 2
		p.run(isHex)
		return p.text[start:p.off], true
	}
	if c := p.at(0); c == '+' || c == '-' {
		p.off++
	}
	if _, ok := p.run(isDigit); !ok {
		p.off = start
		return "", false
	}
	if p.at(0) == '.' {
		p.off++
	}
	p.run(isDigit)
	if c := p.at(1); p.at(0)|0x20 == 'e' && (c == '+' || c == '-') && isDigit(p.at(2)) {
		p.off += 2
		p.run(isDigit)
	}
	return p.text[start:p.off], true
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// quoted takes a quoted string and unescapes it. ok is false when no quote stands here.
func (p *parser) quoted() (s string, ok bool, err error) {
	quote := p.at(0)
	if quote != '"' && quote != '\'' {
		return "", false, nil
	}
	start := p.off
	end := start + 1
	escapes := false
	for end < len(p.text) && (p.text[end] != quote || !p.pairs && p.text[end-1] == '\\') {
		if p.text[end] == '\\' {
			escapes = true
			if p.pairs {
				end++
			}
		}
		end++
	}
	if end >= len(p.text) {
		return "", true, p.errorf(start, "the string that starts here has no closing %c", quote)
	}
	s = p.text[start+1 : end]
	if escapes {
		if s, err = p.unescape(start+1, end, quote); err != nil {
			return "", true, err
		}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return "", true, p.errorf(start, "a string must not contain a NUL byte")
	}
	p.off = end + 1
	return s, true, nil
}

// unescape resolves the escapes of text[from:to]. Backslash and blank is a backslash: old
// rules rely on it.
func (p *parser) unescape(from, to int, quote byte) (string, error) {
	var b strings.Builder
	b.Grow(to - from)
	for i := from; i < to; i++ {
		c := p.text[i]
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if i++; i == to {
			return "", p.errorf(i-1, "the backslash here escapes nothing")
		}
		switch c = p.text[i]; c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case ' ', '\\':
			b.WriteByte('\\')
		case '/', quote:
			b.WriteByte(c)
		default:
			return "", p.errorf(i-1, `invalid escape \%c in a string quoted with %c; write \\ for a backslash`, c, quote)
		}
	}
	return b.String(), nil
}

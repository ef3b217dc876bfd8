package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner reads JSON text strictly by RFC 8259, with what encoding/json makes of text
// that is not UTF-8 and of lone surrogates: U+FFFD. It stands before the next byte to read.
type scanner struct {
	data  []byte
	pos   int
	depth int
	// scratch holds text that isn't in data as it is needed: strings with escapes, and the
	// canonical form of objects and arrays.
	scratch []byte
}

// A span is a piece of the scanner's data or scratch.
type span struct {
	start, end int
	scratch    bool
}

func (s *scanner) bytes(p span) []byte {
	if p.scratch {
		return s.scratch[p.start:p.end]
	}
	return s.data[p.start:p.end]
}

func (p span) len() int { return p.end - p.start }

// space skips white space and returns the byte that follows, 0 at the end of the text.
func (s *scanner) space() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// enter steps into an object or array.
func (s *scanner) enter() error {
	s.pos++
	s.depth++
	if s.depth > MaxDepth {
		return fmt.Errorf("must not be nested deeper than %d levels", MaxDepth)
	}
	return nil
}

// next stands after an element of an object or array, or at its start, and reports whether
// another element follows. It steps over the comma or the closing bracket.
func (s *scanner) next(first bool, closing byte) (bool, error) {
	c := s.space()
	switch {
	case c == closing:
		s.pos++
		s.depth--
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, s.unexpected("a comma or " + strconv.QuoteRune(rune(closing)))
	}
	s.pos++
	s.space()
	return true, nil
}

// name reads a member's name and the colon, and stands before the value.
func (s *scanner) name() (span, error) {
	if s.space() != '"' {
		return span{}, s.unexpected("a member's name")
	}
	p, err := s.str()
	if err != nil {
		return span{}, err
	}
	if s.space() != ':' {
		return span{}, s.unexpected("a colon")
	}
	s.pos++
	s.space()
	return p, nil
}

// str reads the string that starts here.
func (s *scanner) str() (span, error) {
	start := s.pos + 1
	end := s.plain(start)
	if end < len(s.data) && s.data[end] == '"' {
		s.pos = end + 1
		return span{start: start, end: end}, nil
	}
	p := span{start: len(s.scratch), scratch: true}
	err := s.unescape(start, end)
	p.end = len(s.scratch)
	return p, err
}

// plain returns the place of the first byte at or after i that a string can't show as it
// is, or that ends the string.
func (s *scanner) plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	data := s.data
	for {
		for i+8 <= len(data) {
			w := binary.LittleEndian.Uint64(data[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			// The high bit of the lowest special byte is set, whatever is above it.
			special := (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash | w
			if special &= highs; special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		for i < len(data) && data[i] >= ' ' && data[i] != '"' && data[i] != '\\' && data[i] < utf8.RuneSelf {
			i++
		}
		if i == len(data) || data[i] < utf8.RuneSelf {
			return i
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
}

// unescape appends to scratch the string that starts at start and is plain up to i.
func (s *scanner) unescape(start, i int) error {
	for {
		s.scratch = append(s.scratch, s.data[start:i]...)
		s.pos = i
		switch {
		case i == len(s.data):
			return s.unexpected(`"`)
		case s.data[i] == '"':
			s.pos++
			return nil
		case s.data[i] < ' ':
			return s.unexpected("an escape instead of a control character")
		case s.data[i] >= utf8.RuneSelf:
			s.scratch = utf8.AppendRune(s.scratch, utf8.RuneError)
			i++
		default:
			n, err := s.escape(s.data[i:])
			if err != nil {
				return err
			}
			i += n
		}
		start, i = i, s.plain(i)
	}
}

// escape appends what the escape sequence at the start of text stands for and returns the
// length of the sequence.
func (s *scanner) escape(text []byte) (int, error) {
	if len(text) < 2 {
		s.pos++
		return 0, s.unexpected("an escape sequence")
	}
	if c := escaped[text[1]]; c != 0 {
		s.scratch = append(s.scratch, c)
		return 2, nil
	}
	r := codeUnit(text)
	if r < 0 {
		s.pos++
		return 0, s.unexpected("an escape sequence")
	}
	n := 6
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, codeUnit(text[6:])); pair != utf8.RuneError {
			r = pair
			n = 12
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return n, nil
}

var escaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// codeUnit returns the number in the \uXXXX at the start of text, -1 if there is none.
func codeUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range text[2:6] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// number reads the number that starts here.
func (s *scanner) number() (span, error) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return span{}, s.unexpected("a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return span{}, s.unexpected("a digit")
		}
	}
	if s.peek()|0x20 == 'e' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return span{}, s.unexpected("a digit")
		}
	}
	return span{start: start, end: s.pos}, nil
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// digits skips digits and reports whether there were any.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// literal reads true, false or null.
func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.unexpected("a value")
	}
	s.pos += len(word)
	return nil
}

// value reads any value. The span is a string's content, a number's text or the canonical
// text of an object or array.
func (s *scanner) value() (Kind, span, error) {
	switch c := s.peek(); c {
	case '"':
		p, err := s.str()
		return String, p, err
	case '{', '[':
		start := len(s.scratch)
		err := s.canonical()
		return Composite, span{start: start, end: len(s.scratch), scratch: true}, err
	case 't', 'f':
		start := s.pos
		word := "true"
		if c == 'f' {
			word = "false"
		}
		err := s.literal(word)
		return Bool, span{start: start, end: s.pos}, err
	case 'n':
		return Null, span{}, s.literal("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return Null, span{}, s.unexpected("a value")
		}
		p, err := s.number()
		return Number, p, err
	}
}

// canonical appends to scratch the value that starts here: no spaces, members sorted by
// name and the last of the same name, strings as AppendJSONString writes them.
func (s *scanner) canonical() error {
	switch c := s.peek(); c {
	case '{':
		return s.canonicalObject()
	case '[':
		return s.canonicalArray()
	case '"':
		at := len(s.scratch)
		p, err := s.str()
		if err != nil {
			return err
		}
		s.scratch = quoted(s.scratch, s.bytes(p), at)
		return nil
	default:
		start := s.pos
		if _, _, err := s.value(); err != nil {
			return err
		}
		s.scratch = append(s.scratch, s.data[start:s.pos]...)
		return nil
	}
}

// quoted appends text as a JSON string and moves it down to at, which drops what was
// there before: text itself, if it was in scratch.
func quoted(scratch, text []byte, at int) []byte {
	from := len(scratch)
	scratch = AppendJSONString(scratch, text)
	if from == at {
		return scratch
	}
	return append(scratch[:at], scratch[from:]...)
}

func (s *scanner) canonicalArray() error {
	if err := s.enter(); err != nil {
		return err
	}
	s.scratch = append(s.scratch, '[')
	for first := true; ; first = false {
		more, err := s.next(first, ']')
		if err != nil {
			return err
		}
		if !more {
			s.scratch = append(s.scratch, ']')
			return nil
		}
		if !first {
			s.scratch = append(s.scratch, ',')
		}
		if err := s.canonical(); err != nil {
			return err
		}
	}
}

// member is a member of an object in canonical form: its name, and where in scratch its
// text "name":value stands.
type member struct {
	name       string
	start, end int
}

func (s *scanner) canonicalObject() error {
	if err := s.enter(); err != nil {
		return err
	}
	s.scratch = append(s.scratch, '{')
	start := len(s.scratch)
	var members []member
	sorted := true
	for first := true; ; first = false {
		more, err := s.next(first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if !first {
			s.scratch = append(s.scratch, ',')
		}
		m := member{start: len(s.scratch)}
		p, err := s.name()
		if err != nil {
			return err
		}
		m.name = string(s.bytes(p))
		s.scratch = append(quoted(s.scratch, s.bytes(p), m.start), ':')
		if err := s.canonical(); err != nil {
			return err
		}
		m.end = len(s.scratch)
		sorted = sorted && (first || members[len(members)-1].name < m.name)
		members = append(members, m)
	}
	if !sorted {
		s.sortMembers(start, members)
	}
	s.scratch = append(s.scratch, '}')
	return nil
}

// sortMembers puts the members, whose text starts at start, in the order of their names
// and keeps the last of those with the same name.
func (s *scanner) sortMembers(start int, members []member) {
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	from := len(s.scratch)
	for i, m := range members {
		if i+1 < len(members) && members[i+1].name == m.name {
			continue
		}
		if len(s.scratch) > from {
			s.scratch = append(s.scratch, ',')
		}
		s.scratch = append(s.scratch, s.scratch[m.start:m.end]...)
	}
	s.scratch = append(s.scratch[:start], s.scratch[from:]...)
}

// skip reads a value that nobody needs.
func (s *scanner) skip() error {
	at := len(s.scratch)
	_, _, err := s.value()
	s.scratch = s.scratch[:at]
	return err
}

// unexpected says that something else than what was wanted stands here.
func (s *scanner) unexpected(wanted string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("the text ends at byte %d where %s should be", s.pos, wanted)
	}
	return fmt.Errorf("%s should be at byte %d, not %q", wanted, s.pos, s.data[s.pos])
}

// found names the type of the value that starts here.
func (s *scanner) found() string {
	switch c := s.peek(); {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 't', c == 'f':
		return "true or false"
	case c == 'n':
		return "null"
	case c == '-', '0' <= c && c <= '9':
		return "a number"
	}
	return ""
}

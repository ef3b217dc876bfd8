package document

import (
	"errors"
	"fmt"
	"math"
)

// MaxDepth is how deep objects and arrays may be nested.
const MaxDepth = 128

// The mistakes that are told apart.
var (
	// ErrDepth says that a text is nested deeper than MaxDepth.
	ErrDepth = fmt.Errorf("it is nested deeper than %d levels", MaxDepth)
	errEnd   = errors.New("it ends too early")
	errLong  = errors.New("it is too long")
)

// scanner walks through a JSON text and, when it has a doc, notes the places of values.
type scanner struct {
	text   string
	pos    int
	depth  int
	spaced bool
	doc    *Document
}

// whole scans a text that is one value.
func (s *scanner) whole() error {
	if len(s.text) > math.MaxUint32 {
		return errLong
	}
	if err := s.value(); err != nil {
		return err
	}
	s.blanks()
	if s.pos < len(s.text) {
		return s.unexpected()
	}
	return nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func (s *scanner) blanks() {
	for s.pos < len(s.text) && isBlank(s.text[s.pos]) {
		s.pos++
		s.spaced = true
	}
}

func (s *scanner) unexpected() error {
	if s.pos >= len(s.text) {
		return errEnd
	}
	return fmt.Errorf("unexpected %q at byte %d", s.text[s.pos], s.pos)
}

// value scans a value with the blanks before it.
func (s *scanner) value() error {
	s.blanks()
	if s.pos >= len(s.text) {
		return errEnd
	}
	switch c := s.text[s.pos]; {
	case c == '{':
		return s.nested(Object, '}')
	case c == '[':
		return s.nested(Array, ']')
	case c == '"':
		return s.quoted()
	case c == 't':
		return s.word("true", Bool)
	case c == 'f':
		return s.word("false", Bool)
	case c == 'n':
		return s.word("null", Null)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	return s.unexpected()
}

// note adds a value that ends here. It returns its place.
func (s *scanner) note(kind Kind, start int, escaped bool) {
	if s.doc != nil {
		at := len(s.doc.places)
		s.doc.places = append(s.doc.places, place{uint32(start), uint32(s.pos), uint32(at + 1), kind, escaped})
	}
}

// nested scans an object or array.
func (s *scanner) nested(kind Kind, closing byte) error {
	if s.depth++; s.depth > MaxDepth {
		return ErrDepth
	}
	start, at := s.pos, 0
	if s.doc != nil {
		at = len(s.doc.places)
		s.doc.places = append(s.doc.places, place{start: uint32(start), kind: kind})
	}
	s.pos++
	if err := s.inside(kind, closing); err != nil {
		return err
	}
	s.pos++
	s.depth--
	if s.doc != nil {
		s.doc.places[at].end, s.doc.places[at].next = uint32(s.pos), uint32(len(s.doc.places))
	}
	return nil
}

// inside scans what stands between the brackets, up to the closing one.
func (s *scanner) inside(kind Kind, closing byte) error {
	if s.blanks(); s.pos < len(s.text) && s.text[s.pos] == closing {
		return nil
	}
	for {
		if kind == Object {
			if err := s.key(); err != nil {
				return err
			}
		}
		if err := s.value(); err != nil {
			return err
		}
		s.blanks()
		switch {
		case s.pos < len(s.text) && s.text[s.pos] == closing:
			return nil
		case s.pos < len(s.text) && s.text[s.pos] == ',':
			s.pos++
		default:
			return s.unexpected()
		}
	}
}

// key scans a member's name with the colon behind it.
func (s *scanner) key() error {
	s.blanks()
	if s.pos >= len(s.text) || s.text[s.pos] != '"' {
		return s.unexpected()
	}
	if err := s.quoted(); err != nil {
		return err
	}
	s.blanks()
	if s.pos >= len(s.text) || s.text[s.pos] != ':' {
		return s.unexpected()
	}
	s.pos++
	return nil
}

func (s *scanner) quoted() error {
	start, escaped := s.pos, false
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			s.note(String, start, escaped)
			return nil
		case c < ' ':
			return s.unexpected()
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return errEnd
}

// escape moves from the backslash to the last byte of its escape.
func (s *scanner) escape() error {
	if s.pos++; s.pos >= len(s.text) {
		return errEnd
	}
	switch s.text[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			if s.pos++; s.pos >= len(s.text) || !isHex(s.text[s.pos]) {
				return s.unexpected()
			}
		}
		return nil
	}
	return s.unexpected()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *scanner) word(word string, kind Kind) error {
	start := s.pos
	for i := range len(word) {
		if s.pos >= len(s.text) || s.text[s.pos] != word[i] {
			return s.unexpected()
		}
		s.pos++
	}
	s.note(kind, start, false)
	return nil
}

func (s *scanner) number() error {
	start := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.text) && s.text[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return s.unexpected()
	}
	if s.pos < len(s.text) && s.text[s.pos] == '.' {
		if s.pos++; !s.digits() {
			return s.unexpected()
		}
	}
	if s.pos < len(s.text) && (s.text[s.pos] == 'e' || s.text[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.text) && (s.text[s.pos] == '+' || s.text[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return s.unexpected()
		}
	}
	s.note(Number, start, false)
	return nil
}

// digits moves past digits and says whether there were any.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

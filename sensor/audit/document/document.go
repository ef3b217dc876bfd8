// Package document reads one JSON text so that few of its values can be looked up cheaply.
//
// An audit event has some hundred values of which the rules ask for ten. So nothing is
// decoded: Parse checks the text once and notes where each value begins and ends, and what is
// asked for is cut out of the text.
//
//	text ──Parse──> places of all values ──Get, Pointer──> Node ──Text──> part of the text
//
// It stands below package audit, which knows what the values mean. A Document is used again
// for text after text, and then allocates nothing.
package document

import (
	"encoding/json"
	"iter"
	"strconv"
	"strings"
)

// Kind is the kind of a value.
type Kind uint8

// The kinds. None is that of a Node that does not exist.
const (
	None Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// place is where a value stands in the text. The places of what an array or object holds
// follow its own, in the text's order, up to next.
type place struct {
	start, end, next uint32
	kind             Kind
	// escaped says that a string has escapes.
	escaped bool
}

// Document is a JSON text. The zero Document is empty.
type Document struct {
	text   string
	places []place
	// spaced says that the text has blanks between its tokens.
	spaced bool
}

// keptPlaces is for how many values a Document keeps room between texts.
const keptPlaces = 1 << 14

// Parse takes text, in place of the one before. Nodes of that one are void. After an error
// the Document is empty.
func (d *Document) Parse(text string) error {
	if cap(d.places) > keptPlaces {
		d.places = nil
	}
	d.text, d.places, d.spaced = text, d.places[:0], false
	s := scanner{text: text, doc: d}
	if err := s.whole(); err != nil {
		d.Reset()
		return err
	}
	d.spaced = s.spaced
	return nil
}

// Reset empties the Document, so that it holds on to no text.
func (d *Document) Reset() { d.text, d.places = "", d.places[:0] }

// Text is the whole text.
func (d *Document) Text() string { return d.text }

// Root is the text's one value, and does not exist in an empty Document.
func (d *Document) Root() Node {
	if len(d.places) == 0 {
		return Node{}
	}
	return Node{d, 0}
}

// Node is a value of a Document, good until its next Parse. The zero Node does not exist;
// whatever is looked up in it does not exist either.
type Node struct {
	doc *Document
	at  uint32
}

// Exists says whether there is such a value. A null exists.
func (n Node) Exists() bool { return n.doc != nil }

// Kind is the value's kind.
func (n Node) Kind() Kind {
	if n.doc == nil {
		return None
	}
	return n.place().kind
}

func (n Node) place() *place { return &n.doc.places[n.at] }

// Raw is the value as the text has it.
func (n Node) Raw() string {
	if n.doc == nil {
		return ""
	}
	p := n.place()
	return n.doc.text[p.start:p.end]
}

// Text is what a string says, and other values as JSON without blanks.
func (n Node) Text() string {
	raw := n.Raw()
	switch kind := n.Kind(); {
	case kind == String:
		return unquote(raw, n.place().escaped)
	case (kind == Array || kind == Object) && n.doc.spaced:
		return compact(raw)
	}
	return raw
}

func unquote(raw string, escaped bool) string {
	if !escaped {
		return raw[1 : len(raw)-1]
	}
	var s string
	// The scanner has seen that it is a string, so that there is no error.
	_ = json.Unmarshal([]byte(raw), &s)
	return s
}

// compact drops the blanks between tokens.
func compact(raw string) string {
	b := make([]byte, 0, len(raw))
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inString && c == '\\':
			b = append(b, c, raw[i+1])
			i++
			continue
		case c == '"':
			inString = !inString
		case !inString && isBlank(c):
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// Get follows the keys through objects, and through arrays by number.
func (n Node) Get(keys ...string) Node {
	for _, key := range keys {
		n = n.step(key)
	}
	return n
}

func (n Node) step(key string) Node {
	switch n.Kind() {
	case Object:
		return n.member(key)
	case Array:
		if i, ok := index(key); ok {
			return n.Index(i)
		}
	}
	return Node{}
}

// index reads an array index: digits without a leading zero.
func index(key string) (int, bool) {
	if key == "" || len(key) > 1 && key[0] == '0' || key[0] < '0' || key[0] > '9' {
		return 0, false
	}
	i, err := strconv.Atoi(key)
	return i, err == nil
}

func (n Node) member(key string) Node {
	for name, value := range n.Members() {
		if name == key {
			return value
		}
	}
	return Node{}
}

// Index is the i-th element of an array, counted from 0.
func (n Node) Index(i int) Node {
	for element := range n.Elements() {
		if i == 0 {
			return element
		}
		i--
	}
	return Node{}
}

// Elements are those of an array, none of another value.
func (n Node) Elements() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.Kind() != Array {
			return
		}
		for i, end := n.at+1, n.place().next; i < end; i = n.doc.places[i].next {
			if !yield(Node{n.doc, i}) {
				return
			}
		}
	}
}

// Members are those of an object in the text's order, none of another value.
func (n Node) Members() iter.Seq2[string, Node] {
	return func(yield func(string, Node) bool) {
		if n.Kind() != Object {
			return
		}
		for i, end := n.at+1, n.place().next; i < end; i = n.doc.places[i+1].next {
			if !yield(Node{n.doc, i}.Text(), Node{n.doc, i + 1}) {
				return
			}
		}
	}
}

// Pointer looks up a JSON pointer (RFC 6901). The first slash may be missing.
func (n Node) Pointer(pointer string) Node {
	rest := strings.TrimPrefix(pointer, "/")
	for more := true; more && n.Exists(); {
		var key string
		key, rest, more = strings.Cut(rest, "/")
		if strings.Contains(key, "~") {
			key = pointerEscapes.Replace(key)
		}
		n = n.step(key)
	}
	return n
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

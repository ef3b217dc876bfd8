package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/saker-security/saker/event"
)

// A chunk is one message of the log: one or more events that were stored together. It is
// the events' JSON texts, a line each, and behind them a trailer that says what is needed
// to find a place in the log, to filter and to count without reading the texts:
//
//	uvarint  sequence of the first event
//	varint   time it was stored, in Unix nanoseconds
//	uvarint  for each class, the events of it in all chunks before
//	string   the output that the events are for, empty for all outputs
//	string   the call that stored them, empty if there is no output
//	uvarint  number of events
//	bytes    the class of each event, or, with an output, uvarints: its place in the call
//	uint32   length of the trailer up to here, big-endian
//	byte     version
//
// A string is its length as uvarint and its bytes.
type chunk struct {
	message uint64 // its place in the stream
	first   uint64
	stored  time.Time
	before  counts
	output  string
	call    string
	classes []byte
	places  []uint32
	text    []byte
	// damaged says why the chunk cannot be read; text is then all of it, and of the rest
	// only message is known.
	damaged error
}

const (
	chunkVersion = 1
	// trailerEnd is what follows the trailer's fields.
	trailerEnd = 4 + 1
	// maxEvents is the most events of a chunk.
	maxEvents = 1 << 16
)

// last is the sequence of the last event.
func (c *chunk) last() uint64 { return c.first + uint64(c.len()) - 1 }

func (c *chunk) len() int { return len(c.classes) }

// after are the counts behind the chunk.
func (c *chunk) after() counts {
	n := c.before
	for _, class := range c.classes {
		n.add(class)
	}
	return n
}

// appendTrailer appends the trailer of c to its text.
func (c *chunk) appendTrailer(dst []byte) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(dst, c.first)
	dst = binary.AppendVarint(dst, c.stored.UnixNano())
	for _, n := range c.before {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = appendString(dst, c.output)
	dst = appendString(dst, c.call)
	dst = binary.AppendUvarint(dst, uint64(len(c.classes)))
	if c.output == "" {
		dst = append(dst, c.classes...)
	} else {
		for _, place := range c.places {
			dst = binary.AppendUvarint(dst, uint64(place))
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(dst)-start))
	return append(dst, chunkVersion)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// decodeChunk reads a chunk; its text is a part of data.
func decodeChunk(data []byte) (*chunk, error) {
	if len(data) < trailerEnd {
		return nil, errors.New("the chunk is too short")
	}
	if v := data[len(data)-1]; v != chunkVersion {
		return nil, fmt.Errorf("the chunk has the unknown version %d", v)
	}
	end := len(data) - trailerEnd
	size := int(binary.BigEndian.Uint32(data[end:]))
	if size > end {
		return nil, errors.New("the chunk's trailer is longer than the chunk")
	}
	c := &chunk{text: data[: end-size : end-size]}
	d := fields{rest: data[end-size : end]}
	c.first = d.uvarint()
	c.stored = time.Unix(0, d.varint())
	for i := range c.before {
		c.before[i] = d.uvarint()
	}
	c.output, c.call = d.string(), d.string()
	n := d.uvarint()
	if n == 0 || n > maxEvents {
		return nil, fmt.Errorf("the chunk has %d events", n)
	}
	c.decodeClasses(&d, int(n))
	switch {
	case d.bad || len(d.rest) > 0:
		return nil, errors.New("the chunk's trailer is damaged")
	case c.first == 0 || c.first+n < c.first:
		return nil, fmt.Errorf("the chunk starts with the sequence %d", c.first)
	case bytes.Count(c.text, newline) != int(n):
		return nil, fmt.Errorf("the chunk says it has %d events and has %d", n, bytes.Count(c.text, newline))
	}
	return c, nil
}

var newline = []byte{'\n'}

func (c *chunk) decodeClasses(d *fields, n int) {
	if c.output == "" {
		c.classes = d.bytes(n)
		for _, class := range c.classes {
			d.bad = d.bad || class > testClass
		}
		return
	}
	c.classes, c.places = bytes.Repeat([]byte{directed}, n), make([]uint32, n)
	for i := range c.places {
		place := d.uvarint()
		d.bad = d.bad || place > 1<<31
		c.places[i] = uint32(place)
	}
}

// fields reads the parts of a record one after the other; the first one that isn't there
// makes it bad, and what is read from then on is zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	return took(f, v, n)
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.rest)
	return took(f, v, n)
}

// took takes n bytes away, from which v was read.
func took[T any](f *fields, v T, n int) (zero T) {
	if n <= 0 || f.bad {
		f.bad, f.rest = true, nil
		return zero
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) bytes(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad, f.rest = true, nil
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) string() string {
	return string(f.bytes(int(min(f.uvarint(), uint64(len(f.rest)+1)))))
}

// A walk goes through the events of a chunk.
type walk struct {
	*chunk
	next   int // the event's place in the chunk
	offset int // of its text
}

// more reports whether there are events left.
func (w *walk) more() bool { return w.chunk != nil && w.next < w.len() }

func (w *walk) sequence() uint64 { return w.first + uint64(w.next) }

func (w *walk) class() uint8 { return w.classes[w.next] }

// line returns the next event's text.
func (w *walk) line() []byte {
	text, _, _ := bytes.Cut(w.text[w.offset:], []byte{'\n'})
	return text
}

// step goes to the next event.
func (w *walk) step() {
	w.offset += len(w.line()) + 1
	w.next++
}

// skipTo goes to the first event behind the given sequence.
func (w *walk) skipTo(after uint64) {
	for w.more() && w.sequence() <= after {
		w.step()
	}
}

// event decodes the next event.
func (w *walk) event() (event.Event, error) { return event.Decode(w.line()) }

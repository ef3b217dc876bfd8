package embedded

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
)

// maxOpen is the most events that one output may have and not acknowledge. With so many it
// gets no new ones, only those again that it gave back.
const maxOpen = 1 << 16

// maxSpans is the most stretches of events for one output alone that are told apart when
// losses are counted. Losses among more are not counted.
const maxSpans = 1024

// position is how far a reader has read.
type position struct {
	read    uint64 // the last event that was handed out or passed over
	message uint64 // the chunk that holds it, or one before; a hint
	counts  counts // of the events up to read
}

// span is a stretch of events for one output alone.
type span struct{ first, last uint64 }

// The states of an entry.
const (
	inHand  = iota // with the output
	waiting        // given back
	done           // acknowledged, and not removed yet
)

// entry is an event that was handed out and isn't known to be done with.
type entry struct {
	sequence uint64
	stored   int64     // Unix nanoseconds; 0 if it isn't known
	due      time.Time // when it is to be handed out again, while it waits
	attempts int32
	class    uint8
	state    uint8
}

// cursor is one output's place in the log, open or not. Everything up to position.read
// that isn't among the entries is done with.
type cursor struct {
	name string
	path string
	// touch has the cursor saved soon; nudge, which holds one, wakes the output's Fetch.
	touch func()
	nudge chan struct{}

	mu sync.Mutex
	position
	filter  filter
	entries []entry // by sequence
	live    int     // entries that are not done
	waits   int     // entries that wait
	spans   []span  // unread events for this output alone, by sequence
	handed  uint64  // the last sequence handed out
	used    time.Time
	// holder is the Consumer that has it open, nil without one.
	holder *Consumer
	losses losses
	dirty  bool
	// reading says that Fetch is gathering events, so that nobody else may move the cursor.
	reading bool
	// lostPlace says that the cursor couldn't be read and starts from the oldest event.
	lostPlace bool

	saving sync.Mutex // held while file is used
	file   *slots
}

// find returns the entry of an event; nil if it is done with.
func (c *cursor) find(sequence uint64) *entry {
	i, ok := slices.BinarySearchFunc(c.entries, sequence, func(e entry, n uint64) int { return cmp.Compare(e.sequence, n) })
	if !ok || c.entries[i].state == done {
		return nil
	}
	return &c.entries[i]
}

// finish says that an event is done with.
func (c *cursor) finish(sequence uint64) {
	e := c.find(sequence)
	if e == nil {
		return
	}
	if e.state == waiting {
		c.waits--
	}
	full := c.live >= maxOpen
	e.state = done
	c.live--
	c.shrink()
	c.changed()
	if full {
		c.wake()
	}
}

// shrink removes entries that are done: those in front, and, when there are many, the rest.
func (c *cursor) shrink() {
	n := 0
	for n < len(c.entries) && c.entries[n].state == done {
		n++
	}
	c.entries = c.entries[n:]
	switch {
	case len(c.entries) == 0:
		c.entries = nil
	case len(c.entries) > 2*c.live+64:
		c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return e.state == done })
	}
}

// giveBack has an event handed out again after delay.
func (c *cursor) giveBack(sequence uint64, delay time.Duration) {
	e := c.find(sequence)
	if e == nil || e.state != inHand {
		return
	}
	e.state, e.due = waiting, time.Now().Add(max(delay, 0))
	c.waits++
	c.wake()
}

// hand records that an event is handed out for the first time.
func (c *cursor) hand(sequence uint64, class uint8, stored int64) (attempt int) {
	attempt = 1
	if sequence <= c.handed {
		attempt = 2 // before a crash, and not saved any more
	}
	c.handed = max(c.handed, sequence)
	c.entries = append(c.entries, entry{sequence: sequence, stored: stored, class: class, attempts: int32(attempt), state: inHand})
	c.live++
	return attempt
}

// handAgain records that an event that waited is handed out once more; false if it is done
// with by now.
func (c *cursor) handAgain(sequence uint64, stored int64) (attempt int, ok bool) {
	e := c.find(sequence)
	if e == nil || e.state != waiting {
		return 0, false
	}
	e.state, e.stored = inHand, stored
	e.attempts = min(e.attempts+1, math.MaxInt32-1)
	c.waits--
	return int(e.attempts), true
}

// lose counts an event that waited and is no longer in the log.
func (c *cursor) lose(sequence uint64, damaged bool) {
	if e := c.find(sequence); e != nil && e.state == waiting {
		c.losses.events++
		if damaged {
			c.losses.damaged++
		}
		c.finish(sequence)
	}
}

// drop goes over what is gone, up to the position that is just before the oldest event
// there is, and counts it as lost. What the output has in hand is not lost.
func (c *cursor) drop(gone position) {
	if c.reading {
		return // Fetch finds it too
	}
	if c.waits > 0 {
		var lost []uint64
		for _, e := range c.entries {
			if e.sequence > gone.read {
				break
			}
			if e.state == waiting {
				lost = append(lost, e.sequence)
			}
		}
		for _, sequence := range lost {
			c.lose(sequence, false)
		}
	}
	if gone.read > c.read {
		c.losses.events += c.missed(&c.position, &gone)
		c.move(gone)
		if c.holder != nil {
			c.holder.ahead.leave()
		}
	}
}

// missed is the number of events for the output between two positions.
func (c *cursor) missed(from, to *position) uint64 {
	v := view{*from, c.filter, c.spans}
	return v.missed(to)
}

// view is what must be known of a cursor to count.
type view struct {
	position
	filter filter
	spans  []span
}

func (c *cursor) view() view { return view{c.position, c.filter, slices.Clone(c.spans)} }

// missed is the number of events for the output behind the view's position up to another.
func (v *view) missed(to *position) uint64 {
	n := v.filter.between(&v.counts, &to.counts)
	for _, s := range v.spans {
		if first, last := max(s.first, v.read+1), min(s.last, to.read); first <= last {
			n += last - first + 1
		}
	}
	return n
}

// due returns up to limit entries that wait and may be handed out, and when the next one
// may be, if not now.
func (c *cursor) due(now time.Time, limit int) (sequences []uint64, next time.Time) {
	if c.waits == 0 {
		return nil, next
	}
	for i := range c.entries {
		e := &c.entries[i]
		switch {
		case e.state != waiting:
		case e.due.After(now):
			if next.IsZero() || e.due.Before(next) {
				next = e.due
			}
		case len(sequences) < limit:
			sequences = append(sequences, e.sequence)
		}
	}
	return sequences, next
}

// oldest returns the first event that was handed out and isn't done with; nil if there is
// none.
func (c *cursor) oldest() *entry {
	for i := range c.entries {
		if c.entries[i].state != done {
			return &c.entries[i]
		}
	}
	return nil
}

// expect notes that events for this output alone were stored.
func (c *cursor) expect(s span) {
	if s.last <= c.read || len(c.spans) > 0 && s.last <= c.spans[len(c.spans)-1].last {
		return
	}
	if n := len(c.spans); n > 0 && c.spans[n-1].last+1 == s.first {
		c.spans[n-1].last = s.last
	} else {
		c.spans = append(c.spans, s)
	}
	if len(c.spans) > maxSpans {
		c.spans = c.spans[1:]
	}
	c.changed()
}

// move goes on to p.
func (c *cursor) move(p position) {
	if p.read == c.read {
		return
	}
	c.position = p
	for len(c.spans) > 0 && c.spans[0].last <= p.read {
		c.spans = c.spans[1:]
	}
	c.changed()
}

// changed has the cursor saved soon.
func (c *cursor) changed() {
	if !c.dirty {
		c.dirty = true
		c.touch()
	}
}

func (c *cursor) wake() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// save writes the cursor if it has changed.
func (c *cursor) save() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	if !c.dirty || c.file == nil {
		c.mu.Unlock()
		return nil
	}
	record := c.encode(nil)
	c.dirty = false
	c.mu.Unlock()
	if err := c.file.write(record); err != nil {
		c.mu.Lock()
		c.dirty = true
		c.mu.Unlock()
		return fmt.Errorf("save cursor %q: %w", c.name, err)
	}
	return nil
}

const cursorVersion = 1

// encode appends the cursor's record. Entries that find no room in it are left out, and
// what is behind the last one that does counts as unread.
func (c *cursor) encode(dst []byte) []byte {
	p := c.position
	const reserve = 4 * binary.MaxVarintLen64
	var list []byte
	n, last := uint64(0), uint64(0)
	for _, s := range c.spans {
		list = binary.AppendUvarint(list, s.first-last)
		list = binary.AppendUvarint(list, s.last-s.first)
		last = s.last
	}
	list = binary.AppendUvarint(list, 0)
	room := maxRecord - (classes+8)*binary.MaxVarintLen64 - reserve
	last = 0
	for _, e := range c.entries {
		if e.state == done {
			continue
		}
		if len(list) > room {
			p.read = last
			break
		}
		list = binary.AppendUvarint(list, (e.sequence-last)<<4|uint64(e.class))
		n, last = n+1, e.sequence
	}
	dst = append(dst, cursorVersion)
	dst = binary.AppendUvarint(dst, p.read)
	dst = binary.AppendUvarint(dst, p.message)
	for _, k := range p.counts {
		dst = binary.AppendUvarint(dst, k)
	}
	dst = binary.AppendUvarint(dst, c.handed)
	dst = binary.AppendVarint(dst, c.used.Unix())
	dst = binary.AppendUvarint(dst, n)
	return append(dst, list...)
}

// decode reads a record that encode made. Every event in it waits to be handed out again.
func (c *cursor) decode(record []byte) error {
	f := fields{rest: record}
	if v := f.bytes(1); f.bad || v[0] != cursorVersion {
		return errors.New("the record has an unknown version")
	}
	p := position{read: f.uvarint(), message: f.uvarint()}
	for i := range p.counts {
		p.counts[i] = f.uvarint()
	}
	handed, used, n := f.uvarint(), f.varint(), f.uvarint()
	spans := decodeSpans(&f)
	if n > maxOpen || n > uint64(len(f.rest)) {
		return fmt.Errorf("the record has %d events under way", n)
	}
	entries := make([]entry, 0, n)
	last := uint64(0)
	for range n {
		v := f.uvarint()
		sequence := last + v>>4
		if sequence <= last || sequence > p.read || uint8(v&15) > directed {
			f.bad = true
		}
		entries = append(entries, entry{sequence: sequence, class: uint8(v & 15), attempts: 1, state: waiting})
		last = sequence
	}
	if f.bad || len(f.rest) > 0 {
		return errors.New("the record is damaged")
	}
	c.position, c.handed, c.used, c.spans = p, handed, time.Unix(used, 0), spans
	c.entries, c.live, c.waits = entries, len(entries), len(entries)
	return nil
}

func decodeSpans(f *fields) (spans []span) {
	last := uint64(0)
	for {
		gap := f.uvarint()
		if gap == 0 || f.bad {
			return spans
		}
		s := span{first: last + gap}
		s.last = s.first + f.uvarint()
		if s.first <= last || s.last < s.first || len(spans) == maxSpans {
			f.bad = true
			return nil
		}
		spans, last = append(spans, s), s.last
	}
}

// reopen makes the cursor that of an output with the given minimum, which may be another
// than before: what is under way and doesn't pass any more is done with.
func (c *cursor) reopen(minimum event.Priority) {
	c.filter = filter{c.name, minimum}
	c.used = time.Now()
	for i := range c.entries {
		e := &c.entries[i]
		switch {
		case e.state == done:
		case !c.filter.passes(e.class, c.name):
			if e.state == waiting {
				c.waits--
			}
			e.state = done
			c.live--
		case e.state == inHand:
			e.state = waiting
			c.waits++
			fallthrough
		default:
			e.due = time.Time{}
		}
	}
	c.shrink()
	c.changed()
}

package embedded

import (
	"sync"
	"time"

	"github.com/saker-security/saker/event"
)

// The limits of the events that are held in memory. An event takes about one and a half
// times its text, and the ring itself less than 1 MiB.
const (
	ringEvents = 4096
	ringBytes  = 8 << 20
)

// item is an event in memory.
type item struct {
	event   event.Event
	only    string // the output it is for; empty for all
	stored  int64  // Unix nanoseconds
	message uint64 // of the chunk that holds it
	total   uint64 // events for all outputs up to it
	size    int32
	class   uint8
}

// head is the newest part of the log: what comes next, and the newest events, decoded and
// shared by all who read them. The committer adds what has been stored; who keeps up reads
// here, who doesn't reads the log until it is here.
type head struct {
	mu     sync.RWMutex
	next   uint64 // the sequence of the next event
	counts counts // of all events stored so far
	total  uint64 // of counts
	// message is the place in the stream of the last chunk.
	message uint64

	// maxEvents and maxBytes bound the ring.
	maxEvents uint64
	maxBytes  int
	ring      []item // of sequence n at n % len; grows to maxEvents
	first     uint64 // the first event in the ring; next when it is empty
	// before are the counts of the events before first.
	before counts
	bytes  int

	wake chan struct{} // closed when something is added; nil when nobody waits
}

// start says where the log goes on; the ring is empty then.
func (h *head) start(next, message uint64, n *counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.first, h.message = next, next, message
	h.counts, h.before, h.total = *n, *n, n.total()
}

// add takes over a chunk that was just stored, and its events.
func (h *head) add(c *chunk, items []item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.first != h.next {
		h.clear(c.first) // the ring holds sequences without gaps
	}
	h.message = c.message
	for i := range items {
		it := &items[i]
		it.stored, it.message = c.stored.UnixNano(), c.message
		h.counts.add(it.class)
		if it.class < directed {
			h.total++
		}
		it.total = h.total
		h.push(it)
	}
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
}

// pass goes on behind a chunk that is in the log and cannot be in the ring.
func (h *head) pass(c *chunk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clear(c.last() + 1)
	h.counts = c.after()
	h.before, h.total, h.message = h.counts, h.counts.total(), c.message
}

// clear empties the ring, which then begins with the sequence next.
func (h *head) clear(next uint64) {
	for h.first < h.next {
		h.drop()
	}
	h.next, h.first, h.before = next, next, h.counts
}

// push adds an item, whose counts are in h.counts already, and makes room for it.
func (h *head) push(it *item) {
	for held := h.next - h.first; held > 0 && (held == h.maxEvents || h.bytes+int(it.size) > h.maxBytes); held-- {
		h.drop()
	}
	if h.next-h.first == uint64(len(h.ring)) {
		h.grow()
	}
	h.ring[h.next%uint64(len(h.ring))] = *it
	h.next++
	h.bytes += int(it.size)
}

// drop removes the oldest item.
func (h *head) drop() {
	it := &h.ring[h.first%uint64(len(h.ring))]
	h.before.add(it.class)
	h.bytes -= int(it.size)
	h.first++
	*it = item{}
}

// grow doubles the ring.
func (h *head) grow() {
	bigger := make([]item, max(2*len(h.ring), 64))
	for n := h.first; n < h.next; n++ {
		bigger[n%uint64(len(bigger))] = h.ring[n%uint64(len(h.ring))]
	}
	h.ring = bigger
}

// at returns the item of a sequence that is in the ring.
func (h *head) at(sequence uint64) *item { return &h.ring[sequence%uint64(len(h.ring))] }

// holds reports whether the event behind after is in memory, or isn't stored yet.
func (h *head) holds(after uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return after+1 >= h.first
}

// get returns a copy of the item with the given sequence, if it is in the ring.
func (h *head) get(sequence uint64) (item, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if sequence < h.first || sequence >= h.next {
		return item{}, false
	}
	return *h.at(sequence), true
}

// beyond returns nil when there are events behind after, and otherwise a channel that is
// closed when there are.
func (h *head) beyond(after uint64) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after+1 < h.next {
		return nil
	}
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return h.wake
}

// end is where a reader stands that has read everything.
func (h *head) end() position {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return position{read: h.next - 1, message: h.message, counts: h.counts}
}

// oldest is the position before the oldest event in memory.
func (h *head) oldest() position {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return position{read: h.first - 1, message: h.message, counts: h.before}
}

// read hands out the events behind p as long as there is room, and moves p. It returns
// false when p is too far behind.
func (h *head) read(p *position, f *filter, g *gathered) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p.read+1 < h.first {
		return false
	}
	for n := p.read + 1; n < h.next && !g.full(); n++ {
		it := h.at(n)
		if f.passes(it.class, it.only) && !g.take(it, n) {
			break
		}
		p.read, p.message = n, it.message
		p.counts.add(it.class)
	}
	return true
}

// firstPassing returns when the first event behind after was stored that passes; false if
// after is too far behind or there is none.
func (h *head) firstPassing(after uint64, f *filter) (time.Time, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if after+1 < h.first {
		return time.Time{}, false
	}
	for n := after + 1; n < h.next; n++ {
		if it := h.at(n); f.passes(it.class, it.only) {
			return it.time(), true
		}
	}
	return time.Time{}, false
}

// state returns the sequence, the message and the counts of the log's end.
func (h *head) state() (next, message uint64, n counts) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.next, h.message, h.counts
}

func (it *item) time() time.Time { return time.Unix(0, it.stored) }

// goOn notes that the stream now ends with the given message.
func (h *head) goOn(message uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.message = message
}

package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// maxChunk is about the most bytes of events that are stored as one chunk; an event that is
// larger has one for itself.
const maxChunk = 1 << 20

// closeGrace is how much longer than Close a write that is under way may take.
const closeGrace = time.Second

// committer stores the requests of all senders, in the order they come. While one chunk is
// being written the next requests gather, and then share the next chunk and, with sync
// always, its write to the disk.
type committer struct {
	j      *Journal
	window window
	limit  int // bytes of events in a chunk

	building chunk
	escaped  string // the output's, of building
	keys     []key  // of building
	items    []item // of building
	data     []byte
	filled   uint64 // chunks stored so far
}

// run stores requests until the journal is closed, and then refuses the rest.
func (c *committer) run() {
	var batch []*request
	for {
		select {
		case <-c.j.queue.filled:
			batch = c.j.queue.take(batch)
			c.store(batch)
			if len(batch) > 1 {
				runtime.Gosched() // whoever was answered may send again, into the same chunk
			}
		case <-c.j.closing:
			c.j.queue.close()
			for _, r := range c.j.queue.take(batch) {
				c.answer(r, journal.ErrClosed)
			}
			return
		}
	}
}

// store stores a batch of requests and answers each as soon as it is stored.
func (c *committer) store(batch []*request) {
	c.j.storing.Lock()
	defer c.j.storing.Unlock()
	var failed error
	next := 0 // to be answered
	for _, r := range batch {
		switch {
		case r.abandoned.Load():
			r.chunk = 0
		case failed == nil:
			failed = c.add(r)
		}
		for ; next < len(batch) && batch[next].chunk <= c.filled; next++ {
			c.answer(batch[next], nil)
		}
	}
	if failed == nil {
		failed = c.flush()
	}
	for _, r := range batch[next:] {
		if r.chunk <= c.filled {
			c.answer(r, nil)
		} else {
			c.answer(r, failed)
		}
	}
}

func (c *committer) answer(r *request, err error) {
	weight := r.weight
	r.answer <- err
	c.j.inflight.Release(weight)
}

// add puts the events of a request into chunks, and stores those that are full.
func (c *committer) add(r *request) error {
	if r.output != c.building.output || r.call != c.building.call {
		if err := c.flush(); err != nil {
			return err
		}
		c.building.output, c.building.call, c.escaped = r.output, r.call, r.escaped
	}
	now := time.Now()
	for i := range r.events {
		if !c.window.add(r.keys[i], now) {
			continue
		}
		line := r.line(i)
		if n := len(c.building.classes); n > 0 && (len(c.building.text)+len(line) > c.limit || n == maxEvents) {
			if err := c.flush(); err != nil {
				c.window.forget(r.keys[i : i+1])
				return err
			}
		}
		c.building.text = append(c.building.text, line...)
		c.building.classes = append(c.building.classes, r.classes[i])
		if r.output != "" {
			c.building.places = append(c.building.places, uint32(i))
		}
		c.keys = append(c.keys, r.keys[i])
		c.items = append(c.items, item{
			event: r.events[i], only: r.output, class: r.classes[i], size: int32(len(line)),
		})
	}
	r.chunk = c.filled
	if len(c.building.classes) > 0 {
		r.chunk++ // what of it isn't stored yet, itself or as a duplicate, is in this one
	}
	return nil
}

// flush stores the chunk that is being built, if there is anything in it. After an error
// its events are forgotten.
func (c *committer) flush() error {
	if len(c.building.classes) == 0 {
		return nil
	}
	err := c.j.write(&c.building, c.escaped, c.items, &c.data)
	if err != nil {
		c.window.forget(c.keys)
	} else {
		c.filled++
	}
	c.reset()
	return err
}

// reset empties what is being built and keeps its buffers, unless they are large.
func (c *committer) reset() {
	b := &c.building
	b.text, b.classes, b.places = b.text[:0], b.classes[:0], b.places[:0]
	clear(c.items)
	c.items, c.keys = c.items[:0], c.keys[:0]
	if cap(b.text) > 2*maxChunk || cap(c.data) > 2*maxChunk {
		b.text, c.data = nil, nil
	}
}

// write stores a chunk and makes it known. Any error has the storage opened again, because
// nobody knows then whether the chunk is in it.
func (j *Journal) write(c *chunk, escaped string, items []item, buf *[]byte) error {
	l := j.link.Load()
	if l == nil {
		return j.unavailable()
	}
	var message uint64
	c.first, message, c.before = j.head.state()
	c.stored = time.Now()
	*buf = append((*buf)[:0], c.text...)
	*buf = c.appendTrailer(*buf)
	subject := logSubject
	if c.output != "" {
		subject = onlyPrefix + escaped
	}
	stored, err := l.publish(j.lifetime, subject, *buf)
	if err == nil && stored <= message {
		err = fmt.Errorf("write the log: it stored message %d behind %d", stored, message)
	}
	if err != nil {
		return j.writeFailed(err)
	}
	c.message = stored
	j.known(c, items)
	return nil
}

// writeFailed decides what a failed write means.
func (j *Journal) writeFailed(err error) error {
	if errors.Is(err, journal.ErrClosed) {
		return journal.ErrClosed
	}
	err = journal.Unavailable(err)
	j.suspect(err)
	if full := j.disk.check(time.Now()); full != nil {
		return full
	}
	return err
}

// known makes a chunk that is stored known to its readers.
func (j *Journal) known(c *chunk, items []item) {
	if c.output != "" {
		j.cursors.expect(c)
	}
	j.head.add(c, items)
	j.cursors.touchHead()
}

// found makes known what the log holds beyond what we know of: a chunk whose writing ended
// with an error.
func (j *Journal) found(c *chunk) {
	if c.damaged != nil {
		return // who reads the log buries it
	}
	now := time.Now()
	var items []item
	for w := (walk{chunk: c}); w.more(); w.step() {
		j.committer.window.add(c.key(&w), now)
		e, err := w.event()
		if err != nil {
			j.head.pass(c)
			continue
		}
		items = append(items, item{event: e, only: c.output, class: w.class(), size: int32(len(w.line()) + 1)})
	}
	if len(items) == c.len() {
		j.known(c, items)
	}
}

// key is that of the event that w is at.
func (c *chunk) key(w *walk) key {
	if c.output != "" {
		return callKey(c.output, c.call, c.places[w.next])
	}
	return lineKey(w.line())
}

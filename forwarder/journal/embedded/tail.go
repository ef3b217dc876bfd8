package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// Tail reads events as they are appended. Its methods are those of journal.Tail.
type Tail struct {
	j      *Journal
	log    reader
	read   uint64
	hint   uint64 // the place of the chunk that holds read, or one before
	closed chan struct{}
	once   sync.Once
}

// Tail starts to read, as journal.Journal says.
func (j *Journal) Tail(ctx context.Context, from journal.From) (journal.Tail, error) {
	return j.tail(ctx, from)
}

func (j *Journal) tail(ctx context.Context, from journal.From) (*Tail, error) {
	select {
	case <-j.closing:
		return nil, fmt.Errorf("read the journal: %w", journal.ErrClosed)
	default:
	}
	t := &Tail{j: j, log: reader{j: j}, closed: make(chan struct{})}
	if err := t.start(ctx, from); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return t, nil
}

// start finds the place to start from.
func (t *Tail) start(ctx context.Context, from journal.From) error {
	end := t.j.head.end()
	t.read, t.hint = end.read, end.message
	total := end.counts.total()
	switch {
	case from.After > 0 && from.After <= end.read:
		t.read, t.hint = from.After, 1
		return nil
	case !from.Since.IsZero():
		if read, ok := t.j.head.since(from.Since); ok {
			t.read = read
			return nil
		}
		return t.startAt(ctx, func(c *chunk) bool { return !c.stored.Before(from.Since) }, 0)
	case from.Last > 0:
		if read, ok := t.j.head.back(from.Last); ok {
			t.read = read
			return nil
		}
		skip := total - min(total, uint64(from.Last)) // events to leave out
		return t.startAt(ctx, func(c *chunk) bool { n := c.after(); return n.total() > skip }, skip)
	}
	return nil
}

// startAt starts with the first chunk that is behind something, and in it behind the first
// events of all, skip in number.
func (t *Tail) startAt(ctx context.Context, behind func(*chunk) bool, skip uint64) error {
	c, err := t.log.find(ctx, behind)
	switch {
	case errors.Is(err, errNothing):
		return nil
	case err != nil:
		return journal.Unavailable(err)
	case c.damaged != nil:
		t.read, t.hint = 0, c.message
		return nil
	}
	t.read, t.hint = c.first-1, c.message
	for left, i := skip-min(skip, c.before.total()), 0; left > 0 && i < c.len(); i++ {
		if c.classes[i] < directed {
			left--
		}
		t.read++
	}
	return nil
}

// Next returns the next event, as journal.Tail says.
func (t *Tail) Next(ctx context.Context) (journal.Entry, error) {
	for {
		if err := t.open(); err != nil {
			return journal.Entry{}, err
		}
		if ctx.Err() != nil {
			return journal.Entry{}, ctx.Err()
		}
		e, ok, err := t.next(ctx)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if ok || err != nil {
			return e, err
		}
		news := t.j.head.beyond(t.read)
		if news == nil {
			continue
		}
		select {
		case <-news:
		case <-t.closed:
		case <-t.j.closing:
		case <-ctx.Done():
		}
	}
}

func (t *Tail) open() error {
	select {
	case <-t.closed:
		return journal.ErrClosed
	case <-t.j.closing:
		return journal.ErrClosed
	default:
		return nil
	}
}

// next returns the next event there is; false if there is none. It may also be false when
// there are some further on.
func (t *Tail) next(ctx context.Context) (e journal.Entry, ok bool, err error) {
	if t.j.head.holds(t.read) {
		t.log.leave()
		t.read, e, ok = t.j.head.tail(t.read)
		return e, ok, nil
	}
	found, err := t.log.seek(ctx, t.read, t.hint)
	switch {
	case err != nil:
		return e, false, fmt.Errorf("read the journal: %w", err)
	case !found:
		t.read = max(t.read, t.j.head.oldest().read)
		return e, false, nil
	case t.log.damaged != nil:
		t.hint = t.log.message + 1
		t.log.leave()
		return e, false, nil
	}
	w := &t.log.walk
	t.hint = w.message
	for ; w.more(); w.step() {
		t.read = w.sequence()
		if w.class() == directed {
			continue
		}
		if e.Event, err = w.event(); err != nil {
			continue
		}
		e.Sequence, e.Stored, e.More = t.read, w.stored, t.more(w)
		w.step()
		return e, true, nil
	}
	return e, false, nil
}

// more is the number of events behind the one that w is at.
func (t *Tail) more(w *walk) uint64 {
	n := w.place().counts
	_, _, all := t.j.head.state()
	return all.total() - min(all.total(), n.total()+1)
}

// Close ends the Tail; it may be called while Next waits.
func (t *Tail) Close() { t.once.Do(func() { close(t.closed) }) }

// Recent returns the last n events, oldest first, or as many as there are.
func (j *Journal) Recent(ctx context.Context, n int) ([]journal.Entry, error) {
	if n <= 0 {
		return nil, nil
	}
	end := j.head.end().read
	t, err := j.tail(ctx, journal.From{Last: n})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var all []journal.Entry
	for t.read < end {
		e, ok, err := t.next(ctx)
		switch {
		case err != nil:
			return nil, err
		case ok && e.Sequence <= end:
			all = append(all, e)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
	return all[max(0, len(all)-n):], nil
}

// tail returns the first event for all outputs behind after, and how far the reader is
// then. What is no longer in memory is skipped.
func (h *head) tail(after uint64) (read uint64, e journal.Entry, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for n := max(after+1, h.first); n < h.next; n++ {
		if it := h.at(n); it.class < directed {
			return n, journal.Entry{Sequence: n, Stored: it.time(), Event: it.event, More: h.total - it.total}, true
		}
	}
	return max(after, h.next-1), e, false
}

// since returns the place before the first event stored at the given time or later; false
// if that may be before the ring.
func (h *head) since(at time.Time) (read uint64, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.first == h.next || h.at(h.first).stored >= at.UnixNano() {
		return 0, false
	}
	n := h.first
	for n < h.next && h.at(n).stored < at.UnixNano() {
		n++
	}
	return n - 1, true
}

// back returns the place before the last n events; false if they are not all in the ring.
func (h *head) back(n int) (read uint64, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for read = h.next; read > h.first; {
		read--
		if h.at(read).class < directed {
			n--
		}
		if n == 0 {
			return read - 1, true
		}
	}
	return 0, false
}

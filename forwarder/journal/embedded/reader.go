package embedded

import (
	"context"
	"errors"
	"math"
	"sort"

	"github.com/saker-security/saker/forwarder/journal"
)

// reader reads the log chunk by chunk, for one who is too far behind to read the head. It
// keeps the chunk that it is in, and, once it reads one after the other, some of those
// behind it: at most maxRead chunks with less than maxReadBytes beside the last one. One
// goroutine may use it.
type reader struct {
	j *Journal
	walk
	queue []*chunk // what the log holds behind the chunk that was entered last
	// endSequence and endMessage are the last event and the place of the chunk that was
	// entered last; 0 when there is none.
	endSequence, endMessage uint64
	batch                   int // how many chunks the last request asked for
}

// leave forgets where the reader is and what it has read ahead.
func (r *reader) leave() { *r = reader{j: r.j} }

// seek goes to the first event behind after that the log holds; hint is the place of its
// chunk or of one before it. It returns false when there is none.
func (r *reader) seek(ctx context.Context, after, hint uint64) (bool, error) {
	if r.within(after) {
		if r.sequence() > after+1 {
			r.walk = walk{chunk: r.chunk}
		}
		r.skipTo(after)
		return true, nil
	}
	if r.endMessage != 0 && after >= r.endSequence {
		for len(r.queue) > 0 {
			if r.enter(r.queue); r.endSequence > after {
				r.skipTo(after)
				return true, nil
			}
		}
	}
	l := r.j.link.Load()
	if l == nil {
		return false, r.j.unavailable()
	}
	found, err := r.near(ctx, l, after, hint)
	if errors.Is(err, errNothing) {
		r.leave()
		return false, nil
	}
	if err != nil {
		return false, journal.Unavailable(err)
	}
	r.enter(found)
	r.skipTo(after)
	return true, nil
}

// within reports whether the event behind after is in the chunk that the reader is in.
func (r *reader) within(after uint64) bool {
	return r.chunk != nil && r.damaged == nil && r.first <= after+1 && after < r.last()
}

// enter goes to the first of some chunks and keeps the others.
func (r *reader) enter(all []*chunk) {
	c := all[0]
	all[0] = nil
	r.walk, r.queue = walk{chunk: c}, all[1:]
	r.endSequence, r.endMessage = 0, 0
	if c.damaged == nil {
		r.endSequence, r.endMessage = c.last(), c.message
	}
}

// nearSteps is how many requests look at what follows the hint before the log is searched.
const nearSteps = 4

// near returns the first chunk that ends behind after, which is most often the hint's or
// the next one, and some of those behind it when the reader reads one after the other.
func (r *reader) near(ctx context.Context, l *link, after, hint uint64) ([]*chunk, error) {
	if r.endMessage != 0 && r.endSequence == after {
		hint, r.batch = r.endMessage+1, min(2*r.batch, maxRead)
	} else {
		r.batch = 1
	}
	last := r.j.head.lastMessage()
	for range nearSteps {
		found, err := l.read(ctx, hint, last, r.batch)
		if errors.Is(err, errNothing) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			r.batch = 1 // chunks are large here, or there are gaps
		}
		at := found[len(found)-1].message + 1
		for len(found) > 0 && found[0].damaged == nil && found[0].last() <= after {
			found = found[1:]
		}
		switch {
		case len(found) == 0:
			hint = at
		case found[0].damaged == nil && found[0].first > after+1 && found[0].message == hint && hint > 1:
			return r.searched(ctx, l, after) // the hint was too far
		default:
			return found, nil
		}
	}
	return r.searched(ctx, l, after)
}

// searched is near without a hint.
func (r *reader) searched(ctx context.Context, l *link, after uint64) ([]*chunk, error) {
	r.batch = 1
	c, err := r.search(ctx, l, func(c *chunk) bool { return c.last() > after })
	if err == nil && c.damaged == nil && c.last() <= after {
		err = errNothing // a log whose end was lost goes back further than its head says
	}
	return []*chunk{c}, err
}

// search returns the first chunk that can be read and is behind something, which all later
// ones are too.
func (r *reader) search(ctx context.Context, l *link, behind func(*chunk) bool) (*chunk, error) {
	var failed error
	var found *chunk // the first that can be read from start on; nil if there is none
	start, last := uint64(math.MaxUint64), r.j.head.lastMessage()
	sort.Search(int(last), func(i int) bool {
		if failed != nil {
			return true
		}
		c, err := l.next(ctx, uint64(i)+1, last)
		for err == nil && c.damaged != nil && c.message < start {
			c, err = l.next(ctx, c.message+1, last)
		}
		switch {
		case errors.Is(err, errNothing):
			c = nil
		case err != nil:
			failed = err
			return true
		case c.message >= start:
			c = found
		}
		if c != nil && !behind(c) {
			return false
		}
		found, start = c, uint64(i)+1
		return true
	})
	switch {
	case failed != nil:
		return nil, failed
	case found == nil:
		return l.next(ctx, last+1, last) // may have been stored since
	}
	return found, nil
}

// find returns the first chunk in the log that is behind something, which all later ones are
// too. The error is errNothing if there is none.
func (r *reader) find(ctx context.Context, behind func(*chunk) bool) (*chunk, error) {
	l := r.j.link.Load()
	if l == nil {
		return nil, r.j.unavailable()
	}
	return r.search(ctx, l, behind)
}

// read returns the first chunk at message or behind it, up to last, and some of those that
// follow it: n in all, or fewer.
func (l *link) read(ctx context.Context, message, last uint64, n int) ([]*chunk, error) {
	if n > 1 && !l.oneByOne.Load() {
		found, err := l.getMany(ctx, message, n)
		if err == nil {
			return found, nil
		}
		// The server doesn't answer at all when it cannot count what follows.
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			l.oneByOne.Store(true)
		}
	}
	c, err := l.next(ctx, message, last)
	return []*chunk{c}, err
}

// next returns the first chunk at message or behind it, up to last. Messages that the
// log cannot read, since the disk has damaged them, are stepped over.
func (l *link) next(ctx context.Context, message, last uint64) (*chunk, error) {
	c, err := l.get(ctx, message)
	if !errors.Is(err, errNothing) || message > last {
		return c, err
	}
	low, high := max(message, 1), max(message, 1) // low fails, high is to be tried
	for step := uint64(1); errors.Is(err, errNothing); step *= 2 {
		if low = high; low >= last {
			return nil, errNothing
		}
		high = min(low+step, last)
		c, err = l.get(ctx, high)
	}
	for err == nil && low+1 < high { // back to the first that can be read
		middle := low + (high-low)/2
		before, e := l.get(ctx, middle)
		switch {
		case e == nil:
			c, high = before, middle
		case errors.Is(e, errNothing):
			low = middle
		default:
			return nil, e
		}
	}
	return c, err
}

// lastMessage is the place of the last chunk in the stream.
func (h *head) lastMessage() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.message
}

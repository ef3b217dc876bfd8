package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// beginningAge is how long the answer holds where the log begins, while nothing is stored.
// Only the limit of age can remove something then.
const beginningAge = time.Second

// beginning is the first chunk that the log holds, without its events.
type beginning struct {
	mu    sync.Mutex
	chunk *chunk // nil for an empty log
	asked time.Time
	next  uint64 // of the log when it was asked
}

// forget has the log asked again.
func (b *beginning) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = time.Time{}
}

// first returns the first chunk that the log holds, without its events; nil if it is empty.
func (j *Journal) first(ctx context.Context) (*chunk, error) {
	b := &j.begin
	b.mu.Lock()
	defer b.mu.Unlock()
	next, message, _ := j.head.state()
	if !b.asked.IsZero() && b.next == next && time.Since(b.asked) < beginningAge {
		return b.chunk, nil
	}
	l := j.link.Load()
	if l == nil {
		return nil, j.unavailable()
	}
	c, err := l.next(ctx, 1, message)
	for err == nil && c.damaged != nil {
		c, err = l.next(ctx, c.message+1, message)
	}
	switch {
	case err == nil:
		b.chunk = &chunk{message: c.message, first: c.first, stored: c.stored, before: c.before}
	case errors.Is(err, errNothing):
		b.chunk = nil
	default:
		return nil, journal.Unavailable(err)
	}
	b.asked, b.next = time.Now(), next
	return b.chunk, nil
}

// gone is the position before the oldest event that can still be read, in the log or in
// memory.
func (j *Journal) gone(ctx context.Context) (position, error) {
	c, err := j.first(ctx)
	if err != nil {
		return position{}, err
	}
	p := j.head.oldest()
	if c != nil && c.first-1 < p.read {
		p = position{read: c.first - 1, message: c.message, counts: c.before}
	}
	return p, nil
}

// Stats asks the journal for its figures.
func (j *Journal) Stats(ctx context.Context) (journal.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	info, err := j.js.Stream(ctx, logStream)
	if err != nil {
		return journal.Stats{}, fmt.Errorf("ask for the journal's figures: %w", journal.Unavailable(err))
	}
	s := journal.Stats{Bytes: info.CachedInfo().State.Bytes}
	if s.DeadLetters, s.DeadLetterBytes, err = j.dead.Counts(ctx); err != nil {
		return journal.Stats{}, err
	}
	first, err := j.first(ctx)
	if err != nil {
		return journal.Stats{}, fmt.Errorf("ask for the journal's figures: %w", err)
	}
	next, _, n := j.head.state()
	s.First, s.Last = next, next-1
	if first != nil {
		s.First, s.Oldest = first.first, first.stored
		s.Events = n.total() - first.before.total()
	}
	return s, nil
}

package embedded

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// Consumer is an open cursor. Its methods are those of journal.Consumer.
type Consumer struct {
	j      *Journal
	cursor *cursor

	fetching sync.Mutex
	ahead    reader // of what is new
	again    reader // of what is handed out again
	closed   chan struct{}
	closing  sync.Once

	asking sync.Mutex
	found  nextStored // by Lag
}

// Consumer opens the cursor called name, as journal.Journal says.
func (j *Journal) Consumer(_ context.Context, name string, minimum event.Priority) (journal.Consumer, error) {
	return j.consumer(name, minimum)
}

func (j *Journal) consumer(name string, minimum event.Priority) (*Consumer, error) {
	select {
	case <-j.closing:
		return nil, fmt.Errorf("open cursor %q: %w", name, journal.ErrClosed)
	default:
	}
	cur, err := j.cursors.open(name)
	if err != nil {
		return nil, fmt.Errorf("open cursor %q: %w", name, err)
	}
	c := &Consumer{j: j, cursor: cur, closed: make(chan struct{})}
	c.ahead.j, c.again.j = j, j
	cur.mu.Lock()
	defer cur.mu.Unlock()
	if cur.holder != nil {
		return nil, fmt.Errorf("open cursor %q: it is open already", name)
	}
	cur.holder = c
	cur.losses = losses{}
	cur.reopen(minimum)
	return c, nil
}

// Name returns the name that the cursor was opened by.
func (c *Consumer) Name() string { return c.cursor.name }

// Close ends the cursor's use, as journal.Consumer says.
func (c *Consumer) Close(context.Context) error {
	c.closing.Do(func() { close(c.closed) })
	c.fetching.Lock()
	defer c.fetching.Unlock()
	cur := c.cursor
	cur.mu.Lock()
	c.ahead.leave()
	c.again.leave()
	if cur.holder == c {
		cur.holder = nil
		cur.used = time.Now()
		cur.changed()
	}
	cur.mu.Unlock()
	if err := cur.save(); err != nil {
		return fmt.Errorf("close cursor: %w", journal.Unavailable(err))
	}
	return nil
}

// Bury stores a dead letter of this output, as journal.Consumer says.
func (c *Consumer) Bury(ctx context.Context, d journal.DeadLetter) error {
	d.Output = c.cursor.name
	return c.j.dead.Bury(ctx, d)
}

// Lag says how far the output is behind. It finds what is lost also while nothing is
// fetched. While the storage fails it says what is known without it.
func (c *Consumer) Lag(ctx context.Context) (journal.Lag, error) {
	gone, goneErr := c.j.gone(ctx)
	if ctx.Err() != nil {
		return journal.Lag{}, ctx.Err()
	}
	cur := c.cursor
	cur.mu.Lock()
	if goneErr == nil {
		cur.drop(gone)
	}
	news := cur.losses.news(time.Now())
	v := cur.view()
	lag := journal.Lag{InFlight: cur.live, Lost: cur.losses.events}
	var first entry
	if e := cur.oldest(); e != nil {
		first = *e
	}
	cur.mu.Unlock()
	c.tell(ctx, news)

	end := c.j.head.end()
	lag.Pending = v.missed(&position{read: math.MaxUint64, counts: end.counts}) + uint64(lag.InFlight)
	switch {
	case lag.Pending == 0:
	case first.stored != 0:
		lag.Oldest = time.Unix(0, first.stored)
	case first.sequence != 0:
		lag.Oldest = c.storedAt(ctx, first.sequence, v.message)
	default:
		lag.Oldest = c.oldestUnread(ctx, &v)
	}
	return lag, nil
}

// nextStored is when the event behind a place was stored.
type nextStored struct {
	after uint64
	time  time.Time
}

// oldestUnread returns when the first event was stored that the output has not read; zero
// if that cannot be found out now.
func (c *Consumer) oldestUnread(ctx context.Context, v *view) time.Time {
	if at, ok := c.j.head.firstPassing(v.read, &v.filter); ok {
		return at
	}
	return c.lookUp(v.read, func() time.Time {
		r := reader{j: c.j}
		unread := func(ch *chunk) bool { return v.missed(&position{read: ch.last(), counts: ch.after()}) > 0 }
		if ok, err := r.seek(ctx, v.read, v.message); !ok || err != nil || r.damaged != nil {
			return time.Time{}
		}
		if unread(r.chunk) { // the next one, most often
			return r.stored
		}
		found, err := r.find(ctx, unread)
		if err != nil {
			return time.Time{}
		}
		return found.stored
	})
}

// storedAt returns when an event was stored that is in the log; zero if that cannot be
// found out now.
func (c *Consumer) storedAt(ctx context.Context, sequence, hint uint64) time.Time {
	if it, ok := c.j.head.get(sequence); ok {
		return it.time()
	}
	return c.lookUp(sequence-1, func() time.Time {
		r := reader{j: c.j}
		if ok, err := r.seek(ctx, sequence-1, hint); !ok || err != nil || r.damaged != nil {
			return time.Time{}
		}
		return r.stored
	})
}

// lookUp asks the log unless the answer for the same place is known.
func (c *Consumer) lookUp(after uint64, ask func() time.Time) time.Time {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.found.after != after || c.found.time.IsZero() {
		c.found = nextStored{after, ask()}
	}
	return c.found.time
}

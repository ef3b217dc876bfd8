package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Lag says how far an output is behind.
type Lag struct {
	// Pending is the number of events it has not acknowledged, those under way included.
	Pending uint64
	// InFlight is the number of events handed to it and not acknowledged.
	InFlight int
	// Oldest is when the oldest of the pending events was appended; zero without any.
	Oldest time.Time
	// Lost is the number of events that the journal's limits removed before the output got
	// them, since the cursor was opened. It may be a few short after an append that failed,
	// and never says too much.
	Lost uint64
}

// Lag asks the journal how far the output is behind.
func (c *Consumer) Lag(ctx context.Context) (Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	idle := c.fetching.TryLock()
	if idle {
		// Nothing is being handed over, so the log's figures and ours are of one moment.
		defer c.fetching.Unlock()
		c.losses.before()
	}
	consumer, err := c.j.js.Consumer(ctx, eventStream, c.durable)
	if err != nil {
		return Lag{}, fmt.Errorf("ask for the lag of %q: %w", c.name, unavailable(err))
	}
	info := consumer.CachedInfo()
	if idle && len(c.messages) == 0 {
		c.losses.observe(info.NumPending)
	}
	lag := Lag{
		Pending: info.NumPending + uint64(info.NumAckPending), InFlight: info.NumAckPending,
		Lost: c.losses.count(),
	}
	if lag.Pending > 0 {
		lag.Oldest, err = c.oldest(ctx, info.AckFloor.Stream+1)
	}
	return lag, err
}

// oldest returns when the first event from sequence on that the filter lets pass was
// stored; zero if there is none any more.
func (c *Consumer) oldest(ctx context.Context, sequence uint64) (time.Time, error) {
	stream, err := c.j.js.Stream(ctx, eventStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the oldest event of %q: %w", c.name, unavailable(err))
	}
	var first *jetstream.RawStreamMsg
	for _, subject := range c.filters {
		m, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("ask for the oldest event of %q: %w", c.name, unavailable(err))
		}
		if first == nil || m.Sequence < first.Sequence {
			first = m
		}
	}
	if first == nil {
		return time.Time{}, nil
	}
	return first.Time, nil
}

// lossLogInterval is how often at most losses are logged for one output.
const lossLogInterval = time.Minute

// losses counts what the limits removed before the output got it. The log doesn't say, so
// it is what should be there and isn't: pending at the start, plus appended since, minus
// handed over, minus pending now. What was appended is read before the log is asked, so
// that the difference is not too large on that account. The log's own figure of pending
// events trails behind under load, so a difference counts only if the log now begins after
// an event that had not been handed over.
type losses struct {
	j *Journal
	c *Consumer

	mu       sync.Mutex
	pending  uint64 // at the start
	appended uint64 // before the start, of the filter's subjects
	handed   uint64
	last     uint64 // the highest place in the log that was handed over
	whole    uint64 // a place up to which nothing that was removed is not yet counted
	asked    uint64 // appended when the log was last asked
	left     uint64 // pending as of the last delivery
	lost     uint64
	logged   uint64
	loggedAt time.Time
}

func (l *losses) start(j *Journal, c *Consumer, info *jetstream.ConsumerInfo) {
	l.j, l.c, l.pending = j, c, info.NumPending
	l.last, l.whole = info.Delivered.Stream, info.Delivered.Stream
	if first, err := j.first(); err == nil && first > 0 {
		// What was removed while nobody looked cannot be told any more.
		l.whole = max(l.whole, first-1)
	}
	l.appended = l.total()
	l.asked = l.appended
}

// total returns how many events of the filter's subjects were appended since Open.
func (l *losses) total() (n uint64) {
	from := subjects - len(l.c.filters)
	if l.c.filters[0] == allEvents {
		from = 0
	}
	for i := from; i < subjects; i++ {
		n += l.j.appended[i].Load()
	}
	return n
}

func (l *losses) before() {
	n := l.total()
	l.mu.Lock()
	l.asked = n
	l.mu.Unlock()
}

func (l *losses) delivered(meta *nats.MsgMetadata) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = meta.NumPending
	if meta.NumDelivered == 1 {
		l.handed++
		l.last = max(l.last, meta.Sequence.Stream)
	}
}

// after draws the balance of a fetch that has brought something.
func (l *losses) after(any bool) {
	if any {
		l.mu.Lock()
		left := l.left
		l.mu.Unlock()
		l.observe(left)
	}
}

// observe draws the balance when pending events are left in the log.
func (l *losses) observe(pending uint64) {
	l.mu.Lock()
	missing := int64(l.pending+l.asked-l.appended) - int64(l.handed+pending) - int64(l.lost)
	last := l.last
	if missing <= 0 {
		l.whole = last
	}
	l.mu.Unlock()
	if missing <= 0 {
		return
	}
	first, err := l.j.first()
	if err != nil {
		return // the next balance finds it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first <= l.whole+1 {
		// Nothing beyond what was handed over is gone: the log's figure trailed.
		l.whole = max(l.whole, last)
		return
	}
	l.lost += min(uint64(missing), first-1-l.whole)
	l.whole = max(last, first-1)
	l.report()
}

// report logs losses, not too often.
func (l *losses) report() {
	now := time.Now()
	if l.lost == l.logged || now.Sub(l.loggedAt) < lossLogInterval {
		return
	}
	l.j.log.Warn("the journal's limits removed events before an output got them: raise journal.maxbytes or journal.maxage, or mend the output",
		"output", l.c.name, "lost", l.lost-l.logged, "lost_in_all", l.lost)
	l.logged, l.loggedAt = l.lost, now
}

// first returns the place of the oldest event in the log.
func (j *Journal) first() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	stream, err := j.js.Stream(ctx, eventStream)
	if err != nil {
		return 0, unavailable(err)
	}
	return stream.CachedInfo().State.FirstSeq, nil
}

func (l *losses) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// maxFetch is the most events that one Fetch returns.
	maxFetch = 1000
	// minFetchBytes is the least that a Fetch may return: some of the largest events fit.
	minFetchBytes = 4 << 20
	// maxChunks is how many chunks of the log are read in one go. They may hold nothing for
	// the output, and its place is saved in between.
	maxChunks = 64
	// buryPause is the pause before something that could be neither decoded nor buried is
	// tried again.
	buryPause = 30 * time.Second
	// maxRaw is the most bytes that are kept of what cannot be decoded.
	maxRaw = 512 << 10
)

// receipt is what a delivery's reader says about it.
type receipt struct {
	c        *cursor
	holder   *Consumer
	sequence uint64
}

// Ack says that the event is dealt with, also when the cursor has been closed since.
func (r *receipt) Ack() error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.finish(r.sequence)
	return nil
}

// InProgress does nothing: an event stays with its output as long as the process lives.
func (r *receipt) InProgress() error { return nil }

// Nak gives the event back.
func (r *receipt) Nak(delay time.Duration) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.holder == r.holder {
		r.c.giveBack(r.sequence, delay)
	}
	return nil
}

// gathered are the deliveries of one Fetch.
type gathered struct {
	limit, budget int
	bytes         int
	all           []journal.Delivery
	classes       []uint8
	bad           []journal.DeadLetter
	lost          loss
}

func (g *gathered) full() bool { return len(g.all)+len(g.bad) >= g.limit }

// fits reports whether an event of the given size may be added; the first one always may.
func (g *gathered) fits(size int) bool {
	return !g.full() && (len(g.all) == 0 || g.bytes+size <= g.budget)
}

// take adds an event that is in memory, if it fits.
func (g *gathered) take(it *item, sequence uint64) bool {
	if !g.fits(int(it.size)) {
		return false
	}
	g.bytes += int(it.size)
	g.all = append(g.all, journal.Delivery{
		Event: it.event, Sequence: sequence, Stored: it.time(), Size: int(it.size), Replayed: it.class == directed,
	})
	g.classes = append(g.classes, it.class)
	return true
}

// takeLine adds the event that w is at, if it fits. One that cannot be decoded is noted.
func (g *gathered) takeLine(w *walk) bool {
	line := w.line()
	if !g.fits(len(line)) {
		return false
	}
	e, err := w.event()
	if err != nil {
		g.bad = append(g.bad, journal.DeadLetter{
			Raw: raw(line), Sequence: w.sequence(), Stored: w.stored,
			LastError: fmt.Sprintf("decode the stored event: %v", err), Time: time.Now(),
		})
		return true
	}
	it := item{event: e, stored: w.stored.UnixNano(), size: int32(len(line) + 1), class: w.class()}
	return g.take(&it, w.sequence())
}

// Fetch returns the next events, as journal.Consumer says.
func (c *Consumer) Fetch(ctx context.Context, limit, maxBytes int, wait time.Duration) ([]journal.Delivery, error) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	limit = min(max(limit, 1), maxFetch)
	var timeout <-chan time.Time
	for {
		if err := c.open(); err != nil {
			return nil, fmt.Errorf("fetch for %q: %w", c.cursor.name, err)
		}
		ds, more, err := c.next(ctx, gathered{limit: limit, budget: max(maxBytes, minFetchBytes)})
		switch {
		case len(ds) > 0:
			return ds, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("fetch for %q: %w", c.cursor.name, err)
		case more:
			continue
		case wait <= 0:
			return nil, nil
		}
		if timeout == nil {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		if !c.wait(ctx, timeout) {
			return nil, ctx.Err()
		}
	}
}

// open returns why nothing can be fetched; nil when the cursor is open.
func (c *Consumer) open() error {
	select {
	case <-c.closed:
		return journal.ErrClosed
	case <-c.j.closing:
		return journal.ErrClosed
	default:
		return nil
	}
}

// wait waits until there may be something to fetch; false when the time is over.
func (c *Consumer) wait(ctx context.Context, timeout <-chan time.Time) bool {
	cur := c.cursor
	cur.mu.Lock()
	read, full := cur.read, cur.live >= maxOpen
	_, due := cur.due(time.Now(), 0)
	cur.mu.Unlock()
	var again <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		again = timer.C
	}
	var news <-chan struct{}
	if !full {
		if news = c.j.head.beyond(read); news == nil {
			return true
		}
	}
	select {
	case <-news:
	case <-cur.nudge:
	case <-again:
	case <-c.closed:
	case <-c.j.closing:
	case <-timeout:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// next gathers what can be handed out now. More says that there is something left to look
// at, although nothing was found yet.
func (c *Consumer) next(ctx context.Context, g gathered) (_ []journal.Delivery, more bool, err error) {
	cur := c.cursor
	cur.mu.Lock()
	due, _ := cur.due(time.Now(), g.limit)
	p, f, room := cur.position, cur.filter, maxOpen-cur.live
	cur.reading = true
	cur.mu.Unlock()

	gone, err := c.repeat(ctx, due, &g)
	again := len(g.all)
	g.limit = min(g.limit, again+len(g.bad)+room)
	damaged := len(gone) > 0 && c.j.inside(ctx, gone[0])
	more, advanceErr := c.advance(ctx, &p, &f, &g)
	more = more && room > 0
	err = errors.Join(err, advanceErr)

	cur.mu.Lock()
	cur.reading = false
	for _, sequence := range gone {
		cur.lose(sequence, damaged)
	}
	cur.losses.add(g.lost)
	news := cur.losses.news(time.Now())
	ds := c.hand(&g, again)
	cur.move(p)
	cur.mu.Unlock()
	c.tell(ctx, news)
	c.bury(ctx, g.bad)
	return ds, more, err
}

// hand records the deliveries as handed out; the first ones are handed out again. The
// cursor is locked.
func (c *Consumer) hand(g *gathered, again int) []journal.Delivery {
	cur := c.cursor
	receipts := make([]receipt, len(g.all))
	ds := g.all[:0]
	for i, d := range g.all {
		ok, stored := true, d.Stored.UnixNano()
		if i < again {
			d.Attempt, ok = cur.handAgain(d.Sequence, stored)
		} else {
			d.Attempt = cur.hand(d.Sequence, g.classes[i], stored)
		}
		if ok {
			receipts[i] = receipt{cur, c, d.Sequence}
			d.Receipt = &receipts[i]
			ds = append(ds, d)
		}
	}
	for _, d := range g.bad {
		if cur.find(d.Sequence) == nil {
			cur.hand(d.Sequence, testClass, d.Stored.UnixNano())
		}
	}
	cur.changed()
	return ds
}

// repeat gathers the events that wait to be handed out again. It returns those that are no
// longer in the log.
func (c *Consumer) repeat(ctx context.Context, due []uint64, g *gathered) (gone []uint64, err error) {
	for _, sequence := range due {
		if it, ok := c.j.head.get(sequence); ok {
			if !g.take(&it, sequence) {
				break
			}
			continue
		}
		hint := uint64(1)
		if c.again.endMessage != 0 && c.again.endSequence < sequence {
			hint = c.again.endMessage
		}
		ok, err := c.again.seek(ctx, sequence-1, hint)
		if err != nil {
			return gone, err
		}
		if !ok || c.again.damaged != nil || c.again.sequence() != sequence {
			gone = append(gone, sequence)
			continue
		}
		if !g.takeLine(&c.again.walk) {
			break
		}
	}
	if len(due) == 0 {
		c.again.leave()
	}
	return gone, nil
}

// advance gathers new events from p on, notes which of the output's are gone, and moves p.
// It returns whether there is more to look at.
func (c *Consumer) advance(ctx context.Context, p *position, f *filter, g *gathered) (more bool, err error) {
	for range maxChunks {
		if g.full() {
			return true, nil
		}
		if c.j.head.read(p, f, g) {
			c.ahead.leave()
			return false, nil
		}
		ok, err := c.ahead.seek(ctx, p.read, p.message)
		switch {
		case err != nil:
			return false, err
		case !ok:
			c.skip(ctx, p, c.j.head.oldest(), g)
			continue
		case c.ahead.damaged != nil:
			g.bad = append(g.bad, c.damagedChunk(p))
			continue
		}
		c.skip(ctx, p, c.ahead.place(), g)
		if !c.ahead.read(p, f, g) {
			return true, nil
		}
	}
	return true, nil
}

// skip moves p on to where there is something again, and notes how many of the output's
// events are missing between.
func (c *Consumer) skip(ctx context.Context, p *position, to position, g *gathered) {
	if to.read > p.read {
		c.cursor.mu.Lock()
		lost := loss{events: c.cursor.missed(p, &to)}
		c.cursor.mu.Unlock()
		if lost.events > 0 && c.j.inside(ctx, p.read+1) {
			lost.damaged = lost.events
		}
		g.lost.add(lost)
	}
	if to.read >= p.read {
		*p = to
	}
}

// place is the position before the event that w is at.
func (w *walk) place() position {
	p := position{read: w.sequence() - 1, message: w.message, counts: w.before}
	for _, class := range w.classes[:w.next] {
		p.counts.add(class)
	}
	return p
}

// read gathers events of the chunk behind p and moves p; false when there is no more room.
func (w *walk) read(p *position, f *filter, g *gathered) bool {
	for ; w.more(); w.step() {
		if f.passes(w.class(), w.output) && !g.takeLine(w) {
			return false
		}
		p.read, p.message = w.sequence(), w.message
		p.counts.add(w.class())
	}
	return true
}

// damagedChunk notes a chunk that cannot be read, and moves p on behind it. How many events
// it had shows at the next one.
func (c *Consumer) damagedChunk(p *position) journal.DeadLetter {
	damaged := c.ahead.chunk
	c.ahead.leave()
	p.read++
	p.message = damaged.message + 1
	return journal.DeadLetter{
		Raw: raw(damaged.text), Sequence: p.read, Stored: damaged.stored,
		LastError: fmt.Sprintf("read stored events: %v", damaged.damaged), Time: time.Now(),
	}
}

func raw(text []byte) string {
	return strings.ToValidUTF8(string(text[:min(len(text), maxRaw)]), "\uFFFD")
}

// bury puts what cannot be decoded among the dead letters.
func (c *Consumer) bury(ctx context.Context, bad []journal.DeadLetter) {
	for _, d := range bad {
		err := c.Bury(ctx, d)
		r := receipt{c.cursor, c, d.Sequence}
		if err != nil {
			c.j.log.Error("an event that cannot be decoded is tried again later",
				"output", c.cursor.name, "sequence", d.Sequence, "error", err)
			_ = r.Nak(buryPause)
			continue
		}
		c.j.log.Error("an event cannot be decoded and is now a dead letter",
			"output", c.cursor.name, "sequence", d.Sequence, "error", d.LastError)
		_ = r.Ack()
	}
}

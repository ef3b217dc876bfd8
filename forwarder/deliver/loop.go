package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

// fetchWait is how long one question for events waits for the first.
const fetchWait = 5 * time.Second

// loop fetches into the queue until it is told to stop.
func (r *run) loop() error {
	for failures := 0; ; {
		want := r.await()
		if want.events == 0 {
			return nil
		}
		ds, err := r.source.Fetch(r.stop, want.events, want.bytes, want.wait)
		r.take(ds)
		switch {
		case errors.Is(err, journal.ErrClosed):
			return fmt.Errorf("deliver to %q: %w", r.name, err)
		case err != nil && r.stop.Err() == nil:
			failures++
			r.health.journalFailed(err)
			sleep(r.stop, Retry{Initial: time.Second, Max: 30 * time.Second}.backoff(failures))
		case err == nil:
			failures = 0
		}
	}
}

// wanted says what to fetch.
type wanted struct {
	events, bytes int
	wait          time.Duration
}

// await waits until there is room in the queue. Meanwhile it queues the messages of the
// stage whose time has come. No events are wanted when the run is told to stop.
func (r *run) await() wanted {
	for r.stop.Err() == nil {
		now := time.Now()
		wait := r.flush(now)
		r.expire(now)
		r.mu.Lock()
		events, bytes := r.space(now)
		r.starving = events == 0
		r.mu.Unlock()
		if events > 0 {
			return wanted{events, bytes, wait}
		}
		r.awaitRoom(wait)
	}
	return wanted{}
}

// awaitRoom waits for room, at most for the given time if the stage needs it.
func (r *run) awaitRoom(wait time.Duration) {
	var due <-chan time.Time
	if r.stage != nil {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-r.room:
	case <-due:
	case <-r.stop.Done():
	}
}

// space returns how many events and bytes are to be fetched now. While the breaker is open
// nothing is, but for the next probe, and for what is to expire. The caller holds mu.
func (r *run) space(now time.Time) (events, bytes int) {
	bytes = queueBytes - r.queue.bytes
	if r.gate.state != BreakerClosed {
		switch {
		case r.queue.count > 0:
			return 0, 0
		case r.gate.hopeless(now, r.settings.Retry.MaxAge):
			return max(queueEvents, r.batchSize), bytes
		case r.lanes > 0:
			return 0, 0
		}
		return r.batchSize, bytes
	}
	limit := int(r.gate.limit)
	most := max(queueEvents, r.batchSize*min(limit, 2), min(2*r.batchSize*limit, queueMost))
	if bytes <= 0 || r.queue.count > most/2 {
		return 0, 0
	}
	return most - r.queue.count, bytes
}

// take puts in the queue what was fetched, but for what the route holds back, and by way of
// the stage, if there is one.
func (r *run) take(ds []journal.Delivery) {
	if len(ds) == 0 {
		return
	}
	now := time.Now()
	passed := ds[:0]
	for _, d := range ds {
		if !d.Replayed {
			if v := r.route.Decide(&d.Event, now); v != route.Deliver {
				r.finish(d.Ack())
				r.health.heldBack(v)
				continue
			}
		}
		passed = append(passed, d)
	}
	r.mu.Lock()
	passed = r.held.add(passed)
	r.mu.Unlock()
	r.health.took(passed)
	if r.stage == nil {
		r.enqueue(now, passed, nil)
		return
	}
	ready, settled := r.stage.Add(now, passed)
	r.suppress(settled)
	r.enqueue(now, nil, ready)
}

// flush queues the messages of the stage whose time has come, and returns how long the
// next fetch may wait.
func (r *run) flush(now time.Time) time.Duration {
	if r.stage == nil {
		return fetchWait
	}
	ready, settled := r.stage.Due(now)
	r.suppress(settled)
	r.enqueue(now, nil, ready)
	next := r.stage.Next()
	if next.IsZero() {
		return fetchWait
	}
	return min(max(next.Sub(now), time.Millisecond), fetchWait)
}

// enqueue queues events and messages, and begins to send them.
func (r *run) enqueue(now time.Time, ds []journal.Delivery, items []group.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range ds {
		r.queue.push(newUnit(d), now)
	}
	for _, it := range items {
		r.queue.push(summaryUnit(it, now), now)
	}
	r.dispatch(now)
}

// suppress acknowledges what needs no message.
func (r *run) suppress(ds []journal.Delivery) {
	if len(ds) == 0 {
		return
	}
	for _, d := range ds {
		r.finish(d.Ack())
	}
	r.mu.Lock()
	r.held.remove(ds)
	r.mu.Unlock()
}

// expire makes dead letters of what waits in the queue and is too old, when the destination
// has been failing for that long: with one attempt for each of them at a breaker's pace
// there would soon be more of them than the journal keeps.
func (r *run) expire(now time.Time) {
	r.mu.Lock()
	if !r.gate.hopeless(now, r.settings.Retry.MaxAge) {
		r.mu.Unlock()
		return
	}
	problem := r.gate.problem
	var old []unit
	for r.queue.count > 0 && r.expired(r.queue.place(0), now) {
		old = append(old, r.queue.pop())
	}
	r.mu.Unlock()
	for i := range old {
		r.bury(&old[i], problem)
	}
}

// expired reports whether u is too old for another attempt.
func (r *run) expired(u *unit, now time.Time) bool {
	return now.Sub(u.since) >= r.settings.Retry.MaxAge
}

// drain gives back what waits in the queue and in the stage. No lane is begun any more.
func (r *run) drain() {
	r.mu.Lock()
	r.stopped = true
	var units []unit
	for r.queue.count > 0 {
		units = append(units, r.queue.pop())
	}
	r.mu.Unlock()
	r.giveBack(units)
	if r.stage == nil {
		return
	}
	ds := r.stage.Drain()
	for _, d := range ds {
		r.finish(d.Nak(0))
	}
	r.mu.Lock()
	r.held.remove(ds)
	r.mu.Unlock()
}

// sleep waits for d and returns false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

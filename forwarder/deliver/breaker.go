package deliver

import (
	"math/rand/v2"
	"time"

	"github.com/saker-security/saker/outputs"
)

// trips is how many attempts in a row must fail for the breaker to open.
const trips = 5

// hopelessAfter is how long a destination must have failed, at least, before events become
// dead letters without an attempt of their own.
const hopelessAfter = time.Minute

// BreakerState is what a worker's circuit breaker does.
type BreakerState string

// The states of a breaker.
const (
	// BreakerClosed: attempts go on as usual.
	BreakerClosed BreakerState = "closed"
	// BreakerOpen: nothing is sent until a pause is over.
	BreakerOpen BreakerState = "open"
	// BreakerProbing: one attempt is under way to see whether the destination is back.
	BreakerProbing BreakerState = "probing"
)

// breaker keeps a worker from hammering a destination that is down. It opens when attempts
// have failed several times in a row, at once when the destination holds or asks for a
// pause, and stays open until a probe succeeds. The pauses before probes grow.
type breaker struct {
	retry Retry

	failures int       // in a row
	since    time.Time // of the first of them
	problem  error     // of the last of them
	pauses   int       // in a row
	state    BreakerState
	openedAt time.Time
	until    time.Time // when the next probe may begin
}

// failed notes an attempt that began at the given time and failed with problem.
func (b *breaker) failed(now, began time.Time, problem error) {
	if b.state != BreakerClosed && !began.After(b.openedAt) {
		return // it was under way already; only the probe counts
	}
	if b.failures == 0 {
		b.since = now
	}
	b.failures++
	b.problem = problem
	asked := longest(problem, outputs.Delay)
	if b.state == BreakerClosed && b.failures < trips && !anyOf(problem, outputs.Held) && asked <= 0 {
		return
	}
	b.pauses++
	pause := b.retry.bound(b.pauses)
	pause = pause/2 + rand.N(pause/2+1)
	b.state, b.openedAt = BreakerOpen, now
	b.until = now.Add(max(pause, min(asked, maxAsked)))
}

// answered notes that the destination is there.
func (b *breaker) answered() {
	b.state, b.failures, b.pauses, b.problem = BreakerClosed, 0, 0, nil
}

// hopeless reports whether the destination has failed for so long that what is older than
// maxAge needs no attempt of its own any more.
func (b *breaker) hopeless(now time.Time, maxAge time.Duration) bool {
	return b.state != BreakerClosed && now.Sub(b.since) >= max(maxAge, hopelessAfter)
}

// backoff returns a random pause after the try-th failure, up to its bound.
func (r Retry) backoff(try int) time.Duration { return rand.N(r.bound(try)) + 1 }

// bound returns the upper bound of the pause after the try-th failure: Initial after the
// first, twice as much after each further one, never more than Max.
func (r Retry) bound(try int) time.Duration {
	bound := r.Initial
	for range try - 1 {
		if bound >= r.Max/2 {
			return r.Max
		}
		bound *= 2
	}
	return min(bound, r.Max)
}

package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// maxParked is how many lanes without a batch keep their goroutine, because making a new one
// for each of a trickle of events costs more than the rest of our part in sending it.
const maxParked = 8

// lane delivers one batch after the other, in a goroutine of its own.
type lane struct {
	*run
	units  []unit
	events []event.Event
	turn   chan struct{} // told when the gate has let it in
	begin  chan struct{} // told when a parked lane has been given units
	watch  stopwatch
}

// dispatch lets in who waits at the gate, and begins lanes for what waits in the queue. It
// is called when something has changed that either might have waited for. The caller holds
// mu.
func (r *run) dispatch(now time.Time) {
	for len(r.gate.waiting) > 0 && r.gate.enter(now) {
		r.gate.waiting[0] <- struct{}{}
		r.gate.waiting = r.gate.waiting[1:]
	}
	for !r.stopped && r.lanes < r.slots && r.queue.ready(now) && r.gate.enter(now) {
		r.lanes++
		if n := len(r.parked); n > 0 {
			l := r.parked[n-1]
			r.parked = r.parked[:n-1]
			l.units = r.queue.take(l.units[:0])
			l.begin <- struct{}{}
			continue
		}
		l := r.newLane()
		l.units = r.queue.take(l.units[:0])
		r.sending.Go(l.work)
	}
	r.setTimer(now)
	if r.starving && r.needsLoop(now) {
		r.starving = false
		select {
		case r.room <- struct{}{}:
		default:
		}
	}
}

// needsLoop reports whether there is something for the loop to do.
func (r *run) needsLoop(now time.Time) bool {
	if events, _ := r.space(now); events > 0 {
		return true
	}
	return r.queue.count > 0 && r.gate.hopeless(now, r.settings.Retry.MaxAge)
}

// setTimer makes the timer ring when dispatch will have something to do that nothing but
// time brings. Ringing too often does no harm, so that it isn't stopped.
func (r *run) setTimer(now time.Time) {
	var at time.Time
	switch {
	case r.gate.state == BreakerOpen && (r.queue.count > 0 || len(r.gate.waiting) > 0):
		at = r.gate.until
	case r.gate.state == BreakerClosed && r.queue.count > 0 && r.lanes < r.slots:
		at = r.queue.due()
	}
	if at.After(now) && !at.Equal(r.rings) {
		r.rings = at
		r.timer.Reset(at.Sub(now))
	}
}

// tend calls dispatch when the timer rings, and tells the journal of the events in hand,
// until the function that it returns is called.
func (r *run) tend() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(keepAlive)
		defer ticker.Stop()
		defer r.timer.Stop()
		for {
			select {
			case <-r.timer.C:
				r.mu.Lock()
				r.dispatch(time.Now())
				r.mu.Unlock()
			case <-ticker.C:
				r.keepAlive()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// newLane returns a lane that is not in use.
func (r *run) newLane() *lane {
	if n := len(r.idle); n > 0 {
		l := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return l
	}
	return &lane{
		run: r, turn: make(chan struct{}, 1), begin: make(chan struct{}, 1),
		watch: stopwatch{parent: r.attempts, limit: r.settings.Timeout},
	}
}

// work delivers the lane's batch, then what waits in the queue, as long as the gate lets it
// go on, and then what it is given while it is parked.
func (l *lane) work() {
	for l.deliver(l.units) {
		more, parked := l.next()
		if !more && (!parked || !l.wait()) {
			return
		}
	}
}

// wait waits for units while the lane is parked; false when it is to end.
func (l *lane) wait() bool {
	select {
	case <-l.begin:
		return true
	case <-l.stop.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.parked, l)
	if i >= 0 {
		l.parked = slices.Delete(l.parked, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		<-l.begin // it was given units just before
	}
	return i < 0
}

// next takes the next batch. Without one the lane is no longer in use, and parked or given
// up.
func (l *lane) next() (more, parked bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.units)
	l.gate.leave()
	if !l.stopped && len(l.gate.waiting) == 0 && l.queue.ready(now) && l.gate.enter(now) {
		l.units = l.queue.take(l.units[:0])
		l.dispatch(now)
		return true, false
	}
	return false, l.retire(now)
}

// retire ends the use of the lane and reports whether it is parked. The caller holds mu.
func (l *lane) retire(now time.Time) (parked bool) {
	l.lanes--
	parked = !l.stopped && len(l.parked) < maxParked
	if parked {
		l.parked = append(l.parked, l)
	} else {
		l.idle = append(l.idle, l)
	}
	l.dispatch(now)
	return parked
}

// deliver deals with units: when it returns, each of them is acknowledged or given back. It
// is inside the gate when it is called, and when it returns true; false says that the run
// is told to stop.
func (l *lane) deliver(units []unit) bool {
	for try := 1; ; try++ {
		err := l.attempt(units)
		if err == nil {
			l.accepted(units)
			return true
		}
		if outputs.Rejected(err) && len(units) > 1 {
			return l.halve(units)
		}
		var asked time.Duration
		if units, asked = l.settle(units, err); len(units) == 0 {
			return true
		}
		if !l.pause(max(l.settings.Retry.backoff(try), min(asked, maxAsked))) {
			l.giveBack(units)
			return false
		}
	}
}

// halve delivers the two halves of a rejected batch, each by itself.
func (l *lane) halve(units []unit) bool {
	half := len(units) / 2
	for _, part := range [][]unit{units[:half], units[half:]} {
		if l.stop.Err() != nil {
			l.giveBack(part)
			continue
		}
		l.deliver(part)
	}
	return l.stop.Err() == nil
}

// pause leaves the gate for at least d and enters it again; false, and outside the gate,
// when the run is told to stop before.
func (l *lane) pause(d time.Duration) bool {
	l.mu.Lock()
	l.gate.leave()
	l.dispatch(time.Now())
	l.mu.Unlock()
	if !sleep(l.stop, d) {
		return false
	}
	l.mu.Lock()
	now := time.Now()
	if len(l.gate.waiting) == 0 && l.gate.enter(now) {
		l.mu.Unlock()
		return true
	}
	l.gate.waiting = append(l.gate.waiting, l.turn)
	l.dispatch(now)
	l.mu.Unlock()
	select {
	case <-l.turn:
		return true
	case <-l.stop.Done():
		return false
	}
}

// attempt calls Send once.
func (l *lane) attempt(units []unit) error {
	l.events = l.events[:0]
	for i := range units {
		units[i].attempts++
		l.events = append(l.events, units[i].Event)
	}
	began := time.Now()
	err := l.call(l.watch.start(began), l.events)
	l.watch.end()
	ended := time.Now()
	a := Attempt{Output: l.name, Batch: l.events, Events: len(units), Try: units[0].attempts, Began: began, Latency: ended.Sub(began), Err: err}
	a.Outcome, a.Failed = judge(err, len(units))
	l.health.attempted(&a, l.note(&a, ended), ended)
	if l.observer != nil {
		l.observer.Attempted(a)
	}
	clear(l.events)
	return err
}

// call turns a panic of the sender into an error that is tried again.
func (l *lane) call(ctx context.Context, events []event.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the output panicked: %v", p)
			l.health.panicked(err, debug.Stack())
		}
	}()
	return l.sender.Send(ctx, events)
}

// note tells the gate what became of an attempt, and returns the breaker's state then.
func (r *run) note(a *Attempt, now time.Time) BreakerState {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case a.Outcome == Failed || a.Outcome == Held:
		r.gate.limiter.failed(now, a.Began)
		r.gate.breaker.failed(now, a.Began, a.Err)
		return r.gate.state
	case a.Outcome == Partly && !onlyRejects(a.Err):
		r.gate.limiter.failed(now, a.Began)
	case a.Outcome != Rejected:
		r.gate.succeeded(now, a.Latency, r.gate.busy() && r.queue.isFull())
	}
	r.gate.answered()
	return r.gate.state
}

// onlyRejects reports whether all failed events of a batch were rejected, which says
// nothing of what the destination can take.
func onlyRejects(err error) bool {
	parts, _ := errors.AsType[outputs.Partial](err)
	for _, part := range parts {
		if !outputs.Rejected(part) {
			return false
		}
	}
	return true
}

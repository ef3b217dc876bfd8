package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

// send deals with ds: when it returns, each of them is acknowledged or given back. The
// attempts made before, in a larger batch, are tried many.
func (r *run) send(ds []journal.Delivery, tried int) {
	for try := 1; len(ds) > 0; try++ {
		if r.stop.Err() != nil {
			r.giveBack(ds)
			return
		}
		err := r.attempt(ds)
		if err == nil {
			r.accepted(ds)
			return
		}
		if outputs.Rejected(err) && len(ds) > 1 {
			half := len(ds) / 2
			r.send(ds[:half], tried+try)
			r.send(ds[half:], tried+try)
			return
		}
		var asked time.Duration
		if ds, asked = r.settle(ds, err, tried+try); len(ds) == 0 && asked < 0 {
			return
		}
		wait := max(backoff(try, r.settings.Retry.Initial, r.settings.Retry.Max), min(asked, maxAsked))
		if !r.pause(wait) {
			r.giveBack(ds)
			return
		}
	}
}

// settle ends what an attempt's error settles: accepted events, rejected ones, and those
// that are too old for another attempt. It returns those that are to be tried again, and
// how long the destination asked to be left alone; less than 0 says that it asked for no
// pause because nothing is wrong with it.
func (r *run) settle(ds []journal.Delivery, err error, attempts int) (again []journal.Delivery, asked time.Duration) {
	parts, partly := errors.AsType[outputs.Partial](err)
	partly = partly && !outputs.Rejected(err) && valid(parts, len(ds))
	asked = -1
	for i, d := range ds {
		problem := err
		if partly {
			if problem = parts[i]; problem == nil {
				r.accepted(ds[i : i+1])
				continue
			}
		}
		switch {
		case outputs.Rejected(problem):
			r.bury(d, problem, attempts)
			continue
		case time.Since(d.Stored) >= r.settings.Retry.MaxAge:
			r.bury(d, problem, attempts)
		default:
			again = append(again, d)
		}
		asked = max(asked, outputs.Delay(problem))
	}
	r.health.retried(len(again))
	return again, asked
}

// valid reports whether a Partial speaks of events of the batch. One that doesn't is a
// mistake of the output's, and all is tried again.
func valid(p outputs.Partial, n int) bool {
	for i, err := range p {
		if i < 0 || i >= n || err == nil {
			return false
		}
	}
	return true
}

// attempt calls Send once.
func (r *run) attempt(ds []journal.Delivery) error {
	events := make([]event.Event, len(ds))
	for i := range ds {
		events[i] = ds[i].Event
	}
	ctx, cancel := context.WithTimeout(r.attempts, r.settings.Timeout)
	defer cancel()
	start := time.Now()
	err := r.call(ctx, events)
	a := Attempt{Output: r.name, Events: len(ds), Latency: time.Since(start), Err: err}
	a.Outcome, a.Failed = judge(err, len(ds))
	r.health.attempted(a)
	if r.observer != nil {
		r.observer.Attempted(a)
	}
	return err
}

// call turns a panic of the sender into an error that is tried again.
func (r *run) call(ctx context.Context, events []event.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the output panicked: %v", p)
			r.health.panicked(err, debug.Stack())
		}
	}()
	return r.sender.Send(ctx, events)
}

// accepted acknowledges what the destination has taken.
func (r *run) accepted(ds []journal.Delivery) {
	for _, d := range ds {
		r.finish(d.Ack())
	}
	r.held.remove(ds)
	r.health.delivered(len(ds))
}

// giveBack returns to the journal what isn't dealt with.
func (r *run) giveBack(ds []journal.Delivery) {
	for _, d := range ds {
		r.finish(d.Nak(0))
	}
	r.held.remove(ds)
}

// finish notes that a word to the journal didn't get through. The journal will deliver the
// event once more, which is all that follows from it.
func (r *run) finish(err error) {
	if err != nil {
		r.log.Debug("the journal wasn't reached", "error", err)
	}
}

// bury makes a dead letter of d and acknowledges it then. While the journal cannot store
// the letter, it keeps trying.
func (r *run) bury(d journal.Delivery, problem error, attempts int) {
	letter := journal.DeadLetter{
		Output: r.name, Event: d.Event, Sequence: d.Sequence, Stored: d.Stored,
		Attempts: attempts, LastError: problem.Error(), Time: time.Now(),
	}
	one := []journal.Delivery{d}
	for try := 1; ; try++ {
		err := r.source.Bury(r.attempts, letter)
		if err == nil {
			r.finish(d.Ack())
			r.held.remove(one)
			r.health.buried(problem)
			return
		}
		r.health.journalFailed(err)
		if !r.pause(backoff(try, time.Second, 30*time.Second)) {
			r.giveBack(one)
			return
		}
	}
}

// backoff returns a random pause after the try-th failure: up to initial after the first,
// twice as much after each further one, never more than most.
func backoff(try int, initial, most time.Duration) time.Duration {
	bound := initial
	for range try - 1 {
		if bound >= most/2 {
			bound = most
			break
		}
		bound *= 2
	}
	return rand.N(min(bound, most)) + 1
}

// judge names what an attempt's error means for a batch of n, and counts the events that
// were not delivered.
func judge(err error, n int) (Outcome, int) {
	parts, partly := errors.AsType[outputs.Partial](err)
	switch {
	case err == nil:
		return Delivered, 0
	case outputs.Rejected(err):
		return Rejected, n
	case !partly || !valid(parts, n):
		return Failed, n
	case len(parts) == 0:
		return Delivered, 0
	case len(parts) < n:
		return Partly, len(parts)
	}
	for _, part := range parts {
		if !outputs.Rejected(part) {
			return Failed, n
		}
	}
	return Rejected, n
}

package deliver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

// maxErrorText is how many bytes of an error a dead letter keeps.
const maxErrorText = 2 << 10

// settle ends what an attempt's error settles: accepted events, rejected ones, and those
// that are too old for another attempt. It returns those that are to be tried again, in
// the same memory, and how long the destination asked to be left alone.
func (r *run) settle(units []unit, err error) (again []unit, asked time.Duration) {
	parts, partly := partsOf(err, len(units))
	now := time.Now()
	again = units[:0]
	for i := range units {
		u, problem := units[i], err
		if partly {
			if problem = parts[i]; problem == nil {
				r.accepted(units[i : i+1])
				continue
			}
		}
		if u.first == nil {
			u.first = problem
		}
		if outputs.Rejected(problem) || r.expired(&u, now) {
			r.bury(&u, problem)
			continue
		}
		again = append(again, u)
		asked = max(asked, outputs.Delay(problem))
	}
	r.health.retried(len(again))
	return again, asked
}

// accepted acknowledges what the destination has taken.
func (r *run) accepted(units []unit) {
	n := 0
	for i := range units {
		r.finish(units[i].ack())
		n += units[i].count()
	}
	r.letGo(units)
	r.health.delivered(n)
}

// giveBack returns to the journal what isn't dealt with.
func (r *run) giveBack(units []unit) {
	for i := range units {
		r.finish(units[i].nak())
	}
	r.letGo(units)
}

// letGo forgets units that are acknowledged or given back.
func (r *run) letGo(units []unit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range units {
		if units[i].covers == nil {
			delete(r.held.all, units[i].Sequence)
			continue
		}
		r.held.remove(units[i].covers)
	}
}

// finish notes that a word to the journal didn't get through. The journal will deliver the
// event once more, which is all that follows from it.
func (r *run) finish(err error) {
	if err != nil {
		r.log.Debug("the journal wasn't reached", "error", err)
	}
}

// bury makes dead letters of what u stands for and acknowledges each then. What cannot be
// stored before the run is told to stop is given back.
func (r *run) bury(u *unit, problem error) {
	covers := u.covers
	note := ""
	if covers == nil {
		covers = []journal.Delivery{u.Delivery}
	} else {
		note = fmt.Sprintf(" (sent as one message about %d events)", len(covers))
	}
	first := problem
	if u.first != nil {
		first = u.first
	}
	for i, d := range covers {
		letter := journal.DeadLetter{
			Output: r.name, Event: d.Event, Sequence: d.Sequence, Stored: d.Stored,
			Attempts: u.attempts, FirstError: clip(first.Error(), maxErrorText),
			LastError: clip(problem.Error(), maxErrorText-len(note)) + note, Time: time.Now(),
		}
		if !r.store(letter) {
			r.giveBack([]unit{{Delivery: d, covers: covers[i:]}})
			return
		}
		r.finish(d.Ack())
		r.letGo([]unit{{Delivery: d}})
		r.health.buried(problem)
	}
}

// store stores a dead letter. While the journal cannot, it keeps trying; false when the run
// is told to stop before.
func (r *run) store(letter journal.DeadLetter) bool {
	pauses := Retry{Initial: time.Second, Max: 30 * time.Second}
	for try := 1; ; try++ {
		err := r.source.Bury(r.attempts, letter)
		if err == nil {
			return true
		}
		r.health.journalFailed(err)
		if !sleep(r.stop, pauses.backoff(try)) {
			return false
		}
	}
}

// clip returns at most n bytes of s, whole characters only.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// partsOf returns the parts of a Partial; false if err is about the whole batch of n. A
// Partial that speaks of events outside the batch is a mistake of the output's, and all of
// it is tried again.
func partsOf(err error, n int) (outputs.Partial, bool) {
	if outputs.Rejected(err) {
		return nil, false
	}
	parts, partly := errors.AsType[outputs.Partial](err)
	for i, part := range parts {
		if i < 0 || i >= n || part == nil {
			return nil, false
		}
	}
	return parts, partly
}

// judge names what an attempt's error means for a batch of n, and counts the events that
// were not delivered.
func judge(err error, n int) (Outcome, int) {
	if err == nil {
		return Delivered, 0
	}
	parts, partly := partsOf(err, n)
	switch {
	case outputs.Rejected(err):
		return Rejected, n
	case !partly && outputs.Held(err):
		return Held, n
	case !partly:
		return Failed, n
	case len(parts) == 0:
		return Delivered, 0
	case len(parts) < n:
		return Partly, len(parts)
	case onlyRejects(parts):
		return Rejected, n
	case anyOf(parts, outputs.Held):
		return Held, n
	}
	return Failed, n
}

// anyOf reports whether is holds for err or, if it is a Partial, for one of its parts.
func anyOf(err error, is func(error) bool) bool {
	parts, _ := errors.AsType[outputs.Partial](err)
	for _, part := range parts {
		if is(part) {
			return true
		}
	}
	return is(err)
}

// longest returns the most that of gives for err or, if it is a Partial, for its parts.
func longest(err error, of func(error) time.Duration) time.Duration {
	most := of(err)
	parts, _ := errors.AsType[outputs.Partial](err)
	for _, part := range parts {
		most = max(most, of(part))
	}
	return most
}

package embedded

import (
	"context"
	"time"
)

// lossLogInterval is how often at most losses are logged for one output.
const lossLogInterval = time.Minute

// loss is a number of events that were gone before an output got them.
type loss struct {
	events uint64
	// damaged are those of them that the limits cannot have removed, since the log still has
	// older ones.
	damaged uint64
}

func (l *loss) add(o loss) {
	l.events += o.events
	l.damaged += o.damaged
}

// losses counts what an output lost since its cursor was opened.
type losses struct {
	loss
	logged   loss
	loggedAt time.Time
}

// news returns what is to be logged now, which is not too often; it counts as logged then.
func (l *losses) news(now time.Time) loss {
	if l.loss == l.logged || !l.loggedAt.IsZero() && now.Sub(l.loggedAt) < lossLogInterval {
		return loss{}
	}
	n := loss{l.events - l.logged.events, l.damaged - l.logged.damaged}
	l.logged, l.loggedAt = l.loss, now
	return n
}

// tell logs what was lost. Nothing may be locked: it may ask the storage.
func (c *Consumer) tell(ctx context.Context, n loss) {
	if n.events == 0 {
		return
	}
	c.cursor.mu.Lock()
	all := c.cursor.losses.events
	c.cursor.mu.Unlock()
	c.j.log.WarnContext(ctx, "events were gone before an output got them",
		"output", c.cursor.name, "lost", n.events, "lost_in_all", all, "why", c.j.whyLost(ctx, n))
}

// whyLost says what took events away.
func (j *Journal) whyLost(ctx context.Context, n loss) string {
	switch {
	case n.damaged == n.events:
		return "the journal's files are damaged: check the disk"
	case n.damaged == 0 && j.atLimits(ctx):
		return "the journal's limits removed them: raise journal.maxbytes or journal.maxage, or mend the output"
	default:
		return "the journal's limits removed them (raise journal.maxbytes or journal.maxage, or mend the output) or its files are damaged (check the disk)"
	}
}

// atLimits reports whether the log is about as large or as old as its limits allow, so that
// they are what removes its oldest events.
func (j *Journal) atLimits(ctx context.Context) bool {
	if j.link.Load() == nil {
		return false // nobody would answer
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := j.js.Stream(ctx, logStream)
	if err != nil {
		return false
	}
	state := &s.CachedInfo().State
	return state.Bytes+maxMessage >= uint64(j.cfg.MaxBytes) ||
		state.Msgs > 0 && time.Since(state.FirstTime) >= j.cfg.MaxAge-j.cfg.MaxAge/10
}

// inside reports whether the log still has events that are older than the given one, which
// isn't there; false if that cannot be found out now.
func (j *Journal) inside(ctx context.Context, sequence uint64) bool {
	j.begin.forget() // it may be what has changed
	oldest, err := j.gone(ctx)
	return err == nil && oldest.read+1 < sequence
}

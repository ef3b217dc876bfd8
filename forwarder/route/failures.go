package route

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// failureLogInterval is how often failures of one output's expression are logged at most.
const failureLogInterval = time.Minute

// Failures counts the events for which an output's expression could not be evaluated, and
// logs the failures at most once a minute. A nil Failures does neither.
type Failures struct {
	log    *slog.Logger
	output string
	count  atomic.Uint64
	// logged is when the last line was written, in nanoseconds since 1970; 0 for never.
	logged atomic.Int64
	told   atomic.Uint64
}

// NewFailures makes the Failures of the output called output.
func NewFailures(log *slog.Logger, output string) *Failures {
	return &Failures{log: log, output: output}
}

// Count returns how many events passed because the expression could not be evaluated.
func (f *Failures) Count() uint64 {
	if f == nil {
		return 0
	}
	return f.count.Load()
}

func (f *Failures) add(now time.Time, err error) {
	if f == nil {
		return
	}
	count, last := f.count.Add(1), f.logged.Load()
	// A clock that was set back must not keep the log silent until it has caught up.
	since := now.Sub(time.Unix(0, last))
	if last != 0 && since >= 0 && since < failureLogInterval {
		return
	}
	if f.logged.CompareAndSwap(last, now.UnixNano()) {
		f.log.Warn("the match of an output cannot be evaluated for some events, which are therefore delivered",
			"output", f.output, "events", count-f.told.Swap(count), "error", err)
	}
}

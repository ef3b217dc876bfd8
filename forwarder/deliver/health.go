package deliver

import (
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

// Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	// Delivered: the destination has accepted all events.
	Delivered Outcome = "delivered"
	// Failed: none was accepted; they are tried again.
	Failed Outcome = "failed"
	// Held: none was accepted, and none will be before somebody has mended the destination
	// or its configuration; they are tried again.
	Held Outcome = "held"
	// Rejected: none was accepted, and the batch as it is never will be.
	Rejected Outcome = "rejected"
	// Partly: some were accepted.
	Partly Outcome = "partly"
)

// Attempt describes one call of an output's Send.
type Attempt struct {
	Output  string
	Outcome Outcome
	// Batch is what was sent. It must neither be kept nor changed.
	Batch []event.Event
	// Events is the size of the batch; Failed of them were not accepted.
	Events, Failed int
	// Try counts the attempts of the batch's first event in this worker, from 1.
	Try int
	// Began is when Send was called, Latency how long it took.
	Began   time.Time
	Latency time.Duration
	// Err is what Send returned.
	Err error
}

// An Observer hears of every attempt, from several goroutines at once. It must not block.
type Observer interface {
	Attempted(a Attempt)
}

// State is how an output is doing, since the worker was made.
type State struct {
	Output string
	// Healthy turns false with an attempt that failed and true with the next that didn't.
	// A rejected event says nothing about the destination's health.
	Healthy bool
	// LastError is the text of the last error, be it a failure or a rejection; it stays
	// when the output has recovered. LastErrorAt is zero if there was none.
	LastError   string
	LastErrorAt time.Time
	// FailingSince is when the output became unhealthy; zero while it is healthy.
	FailingSince time.Time
	// Held says that the destination refuses all events until somebody mends it or its
	// configuration.
	Held bool
	// LastSuccess is when the destination last accepted something.
	LastSuccess time.Time

	// Attempts counts calls of Send. The others count events.
	Attempts, Delivered, Retries, DeadLetters uint64
	// Redelivered are events that the journal had handed out before: after a crash the
	// destination may get them twice. Replayed are those that somebody asked to be sent to
	// this output again.
	Redelivered, Replayed uint64
	// Filtered are events that the output's minimum priority or expression held back,
	// although the journal handed them over; Silenced those that a silence did; Suppressed
	// those that got no message of their own, because others stood for them. Summaries are
	// the messages that stood for them.
	Filtered, Silenced, Suppressed, Summaries uint64
	// InFlight are the events in hand now; HeldBack of them wait in the stage of grouping.
	InFlight, HeldBack int
	// Breaker is what the circuit breaker does.
	Breaker BreakerState
	// Limit is how many attempts may run at once now.
	Limit int
}

// State returns how the output is doing.
func (w *Worker) State() State {
	w.health.mu.Lock()
	s := w.health.state
	w.health.mu.Unlock()
	if w.stage != nil {
		stats := w.stage.Stats()
		s.HeldBack, s.Suppressed, s.Summaries = stats.Held, stats.Suppressed, stats.Summaries
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.InFlight = len(w.held.all)
	s.Breaker, s.Limit = w.gate.state, int(w.gate.limit)
	return s
}

// logInterval is how often at most something that repeats is logged.
const logInterval = time.Minute

// health keeps a worker's state and writes its log.
type health struct {
	log *slog.Logger

	mu       sync.Mutex
	state    State
	failures repeated
	outage   int  // failures since the last success
	said     bool // some of them are in the log
	letters  repeated
	journal  repeated
	stack    bool // a panic's stack has been logged
}

// repeated counts what happens again and again, so that it is said once a minute.
type repeated struct {
	count  int // since it was last said
	saidAt time.Time
}

// say counts one more and reports whether to say it now, with how many are unsaid.
func (r *repeated) say(now time.Time) (unsaid int, ok bool) {
	r.count++
	if !r.saidAt.IsZero() && now.Sub(r.saidAt) < logInterval {
		return 0, false
	}
	unsaid, r.count, r.saidAt = r.count, 0, now
	return unsaid, true
}

// attempted notes an attempt and the state in which it left the breaker.
func (h *health) attempted(a *Attempt, breaker BreakerState, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Attempts++
	if a.Failed < a.Events {
		h.state.LastSuccess = now
	}
	if a.Err != nil {
		h.state.LastError, h.state.LastErrorAt = a.Err.Error(), now
	}
	switch a.Outcome {
	case Delivered, Partly:
		h.recovered(now)
	case Failed, Held:
		h.failed(a, breaker, now)
	}
}

func (h *health) failed(a *Attempt, breaker BreakerState, now time.Time) {
	if h.state.Healthy {
		h.state.Healthy, h.state.FailingSince, h.outage = false, now, 0
	}
	h.outage++
	h.state.Held = a.Outcome == Held
	n, ok := h.failures.say(now)
	if !ok {
		return
	}
	h.said = true
	facts := []any{"error", a.Err, "attempts", n, "failing_for", now.Sub(h.state.FailingSince).Round(time.Second), "breaker", breaker}
	if a.Outcome == Held {
		h.log.Warn("the destination refuses all events until somebody mends it or its configuration; they wait", facts...)
		return
	}
	h.log.Warn("delivery fails and is tried again", facts...)
}

// recovered notes a success. It is said only where the failures before were, so that a
// destination that fails now and then doesn't fill the log.
func (h *health) recovered(now time.Time) {
	if h.state.Healthy {
		return
	}
	if h.said {
		h.said = false
		h.log.Info("delivery works again", "failed_attempts", h.outage,
			"failing_for", now.Sub(h.state.FailingSince).Round(time.Second))
	}
	h.state.Healthy, h.state.FailingSince, h.state.Held = true, time.Time{}, false
}

// panicked logs the stack of the first panic; the error itself is logged as a failure.
func (h *health) panicked(err error, stack []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stack {
		h.stack = true
		h.log.Error("the output has a bug", "error", err, "stack", string(stack))
	}
}

// journalFailed notes that the journal couldn't be read or written.
func (h *health) journalFailed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, ok := h.journal.say(time.Now()); ok {
		h.log.Warn("the journal doesn't answer", "error", err, "times", n)
	}
}

func (h *health) buried(problem error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.DeadLetters++
	if n, ok := h.letters.say(time.Now()); ok {
		h.log.Error("events could not be delivered and are now dead letters", "events", n, "error", problem)
	}
}

func (h *health) took(ds []journal.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		if d.Attempt > 1 {
			h.state.Redelivered++
		}
		if d.Replayed {
			h.state.Replayed++
		}
	}
}

// heldBack counts an event that the route doesn't let pass.
func (h *health) heldBack(v route.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v == route.Silenced {
		h.state.Silenced++
		return
	}
	h.state.Filtered++
}

func (h *health) delivered(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Delivered += uint64(n)
}

func (h *health) retried(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Retries += uint64(n)
}

package deliver

import (
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	// Delivered: the destination has accepted all events.
	Delivered Outcome = "delivered"
	// Failed: none was accepted; they are tried again.
	Failed Outcome = "failed"
	// Rejected: none was accepted, and the batch as it is never will be.
	Rejected Outcome = "rejected"
	// Partly: some were accepted.
	Partly Outcome = "partly"
)

// Attempt describes one call of an output's Send.
type Attempt struct {
	Output  string
	Outcome Outcome
	// Events is the size of the batch; Failed of them were not accepted.
	Events, Failed int
	Latency        time.Duration
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
	// LastSuccess is when the destination last accepted something.
	LastSuccess time.Time

	// Attempts counts calls of Send. The others count events.
	Attempts, Delivered, Retries, DeadLetters uint64
	// Redelivered are events that the journal had handed out before: after a crash the
	// destination may get them twice.
	Redelivered uint64
	// Filtered are events that the route held back although the journal handed them over.
	Filtered uint64
	// InFlight are the events in hand now.
	InFlight int
}

// State returns how the output is doing.
func (w *Worker) State() State {
	w.health.mu.Lock()
	s := w.health.state
	w.health.mu.Unlock()
	s.InFlight = w.held.len()
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
	letters  repeated
	journal  repeated
	stack    bool // a panic's stack has been logged
}

// repeated counts what happens again and again, so that it is said once a minute.
type repeated struct {
	count  int // since it was last said
	total  int // since the first
	saidAt time.Time
}

// say counts one more and reports whether to say it now, with how many are unsaid.
func (r *repeated) say(now time.Time) (unsaid int, ok bool) {
	r.count++
	r.total++
	if !r.saidAt.IsZero() && now.Sub(r.saidAt) < logInterval {
		return 0, false
	}
	unsaid, r.count, r.saidAt = r.count, 0, now
	return unsaid, true
}

func (h *health) attempted(a Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
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
	case Failed:
		h.failed(a, now)
	}
}

func (h *health) failed(a Attempt, now time.Time) {
	if h.state.Healthy {
		h.state.Healthy, h.state.FailingSince, h.failures = false, now, repeated{}
	}
	if n, ok := h.failures.say(now); ok {
		h.log.Warn("delivery fails and is tried again", "error", a.Err, "attempts", n,
			"failing_for", now.Sub(h.state.FailingSince).Round(time.Second))
	}
}

func (h *health) recovered(now time.Time) {
	if h.state.Healthy {
		return
	}
	h.log.Info("delivery works again", "failed_attempts", h.failures.total,
		"failing_for", now.Sub(h.state.FailingSince).Round(time.Second))
	h.state.Healthy, h.state.FailingSince = true, time.Time{}
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
	}
}

func (h *health) filtered() {
	h.mu.Lock()
	defer h.mu.Unlock()
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

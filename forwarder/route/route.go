// Package route decides whether an output gets an event.
//
// It stands between the journal and deliver. An event has to reach the output's minimum
// priority, then its expression has to let it pass, then no silence may hold it back:
//
//	event ── minimum priority ── match ── silences ──▶ deliver
//
// The decision depends on the event, the output's settings and the silences alone: nothing
// here does any I/O or has a clock of its own. The journal applies the part of the decision
// that a consumer's filter can express, so that most of what an output doesn't want is never
// handed over; Decide is the whole decision, and the tests hold the two together.
//
// An expression that cannot be evaluated for an event lets it pass: an alert too many is
// seen and mended, one too few is not.
package route

import (
	"fmt"
	"time"

	"github.com/saker-security/saker/event"
)

// TestRule is the rule of a test event. Such an event reaches every output, whatever the
// output's minimum priority is, as it does in Falcosidekick.
const TestRule = "Test rule"

// IsTest reports whether e is a test event.
func IsTest(e *event.Event) bool { return e.Rule == TestRule }

// Verdict is what becomes of an event at one output.
type Verdict uint8

// The verdicts.
const (
	// Deliver: the output gets the event.
	Deliver Verdict = iota
	// BelowPriority: the event's priority is below the output's minimum.
	BelowPriority
	// NoMatch: the output's expression does not let it pass.
	NoMatch
	// Silenced: a silence holds it back.
	Silenced
)

var verdictNames = [...]string{"deliver", "below_priority", "no_match", "silenced"}

// String returns the verdict as the API shows it: deliver, below_priority, no_match or
// silenced.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// MarshalText returns what String returns.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Route is what an output wants to get. The zero Route takes every event. Its methods may
// be called from several goroutines at once.
type Route struct {
	// MinimumPriority is the lowest priority that passes. None lets everything pass.
	MinimumPriority event.Priority
	// Match, if not nil, has to let an event pass.
	Match *Match
	// Failures, if not nil, is told of the events for which Match could not be evaluated.
	Failures *Failures
	// Silenced, if not nil, says whether a silence holds e back at the time now, and its id.
	Silenced func(e *event.Event, now time.Time) (id string, ok bool)
	// WhySilenced, if not nil, is what Explain asks in the place of Silenced. It answers the
	// same, with a clause that names the silence, and counts nothing.
	WhySilenced func(e *event.Event, now time.Time) (reason string, ok bool)
}

// Decision says whether an event passes, and why.
type Decision struct {
	Verdict Verdict
	// Reason is a clause for people: "priority Warning is below the minimum, Error".
	Reason string
}

// Decide says what becomes of e.
func (r *Route) Decide(e *event.Event, now time.Time) Verdict {
	switch {
	case IsTest(e):
		return Deliver
	case e.Priority < r.MinimumPriority:
		return BelowPriority
	}
	if r.Match != nil {
		pass, err := r.Match.Eval(e)
		if err != nil {
			r.Failures.add(now, err)
		} else if !pass {
			return NoMatch
		}
	}
	if r.Silenced != nil {
		if _, ok := r.Silenced(e, now); ok {
			return Silenced
		}
	}
	return Deliver
}

// Explain decides as Decide does and says why. It is for people who ask about one event:
// it takes much longer, and neither failures nor silences count it.
func (r *Route) Explain(e *event.Event, now time.Time) Decision {
	var reason string
	switch {
	case IsTest(e):
		return Decision{Deliver, "a test event reaches every output"}
	case r.MinimumPriority == event.None:
		reason = "there is no minimum priority"
	case e.Priority < r.MinimumPriority:
		return Decision{BelowPriority, fmt.Sprintf("priority %s is below the minimum, %s", name(e.Priority), r.MinimumPriority)}
	default:
		reason = fmt.Sprintf("priority %s reaches the minimum, %s", e.Priority, r.MinimumPriority)
	}
	if r.Match != nil {
		pass, why := r.Match.Explain(e)
		if !pass {
			return Decision{NoMatch, why}
		}
		reason += ", and " + why
	}
	if why, ok := r.whySilenced(e, now); ok {
		return Decision{Silenced, why}
	}
	return Decision{Deliver, reason}
}

func (r *Route) whySilenced(e *event.Event, now time.Time) (string, bool) {
	switch {
	case r.WhySilenced != nil:
		return r.WhySilenced(e, now)
	case r.Silenced != nil:
		id, ok := r.Silenced(e, now)
		return fmt.Sprintf("silence %s holds it back", id), ok
	}
	return "", false
}

func name(p event.Priority) string {
	if p == event.None {
		return "(none)"
	}
	return p.String()
}

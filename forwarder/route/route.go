// Package route decides whether an output gets an event.
//
// It stands between the journal and deliver. The decision is a pure function of the event
// and the output's settings: nothing here does any I/O, keeps state or looks at a clock.
// The journal applies the part of the decision that a consumer's filter can express, so
// that most of what an output doesn't want is never handed over; Decide is the whole
// decision, and the tests hold the two together.
package route

import (
	"fmt"

	"github.com/saker-security/saker/event"
)

// TestRule is the rule of a test event. Such an event reaches every output, whatever the
// output's minimum priority is, as it does in Falcosidekick.
const TestRule = "Test rule"

// IsTest reports whether e is a test event.
func IsTest(e *event.Event) bool { return e.Rule == TestRule }

// Route is what an output wants to get. The zero Route takes every event.
type Route struct {
	// MinimumPriority is the lowest priority that passes. None lets everything pass.
	MinimumPriority event.Priority
}

// Decision says whether an event passes, and why.
type Decision struct {
	Deliver bool
	// Reason is a clause for people: "priority Warning is below the minimum, Error".
	Reason string
}

// Decide reports whether e passes.
func (r Route) Decide(e *event.Event) bool {
	return IsTest(e) || e.Priority >= r.MinimumPriority
}

// Explain decides as Decide does and says why.
func (r Route) Explain(e *event.Event) Decision {
	switch {
	case IsTest(e):
		return Decision{true, "a test event reaches every output"}
	case r.MinimumPriority == event.None:
		return Decision{true, "there is no minimum priority"}
	case e.Priority < r.MinimumPriority:
		return Decision{false, fmt.Sprintf("priority %s is below the minimum, %s", name(e.Priority), r.MinimumPriority)}
	default:
		return Decision{true, fmt.Sprintf("priority %s reaches the minimum, %s", e.Priority, r.MinimumPriority)}
	}
}

func name(p event.Priority) string {
	if p == event.None {
		return "(none)"
	}
	return p.String()
}

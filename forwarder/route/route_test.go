package route

import (
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name     string
		minimum  event.Priority
		rule     string
		priority event.Priority
		want     Decision
	}{
		{
			"without a minimum everything passes", event.None, "r", event.Debug,
			Decision{Deliver, "there is no minimum priority"},
		},
		{
			"without a minimum even an event without a priority passes", event.None, "r", event.None,
			Decision{Deliver, "there is no minimum priority"},
		},
		{
			"the minimum itself passes", event.Warning, "r", event.Warning,
			Decision{Deliver, "priority Warning reaches the minimum, Warning"},
		},
		{
			"above the minimum passes", event.Warning, "r", event.Emergency,
			Decision{Deliver, "priority Emergency reaches the minimum, Warning"},
		},
		{
			"below the minimum is kept back", event.Warning, "r", event.Notice,
			Decision{BelowPriority, "priority Notice is below the minimum, Warning"},
		},
		{
			"no priority is below every minimum", event.Debug, "r", event.None,
			Decision{BelowPriority, "priority (none) is below the minimum, Debug"},
		},
		{
			"a test event passes any minimum", event.Emergency, "Test rule", event.Debug,
			Decision{Deliver, "a test event reaches every output"},
		},
		{
			"the test rule's name is compared exactly", event.Emergency, "test rule", event.Debug,
			Decision{BelowPriority, "priority Debug is below the minimum, Emergency"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Route{MinimumPriority: c.minimum}
			e := event.Event{Rule: c.rule, Priority: c.priority}
			if got := r.Explain(&e, time.Time{}); got != c.want {
				t.Errorf("Explain = %+v, want %+v", got, c.want)
			}
			if got := r.Decide(&e, time.Time{}); got != c.want.Verdict {
				t.Errorf("Decide = %v, want %v", got, c.want.Verdict)
			}
		})
	}
}

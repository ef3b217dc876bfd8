package program

import (
	"sync/atomic"
	"time"
)

// typeCounts counts the events of a type and what came of the rules for it, by place in the
// type's list. How often a rule was evaluated follows from them, without a counter a rule
// and event.
type typeCounts struct {
	events atomic.Uint64
	rules  []ruleCounts
	// timed is how many of the events were timed.
	timed atomic.Uint64
}

type ruleCounts struct {
	hits atomic.Uint64
	// spent is the time of the timed events, in nanoseconds.
	spent atomic.Uint64
}

// timedEvery is how many events of a type there are for each one whose rules are timed, the
// first among them: reading the clock takes longer than most rules.
const timedEvery = 256

// count takes in an event and says whether its rules are to be timed.
func (c *typeCounts) count() bool {
	if c.events.Add(1)%timedEvery != 1 {
		return false
	}
	c.timed.Add(1)
	return true
}

// RuleCounts says what became of a rule in a Machine.
type RuleCounts struct {
	// Evaluated is how many events the rule was evaluated for, Matched how many it matched.
	Evaluated, Matched uint64
	// Time is an estimate of how long its evaluation took in all, made from one of 256 events
	// of each type. What rules have in common counts for the one that comes first.
	Time time.Duration
}

// Counts returns the counts of each rule, by its index. It may be called while the Machine
// runs.
func (m *Machine) Counts() []RuleCounts {
	out := make([]RuleCounts, len(m.types))
	for t := range m.byType {
		counts := &m.counts[t]
		events, timed := counts.events.Load(), counts.timed.Load()
		left := events
		for i, e := range m.byType[t] {
			hits := counts.rules[i].hits.Load()
			rule := &out[e.rule]
			rule.Evaluated += left
			rule.Matched += hits
			if timed > 0 {
				spent := float64(counts.rules[i].spent.Load())
				rule.Time += time.Duration(spent * float64(events) / float64(timed))
			}
			if !m.all {
				left -= min(hits, left)
			}
		}
	}
	return out
}

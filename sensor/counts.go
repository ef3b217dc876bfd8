package sensor

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/status"
)

// A loop takes the events of one source to the reporter, one after the other. It counts
// where it begins and ends with each, so that others can tell whether it still moves.
type loop struct {
	source string
	// steps is odd while an event is being looked at.
	steps atomic.Uint64
}

func (l *loop) enter() { l.steps.Add(1) }
func (l *loop) leave() { l.steps.Add(1) }

// count is to be given to busyAt later.
func (l *loop) count() uint64 { return l.steps.Load() }

// busyAt reports whether the loop is still at the event that it was at when count returned
// at.
func (l *loop) busyAt(at uint64) bool { return at%2 == 1 && l.steps.Load() == at }

// events is how many events there were.
func (l *loop) events() uint64 { return (l.steps.Load() + 1) / 2 }

// counts are the counts of rules and reloads since the start. What rules had before a
// reload is added by their names.
type counts struct {
	mu      sync.Mutex
	retired map[countKey]status.Rule
	ok, bad uint64
	last    time.Time
}

type countKey struct{ source, name string }

// maxRetired bounds the rules that are remembered though no longer loaded.
const maxRetired = 10000

// retire takes over the counts of an engine that is no longer in force.
func (c *counts) retire(e *engine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired == nil {
		c.retired = map[countKey]status.Rule{}
	}
	for _, r := range e.counts() {
		k := countKey{r.Source, r.Name}
		old, known := c.retired[k]
		if !known && (r.Evaluated == 0 && r.Matched == 0 || len(c.retired) >= maxRetired) {
			continue
		}
		r.add(old)
		c.retired[k] = r.Rule
	}
}

func (c *counts) reloaded(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ok++
	c.last = now
}

func (c *counts) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad++
}

// reloads returns how often a reload went well and not, and when it last went well.
func (c *counts) reloads() (ok, bad uint64, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ok, c.bad, c.last
}

// all returns the counts of the rules that can fire, and of those that could, by source and
// name.
func (c *counts) all(e *engine) []status.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := maps.Clone(c.retired)
	if sum == nil {
		sum = map[countKey]status.Rule{}
	}
	for _, r := range e.counts() {
		k := countKey{r.Source, r.Name}
		old, known := sum[k]
		if !known && !r.enabled {
			continue
		}
		r.add(old)
		sum[k] = r.Rule
	}
	return slices.SortedFunc(maps.Values(sum), func(a, b status.Rule) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
}

// ruleCount is the count of a rule in one engine.
type ruleCount struct {
	status.Rule
	enabled bool
}

// add adds what the rule of that name had before.
func (r *ruleCount) add(old status.Rule) {
	r.Evaluated += old.Evaluated
	r.Matched += old.Matched
	r.Time += old.Time
}

// counts returns what the engine's rules have done.
func (e *engine) counts() []ruleCount {
	var all []ruleCount
	for _, evaluator := range e.evaluators {
		for _, c := range evaluator.Counts() {
			all = append(all, countOf(c))
		}
	}
	return all
}

func countOf(c rules.Count) ruleCount {
	return ruleCount{enabled: c.Rule.Enabled, Rule: status.Rule{
		Name: c.Rule.Name, Source: c.Rule.Source, Priority: c.Rule.Priority, Tags: c.Rule.Tags,
		Evaluated: c.Evaluated, Matched: c.Matched, Time: c.Time,
	}}
}

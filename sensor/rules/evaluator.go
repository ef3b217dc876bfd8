package rules

import (
	"slices"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/rules/program"
)

// Evaluator holds events of one source against the rules. It is not safe for concurrent
// use: each goroutine has its own.
type Evaluator struct {
	engine  *engine
	iso     bool
	machine *program.Machine
	hits    []int
	matches []Match
	// resumer decides on what Suspend has put aside; nil before the first time.
	resumer *resumer
}

// NewEvaluator returns an Evaluator for the events of a source. One for a source without
// rules never matches.
func (rs *Ruleset) NewEvaluator(source string) *Evaluator {
	e := &Evaluator{engine: rs.engines[source], iso: rs.opts.ISO8601}
	if e.engine != nil {
		e.machine = e.engine.program.NewMachine(rs.opts.All)
	}
	return e
}

// Evaluate returns the rules that ev matches, in their order: at most one, unless the
// option All is set. Its dynamic type is that of the source's fields. The result is valid
// until the next call, and so long ev must not change. It does not allocate when nothing
// matches.
func (e *Evaluator) Evaluate(ev any) []Match {
	if e.machine == nil {
		return nil
	}
	e.hits = e.machine.Match(ev, e.hits[:0])
	if len(e.hits) == 0 {
		return nil
	}
	e.matches = e.matches[:0]
	for _, i := range e.hits {
		e.matches = append(e.matches, Match{Rule: &e.engine.rules[i].Rule, rule: e.engine.rules[i], evaluator: e})
	}
	return e.matches
}

// Match is a rule that an event matches. It is valid until the Evaluator's next event.
type Match struct {
	Rule      *Rule
	rule      *compiledRule
	evaluator *Evaluator
}

// Format returns the rule's output for the event, without time and priority, and the
// alert's output_fields, sorted by name. Nulls are <NA> in the text and null in the fields.
// Nothing of it refers to the event any more.
func (m Match) Format() (string, []event.Field) {
	machine := m.evaluator.machine
	message, _ := machine.Text(m.rule.output)
	fields := machine.Fields(m.rule.output)
	for _, x := range m.rule.extra {
		f := event.Field{Name: x.name}
		if x.raw {
			for _, v := range machine.Fields(x.output) {
				f.Value = v.Value
			}
		} else {
			s, _ := machine.Text(x.output)
			f.Value = event.StringValue(s)
		}
		fields = append(fields, f)
	}
	if len(m.rule.extra) > 0 {
		fields = event.SortFields(fields)
	}
	return message, fields
}

// Event returns the alert for an event that happened at t. Its Output has time and priority
// before the message, as Falco's has. It has no UUID yet.
func (m Match) Event(t time.Time, hostname string) event.Event {
	message, fields := m.Format()
	return event.Event{
		Output:   FormatTime(t, m.evaluator.iso) + ": " + m.Rule.Priority.String() + " " + message,
		Priority: m.Rule.Priority,
		Rule:     m.Rule.Name,
		Time:     t.UTC(),
		Fields:   fields,
		Source:   m.Rule.Source,
		Tags:     slices.Clone(m.Rule.Tags),
		Hostname: hostname,
	}
}

// FormatTime returns the time as an alert's text begins with: the local time of day with
// nanoseconds, or date and time in UTC when iso is set.
func FormatTime(t time.Time, iso bool) string {
	if iso {
		return t.UTC().Format("2006-01-02T15:04:05.000000000-0700")
	}
	return t.Local().Format("15:04:05.000000000")
}

// Count says what became of a rule in one Evaluator.
type Count struct {
	Rule *Rule
	program.RuleCounts
}

// Counts returns the counts of the source's rules in their order. It may be called while
// the Evaluator runs.
func (e *Evaluator) Counts() []Count {
	if e.machine == nil {
		return nil
	}
	counts := e.machine.Counts()
	out := make([]Count, len(counts))
	for i, c := range counts {
		out[i] = Count{&e.engine.rules[i].Rule, c}
	}
	return out
}

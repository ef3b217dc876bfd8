package rules

import (
	"sync"

	"github.com/saker-security/saker/sensor/rules/program"
)

// Suspended is an event on which rules are decided once its late fields are known. It keeps
// nothing of the event itself, may be resumed once, from any goroutine, and also after the
// Evaluator has gone on or is used no more.
type Suspended struct {
	resumer *resumer
	state   *program.Suspended
}

// resumer decides on suspended events beside the Evaluator that suspended them.
type resumer struct {
	mu        sync.Mutex
	evaluator Evaluator
}

// Suspend puts an event aside whose late fields are not known yet, in place of Evaluate. It
// returns nil when no rule can match, whatever they are.
//
// Everything else is kept as it is now. So is what a rule compares a late field with, and a
// rule is decided as if the late fields had been known: one that asks for an image does not
// miss the container's first process, one that makes an exception for an image does not
// raise a false alarm.
func (e *Evaluator) Suspend(ev any) *Suspended {
	if e.machine == nil {
		return nil
	}
	state := e.machine.Suspend(ev, e.outputs)
	if state == nil {
		return nil
	}
	if e.resumer == nil {
		e.resumer = &resumer{evaluator: Evaluator{
			engine: e.engine, iso: e.iso, machine: e.machine.Twin(),
		}}
	}
	return &Suspended{e.resumer, state}
}

// outputs are everything that an alert of a rule prints.
func (e *Evaluator) outputs(rule int) []*program.Output {
	r := e.engine.rules[rule]
	all := []*program.Output{r.output}
	for _, x := range r.extra {
		all = append(all, x.output)
	}
	return all
}

// Size is how much memory it takes, in bytes.
func (s *Suspended) Size() int { return s.state.Size() }

// Resume calls alert for each rule that the event matches; ev has the late fields, null where
// they are still not known. The Match is valid until alert returns.
func (s *Suspended) Resume(ev any, alert func(Match)) {
	r := s.resumer
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.evaluator
	e.hits = e.machine.Resume(s.state, ev, e.hits[:0])
	for _, i := range e.hits {
		alert(Match{Rule: &e.engine.rules[i].Rule, rule: e.engine.rules[i], evaluator: e})
	}
}

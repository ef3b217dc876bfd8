package audit

import (
	"sync"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/rules"
)

// Judge holds posted audit events against rules, for a program that takes them over a door
// of its own. It may be used by many goroutines.
type Judge struct {
	set      *rules.Ruleset
	hostname string
	judges   sync.Pool
}

// judge is what one goroutine needs.
type judge struct {
	event     Event
	evaluator *rules.Evaluator
}

// NewJudge returns a Judge that holds events against the rules of the source k8s_audit in
// set. The alerts are of hostname.
func NewJudge(set *rules.Ruleset, hostname string) *Judge {
	return &Judge{set: set, hostname: hostname}
}

// Judge returns the alerts for a body: an audit event, an EventList or an array of those.
// Events that are too large or no audit events are left out. The error says that the body is
// none of these. The alerts keep nothing of the body and have their UUIDs.
func (j *Judge) Judge(body []byte) ([]event.Event, error) {
	events, err := Split(string(body))
	if err != nil {
		return nil, err
	}
	one, ok := j.judges.Get().(*judge)
	if !ok {
		one = &judge{evaluator: j.set.NewEvaluator(SourceName), event: Event{hostname: j.hostname}}
	}
	defer func() {
		one.event.clear()
		j.judges.Put(one)
	}()
	var found []event.Event
	for _, text := range events {
		if one.event.Read(text) == nil {
			found = Alerts(found, one.evaluator, &one.event, j.hostname)
		}
	}
	return found, nil
}

// Alerts appends to all the alerts of the rules that e matches.
func Alerts(all []event.Event, evaluator *rules.Evaluator, e *Event, hostname string) []event.Event {
	for _, m := range evaluator.Evaluate(e) {
		alert := m.Event(e.Time(), hostname)
		alert.UUID = e.AlertID(m.Rule.Name)
		all = append(all, alert)
	}
	return all
}

package sensor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/throttle"
)

// internalSource is the source of alerts about the sensor itself.
const internalSource = "internal"

// emit makes an alert of what a rule has matched and hands it to the reporter, unless the
// rule has caused too many. The alert has the given identity, and says that it lacks the
// metadata of its container if it does. It may be called from several goroutines, each with
// the matches of its own evaluator.
func (s *sensor) emit(m rules.Match, at time.Time, id string, missing absence) {
	if !s.limiter.Allow(limited(m.Rule), time.Now(), at) {
		return
	}
	alert := m.Event(at, s.hostname)
	alert.UUID = id
	missing.mark(&alert)
	s.alerts.Add(1)
	s.reporter.Report(alert)
}

func limited(r *rules.Rule) throttle.Rule {
	return throttle.Rule{Name: r.Name, Source: r.Source, Priority: r.Priority, Tags: r.Tags}
}

// tell reports an alert about the sensor itself.
func (s *sensor) tell(e event.Event) {
	text := report.AppendPrefix(nil, e.Time, e.Priority, s.config.ISOTime)
	e.Output = string(text) + e.Output
	e.UUID, e.Hostname, e.Time = uuid.NewString(), s.hostname, e.Time.UTC()
	e.Fields = event.SortFields(e.Fields)
	s.reporter.Report(e)
}

// tellSuppressed reports at intervals what the limits of rules kept back, until ctx ends;
// then what is left.
func (s *sensor) tellSuppressed(ctx context.Context) {
	last := time.Now()
	for ctx.Err() == nil {
		select {
		case <-time.After(s.limiter.Interval()):
		case <-ctx.Done():
		}
		now := time.Now()
		for _, due := range s.limiter.Due(now) {
			s.tell(summaryAlert(due, now, now.Sub(last)))
		}
		last = now
	}
}

// summaryAlert is an alert of the rule that says how many others there would have been.
func summaryAlert(s throttle.Summary, now time.Time, span time.Duration) event.Event {
	const form = "2006-01-02T15:04:05.000000000Z"
	return event.Event{
		Output: fmt.Sprintf("%d more alerts of the rule %q in the last %v were left out (suppressed=%d first=%s last=%s)",
			s.Count, s.Rule.Name, span.Round(time.Second), s.Count, s.First.UTC().Format(form), s.Last.UTC().Format(form)),
		Priority: s.Rule.Priority, Rule: s.Rule.Name, Source: s.Rule.Source, Tags: s.Rule.Tags, Time: now,
		Fields: []event.Field{
			{Name: "evt.time", Value: nanoseconds(s.Last)},
			{Name: "saker.suppressed", Value: event.NumberValue(strconv.FormatUint(s.Count, 10))},
			{Name: "saker.suppressed.first", Value: event.StringValue(s.First.UTC().Format(form))},
			{Name: "saker.suppressed.last", Value: event.StringValue(s.Last.UTC().Format(form))},
		},
	}
}

func nanoseconds(t time.Time) event.Value {
	return event.NumberValue(strconv.FormatInt(t.UnixNano(), 10))
}

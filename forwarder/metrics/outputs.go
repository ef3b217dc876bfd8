package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/outputs"
)

// Attempted implements deliver.Observer.
func (m *Metrics) Attempted(a deliver.Attempt) {
	m.attempts.WithLabelValues(a.Output, string(a.Outcome)).Inc()
	m.latency.WithLabelValues(a.Output).Observe(a.Latency.Seconds())
	// Falcosidekick counts all destinations of an output as one.
	destination, _, _ := strings.Cut(a.Output, outputs.PartSeparator)
	if ok := a.Events - a.Failed; ok > 0 {
		m.outputs.WithLabelValues(destination, "ok").Add(float64(ok))
	}
	if a.Failed > 0 {
		m.outputs.WithLabelValues(destination, "error").Add(float64(a.Failed))
	}
}

// outputDescs describe how each output is doing.
var outputDescs = struct {
	info, pending, oldest, inFlight, heldBack, healthy, held, breaker, limit, lastSuccess,
	delivered, retried, redelivered, replayed, deadLetters, lost,
	filtered, silenced, suppressed, summaries, matchFailures *prometheus.Desc
}{
	info:        describe("saker_output_info", "Always 1; the label kind says what the output is one of.", "output", "kind"),
	pending:     describe("saker_output_pending_events", "Events that the output has not yet got.", "output"),
	oldest:      describe("saker_output_oldest_event_age_seconds", "Age of the oldest event that the output has not yet got; 0 without any.", "output"),
	inFlight:    describe("saker_output_in_flight_events", "Events in hand: waiting in the output's queue or grouping, being sent, or about to be sent again.", "output"),
	heldBack:    describe("saker_output_grouped_events", "Events in hand that wait to be grouped or for the rate limit.", "output"),
	healthy:     describe("saker_output_healthy", "Whether the last attempt worked.", "output"),
	held:        describe("saker_output_held", "Whether the destination refuses all events until somebody mends it or its configuration, as with a wrong token.", "output"),
	breaker:     describe("saker_output_breaker_state", "1 for the state that the circuit breaker is in: closed, open, probing; 0 for the others.", "output", "state"),
	limit:       describe("saker_output_concurrency_limit", "Attempts that may run at once now; it adapts to what the destination takes.", "output"),
	lastSuccess: describe("saker_output_last_success_timestamp_seconds", "When the destination last accepted an event.", "output"),

	delivered:   describe("saker_output_delivered_events_total", "Events accepted by the destination.", "output"),
	retried:     describe("saker_output_retried_events_total", "Events sent again after a failed attempt.", "output"),
	redelivered: describe("saker_output_redelivered_events_total", "Events that the destination may have got before, because a process died.", "output"),
	replayed:    describe("saker_output_replayed_events_total", "Events that somebody asked to be sent to this output again.", "output"),
	deadLetters: describe("saker_output_dead_letters_total", "Events given up, which are now dead letters.", "output"),
	lost:        describe("saker_output_lost_events_total", "Events that were gone before the output got them: removed by the journal's limits, or lost with a damaged file.", "output"),

	filtered:      describe("saker_output_filtered_events_total", "Events that minimumpriority or match held back, but for those that the journal had not even handed over.", "output"),
	silenced:      describe("saker_output_silenced_events_total", "Events that a silence held back.", "output"),
	suppressed:    describe("saker_output_suppressed_events_total", "Events without a message of their own, because of grouping, de-duplication or the rate limit.", "output"),
	summaries:     describe("saker_output_summaries_total", "Messages that stood for several events: groups, repetitions and digests.", "output"),
	matchFailures: describe("saker_output_match_failures_total", "Events for which match could not be evaluated, which were therefore delivered.", "output"),
}

// collectOutput reports how o is doing.
func (c collection) collectOutput(o *OutputStatus) {
	d, s, name := &outputDescs, &o.State, o.Name
	c.gauge(d.info, 1, name, o.Kind)
	c.gauge(d.pending, float64(o.Lag.Pending), name)
	c.gauge(d.oldest, age(c.now, o.Lag.Oldest), name)
	c.gauge(d.inFlight, float64(s.InFlight), name)
	c.gauge(d.heldBack, float64(s.HeldBack), name)
	c.gauge(d.healthy, truth(s.Healthy), name)
	c.gauge(d.held, truth(s.Held), name)
	for _, state := range []deliver.BreakerState{deliver.BreakerClosed, deliver.BreakerOpen, deliver.BreakerProbing} {
		c.gauge(d.breaker, truth(s.Breaker == state), name, string(state))
	}
	c.gauge(d.limit, float64(s.Limit), name)
	if !s.LastSuccess.IsZero() {
		c.gauge(d.lastSuccess, timestamp(s.LastSuccess), name)
	}
	c.count(d.delivered, s.Delivered, name)
	c.count(d.retried, s.Retries, name)
	c.count(d.redelivered, s.Redelivered, name)
	c.count(d.replayed, s.Replayed, name)
	c.count(d.deadLetters, s.DeadLetters, name)
	c.count(d.lost, o.Lag.Lost, name)
	c.count(d.filtered, s.Filtered, name)
	c.count(d.silenced, s.Silenced, name)
	c.count(d.suppressed, s.Suppressed, name)
	c.count(d.summaries, s.Summaries, name)
	c.count(d.matchFailures, o.MatchFailures, name)
}

package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

// Status is what is known of the journal and its readers at one moment.
type Status struct {
	// Ready tells whether the journal takes events.
	Ready   bool
	Journal journal.Stats
	Outputs []OutputStatus
}

// OutputStatus is how one output is doing and how far it is behind.
type OutputStatus struct {
	// Name is the instance's name, Kind what it is one of.
	Name, Kind string
	State      deliver.State
	Lag        journal.Lag
}

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

// Watch makes the figures of status part of the metrics. Status is called at every scrape
// and must not take long.
func (m *Metrics) Watch(status func() Status) {
	m.registry.MustRegister(statusCollector(status))
}

// statusCollector turns a Status into metrics.
type statusCollector func() Status

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	journalReady  = describe("saker_journal_ready", "Whether the journal takes events.")
	journalEvents = describe("saker_journal_events", "Events in the journal, delivered or not.")
	journalBytes  = describe("saker_journal_bytes", "Bytes of the events in the journal.")
	deadBytes     = describe("saker_journal_dead_letter_bytes", "Bytes of the dead letters in the journal.")
	deadStored    = describe("saker_journal_dead_letters", "Dead letters in the journal.", "output")

	pending     = describe("saker_output_pending_events", "Events that the output has not yet got.", "output")
	oldest      = describe("saker_output_oldest_event_age_seconds", "Age of the oldest event that the output has not yet got.", "output")
	inFlight    = describe("saker_output_in_flight_events", "Events being sent.", "output")
	healthy     = describe("saker_output_healthy", "Whether the last attempt worked.", "output")
	lastSuccess = describe("saker_output_last_success_timestamp_seconds", "When the destination last accepted an event.", "output")
	delivered   = describe("saker_output_delivered_events_total", "Events accepted by the destination.", "output")
	retried     = describe("saker_output_retried_events_total", "Events sent again after a failed attempt.", "output")
	redelivered = describe("saker_output_redelivered_events_total", "Events that the destination may have got before, because a process died.", "output")
	deadLetters = describe("saker_output_dead_letters_total", "Events given up.", "output")
	lost        = describe("saker_output_lost_events_total", "Events that the journal's limits removed before the output got them.", "output")
)

// Describe implements prometheus.Collector.
func (statusCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		journalReady, journalEvents, journalBytes, deadBytes, deadStored,
		pending, oldest, inFlight, healthy, lastSuccess, delivered, retried, redelivered, deadLetters, lost,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(to chan<- prometheus.Metric) {
	s := c()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(journalReady, truth(s.Ready))
	gauge(journalEvents, float64(s.Journal.Events))
	gauge(journalBytes, float64(s.Journal.Bytes))
	gauge(deadBytes, float64(s.Journal.DeadLetterBytes))
	for output, n := range s.Journal.DeadLetters {
		gauge(deadStored, float64(n), output)
	}
	now := time.Now()
	for _, o := range s.Outputs {
		gauge(pending, float64(o.Lag.Pending), o.Name)
		gauge(oldest, age(now, o.Lag.Oldest), o.Name)
		gauge(inFlight, float64(o.State.InFlight), o.Name)
		gauge(healthy, truth(o.State.Healthy), o.Name)
		if !o.State.LastSuccess.IsZero() {
			gauge(lastSuccess, float64(o.State.LastSuccess.UnixMilli())/1000, o.Name)
		}
		count(delivered, o.State.Delivered, o.Name)
		count(retried, o.State.Retries, o.Name)
		count(redelivered, o.State.Redelivered, o.Name)
		count(deadLetters, o.State.DeadLetters, o.Name)
		count(lost, o.Lag.Lost, o.Name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// age returns the seconds since t, 0 if there is no t.
func age(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}

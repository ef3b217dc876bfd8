// Package metrics holds what the forwarder counts, under Falcosidekick's names and its own.
//
// Ingest and deliver report to it through the observers they declare, and a Status is asked
// for at every scrape; /metrics serves both. Every label set is bounded: what senders choose
// (rules, hosts, pods) may make at most MaxSeries series, what comes after that is counted
// together under the value "other"; the names of outputs and senders are those of the
// configuration. WriteReference lists all metrics, from what a scrape has.
package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
)

// MaxSeries is the most series that falcosecurity_falcosidekick_falco_events_total has
// before further label values are counted as "other".
const MaxSeries = 10000

const (
	// other is the label value of what is beyond a limit.
	other = "other"
	// maxLabelBytes bounds a label value that a sender chose.
	maxLabelBytes = 256
)

// Config is the section "prometheus".
type Config struct {
	ExtraLabels []string `key:"extralabels" doc:"Output fields that become labels of the events counter, dots turned into underscores."`
}

// Validate refuses names that cannot be labels, and those that are labels already.
func (c Config) Validate() error {
	seen := map[string]bool{}
	for _, field := range c.ExtraLabels {
		label := labelName(field)
		switch {
		case !validLabel.MatchString(label):
			return config.At("extralabels", fmt.Errorf("%q cannot be a label: after turning dots into underscores only letters, digits, _ and : may remain, and no digit first", field))
		case seen[label]:
			return config.At("extralabels", fmt.Errorf("%q is named twice", field))
		}
		seen[label] = true
	}
	return nil
}

var validLabel = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func labelName(field string) string { return strings.ReplaceAll(field, ".", "_") }

// eventLabels are the labels of the events counter that are always there.
var eventLabels = []string{"hostname", "rule", "priority", "priority_raw", "source", "k8s_ns_name", "k8s_pod_name"}

// Metrics counts. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	// fields are the output fields that follow eventLabels as labels.
	fields []string
	events *prometheus.CounterVec
	mu     sync.RWMutex
	series map[string]prometheus.Counter

	accepted, refused prometheus.Counter
	inputs            *prometheus.CounterVec
	outputs           *prometheus.CounterVec
	rejected          *prometheus.CounterVec
	senders           *senders
	ingest            prometheus.Histogram
	batch             prometheus.Histogram
	attempts          *prometheus.CounterVec
	latency           *prometheus.HistogramVec
	reloads           reloads
}

// Options are what a Metrics is made of.
type Options struct {
	Config Config
	// EventFields are the names of custom and templated fields: they become labels of the
	// events counter as in Falcosidekick, unless their names cannot be labels.
	EventFields []string
	// Journal is the journal's configuration, whose limits are metrics.
	Journal journal.Config
	Version string
	Log     *slog.Logger
}

// New makes a Metrics with a registry of its own.
func New(o Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), series: map[string]prometheus.Counter{}}
	m.events = counter("falcosecurity_falcosidekick_falco_events_total",
		"Events stored. Custom fields, templated fields and prometheus.extralabels add labels.", m.labels(o)...)
	m.inputs = counter("falcosecurity_falcosidekick_inputs_total", "Requests with events; status is accepted or rejected.", "source", "status")
	m.outputs = counter("falcosecurity_falcosidekick_outputs_total", "Events handed to outputs, by result of the attempt; status is ok or error.", "destination", "status")
	m.rejected = counter("saker_ingest_rejected_total", "Requests that were not accepted, by reason: "+reasons()+".", "reason")
	m.senders = newSenders()
	m.ingest = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "saker_ingest_duration_seconds", Help: "Time from a request's header to its events being stored.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
	m.batch = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "saker_ingest_events", Help: "Events in an accepted request.",
		Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000},
	})
	m.attempts = counter("saker_output_attempts_total", "Attempts to deliver a batch, by outcome: delivered, failed, held, rejected, partly.", "output", "outcome")
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "saker_output_attempt_duration_seconds", Help: "Time an attempt to deliver a batch took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"output"})
	m.registry.MustRegister(m.events, m.inputs, m.outputs, m.rejected, m.senders.events, m.senders.rejected,
		m.ingest, m.batch, m.attempts, m.latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.constants(o)
	m.accepted, m.refused = m.inputs.WithLabelValues("requests", "accepted"), m.inputs.WithLabelValues("requests", "rejected")
	for _, why := range ingest.Reasons() {
		m.rejected.WithLabelValues(string(why))
	}
	m.reloads = newReloads(m.registry)
	return m
}

// labels returns the labels of the events counter, and notes which fields they are for.
func (m *Metrics) labels(o Options) []string {
	labels := append([]string(nil), eventLabels...)
	taken := map[string]bool{}
	for _, l := range labels {
		taken[l] = true
	}
	for _, field := range append(append([]string(nil), o.EventFields...), o.Config.ExtraLabels...) {
		label := labelName(field)
		if taken[label] {
			continue
		}
		if !validLabel.MatchString(label) {
			o.Log.Warn("a field cannot be a metrics label and is left out there", "field", field)
			continue
		}
		taken[label] = true
		labels, m.fields = append(labels, label), append(m.fields, field)
	}
	return labels
}

// constants registers what stays as it is until the next start.
func (m *Metrics) constants(o Options) {
	constant := func(name, help string, v float64, labels prometheus.Labels) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
		g.Set(v)
		m.registry.MustRegister(g)
	}
	constant("saker_build_info", "Always 1; the labels say what is running.", 1,
		prometheus.Labels{"version": o.Version, "goversion": runtime.Version()})
	constant("saker_journal_max_bytes", "Most bytes that the events in the journal may take (journal.maxbytes).", float64(o.Journal.MaxBytes), nil)
	constant("saker_journal_max_age_seconds", "How long the journal keeps an event (journal.maxage).", o.Journal.MaxAge.Seconds(), nil)
	constant("saker_journal_dead_letter_max_bytes", "Most bytes that the dead letters may take (journal.deadletters.maxbytes).",
		float64(o.Journal.DeadLetters.MaxBytes), nil)
}

func reasons() string {
	var all []string
	for _, why := range ingest.Reasons() {
		all = append(all, string(why))
	}
	return strings.Join(all, ", ")
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 8, Timeout: 30 * time.Second,
	}))
}

// Gather returns all metrics as they are now. It makes Metrics a prometheus.Gatherer.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) { return m.registry.Gather() }

// Accepted implements ingest.Observer.
func (m *Metrics) Accepted(batch []event.Event, sender string, took time.Duration) {
	m.accepted.Inc()
	m.ingest.Observe(took.Seconds())
	m.batch.Observe(float64(len(batch)))
	m.senders.accepted(sender, len(batch))
	for i := range batch {
		m.countEvent(&batch[i])
	}
}

// Rejected implements ingest.Observer.
func (m *Metrics) Rejected(why ingest.Reason, sender string) {
	m.refused.Inc()
	m.rejected.WithLabelValues(string(why)).Inc()
	m.senders.refused(sender, why)
}

// Package metrics holds what the forwarder counts, under Falcosidekick's names and its own.
//
// Ingest and deliver report to it through the observers they declare; /metrics serves it.
// Every label set is bounded: what senders choose (rules, hosts, pods) may make at most
// MaxSeries series, what comes after that is counted together under the value "other".
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

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest"
)

// MaxSeries is the most series that falcosecurity_falcosidekick_falco_events_total has
// before further label values are counted as "other".
const MaxSeries = 10000

const (
	// other is the label value of what is beyond MaxSeries.
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

	inputs   *prometheus.CounterVec
	outputs  *prometheus.CounterVec
	rejected *prometheus.CounterVec
	ingest   prometheus.Histogram
	batch    prometheus.Histogram
	attempts *prometheus.CounterVec
	latency  *prometheus.HistogramVec
}

// Options are what a Metrics is made of.
type Options struct {
	Config Config
	// EventFields are the names of custom and templated fields: they become labels of the
	// events counter as in Falcosidekick, unless their names cannot be labels.
	EventFields []string
	Version     string
	Log         *slog.Logger
}

// New makes a Metrics with a registry of its own.
func New(o Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), series: map[string]prometheus.Counter{}}
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
	m.events = counter("falcosecurity_falcosidekick_falco_events_total", "Events stored.", labels...)
	m.inputs = counter("falcosecurity_falcosidekick_inputs_total", "Requests with events.", "source", "status")
	m.outputs = counter("falcosecurity_falcosidekick_outputs_total", "Events handed to outputs, by result of the attempt.", "destination", "status")
	m.rejected = counter("saker_ingest_rejected_total", "Requests that were not accepted.", "reason")
	m.attempts = counter("saker_output_attempts_total", "Attempts to deliver a batch.", "output", "outcome")
	m.ingest = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "saker_ingest_duration_seconds", Help: "Time from a request's header to its events being stored.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
	m.batch = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "saker_ingest_events", Help: "Events in an accepted request.",
		Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000},
	})
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "saker_output_attempt_duration_seconds", Help: "Time an attempt to deliver a batch took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"output"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "saker_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.events, m.inputs, m.outputs, m.rejected, m.attempts, m.ingest, m.batch, m.latency, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.inputs.WithLabelValues("requests", "accepted")
	m.inputs.WithLabelValues("requests", "rejected")
	return m
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

// Accepted implements ingest.Observer.
func (m *Metrics) Accepted(batch []event.Event, took time.Duration) {
	m.inputs.WithLabelValues("requests", "accepted").Inc()
	m.ingest.Observe(took.Seconds())
	m.batch.Observe(float64(len(batch)))
	for i := range batch {
		m.countEvent(&batch[i])
	}
}

// Rejected implements ingest.Observer.
func (m *Metrics) Rejected(why ingest.Reason) {
	m.inputs.WithLabelValues("requests", "rejected").Inc()
	m.rejected.WithLabelValues(string(why)).Inc()
}

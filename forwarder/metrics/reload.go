package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saker-security/saker/outputs"
)

// reloads are the metrics of the configuration.
type reloads struct {
	successful, timestamp prometheus.Gauge
	reads, failures       prometheus.Counter
}

func newReloads(r prometheus.Registerer) reloads {
	reads := counter("saker_config_reloads_total", "How often the configuration was read, the start included, by result: success, failure. One that stays wrong is tried again every 30 seconds.", "result")
	c := reloads{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "saker_config_last_reload_successful", Help: "Whether the last try to read the configuration worked.",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "saker_config_last_reload_success_timestamp_seconds", Help: "When the configuration in force was read.",
		}),
		reads: reads.WithLabelValues("success"), failures: reads.WithLabelValues("failure"),
	}
	r.MustRegister(c.successful, c.timestamp, reads)
	return c
}

// Configured says that the configuration read at the time now is in force.
func (m *Metrics) Configured(now time.Time) {
	m.reloads.reads.Inc()
	m.reloads.successful.Set(1)
	m.reloads.timestamp.Set(timestamp(now))
}

// NotConfigured says that the configuration was read again and is wrong.
func (m *Metrics) NotConfigured() {
	m.reloads.failures.Inc()
	m.reloads.successful.Set(0)
}

// Forget drops the series of an output that is no longer configured, so that they do not
// pile up under the names of outputs that come and go.
func (m *Metrics) Forget(output string) {
	m.attempts.DeletePartialMatch(prometheus.Labels{"output": output})
	m.latency.DeletePartialMatch(prometheus.Labels{"output": output})
	// The parts of an output count together, and the others of them may still be there.
	if !strings.Contains(output, outputs.PartSeparator) {
		m.outputs.DeletePartialMatch(prometheus.Labels{"destination": output})
	}
}

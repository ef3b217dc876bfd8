package status

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/saker-security/saker/event"
)

// newRegistry returns a registry that makes a snapshot at every scrape.
func newRegistry(snapshot func() Snapshot) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{snapshot}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// A collector turns snapshots into metrics. It describes none, because the labels of a
// rule's are its tags.
type collector struct{ snapshot func() Snapshot }

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	w := writer{out}
	w.falco(&s)
	w.flow(&s)
	w.rules(s.Rules)
	w.parts(&s)
}

// writer sends metrics.
type writer struct{ out chan<- prometheus.Metric }

func (w writer) gauge(name, help string, v float64, labels ...string) {
	w.send(prometheus.GaugeValue, name, help, v, labels)
}

func (w writer) count(name, help string, n uint64, labels ...string) {
	w.send(prometheus.CounterValue, name, help, float64(n), labels)
}

// send sends one metric; labels are names and values by turns.
func (w writer) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "\uFFFD"))
	}
	desc := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	w.out <- m
}

// falco sends what Falco has under the same name.
func (w writer) falco(s *Snapshot) {
	sum := s.events()
	w.count("falcosecurity_scap_n_evts_total", "Events of the kernel that rules or the process table are interested in.", sum.Seen)
	w.count("falcosecurity_scap_n_drops_total", "Events lost because the ring buffer was full or filling up.", sum.dropped())
	w.count("falcosecurity_scap_n_drops_buffer_total", "Events lost because the ring buffer was full or filling up.", sum.dropped(), "dir", "exit", "drop", "total")
	w.count("falcosecurity_scap_n_added_threads_healed_total", "Processes read from /proc because an event mentioned them.", s.Processes.Healed)
	w.gauge("falcosecurity_scap_n_threads", "Processes that are known.", float64(s.Processes.Known))
	w.gauge("falcosecurity_falco_version_info", "Version of the sensor.", 1, "version", s.Version)
	w.gauge("falcosecurity_evt_hostname_info", "Name of the machine.", 1, "hostname", s.Hostname)
	w.gauge("falcosecurity_falco_kernel_release_info", "Release of the kernel.", 1, "kernel_release", s.Kernel)
	for _, source := range s.Sources {
		w.gauge("falcosecurity_falco_evt_source_info", "Sources that are watched.", 1, "evt_source", source)
	}
	w.gauge("falcosecurity_falco_start_timestamp_nanoseconds", "When the sensor was started.", float64(s.Started.UnixNano()))
	if !s.LastReload.IsZero() {
		w.gauge("falcosecurity_falco_reload_timestamp_nanoseconds", "When the rules were last loaded.", float64(s.LastReload.UnixNano()))
	}
	for _, f := range s.Files {
		w.gauge("falcosecurity_falco_sha256_rules_files_info", "Rules files that are loaded.", 1, "file_name", f.Name, "sha256", f.SHA256)
	}
	dropped := uint64(0)
	for _, n := range s.Report.Dropped {
		dropped += n
	}
	w.count("falcosecurity_falco_outputs_queue_num_drops_total", "Alerts given up.", dropped)
}

// flow sends what becomes of events and alerts.
func (w writer) flow(s *Snapshot) {
	const help = "Events of the kernel by type and fate: seen, and of those filtered in the kernel, shed under load, lost for want of room."
	for _, e := range s.Events {
		for _, fate := range []struct {
			name string
			n    uint64
		}{{"seen", e.Seen}, {"filtered", e.Filtered}, {"shed", e.Shed}, {"lost", e.Lost}} {
			w.count("saker_sensor_events_total", help, fate.n, "type", e.Type, "fate", fate.name)
		}
	}
	w.count("saker_sensor_records_total", "Events of the kernel that were looked at.", s.Received)
	w.count("saker_sensor_records_malformed_total", "Events of the kernel that could not be read.", s.Malformed)
	w.count("saker_sensor_events_missed_total", "Events at which the kernel left the probe out.", s.Missed)
	w.count("saker_sensor_events_unwatched_total", "System calls by programs of an architecture that the probe does not know.", s.Unwatched)
	for source, n := range s.Other {
		w.count("saker_sensor_source_events_total", "Events of other sources than the kernel that were looked at.", n, "source", source)
	}
	w.count("saker_sensor_alerts_total", "Alerts of rules that went on to the ways out.", s.Alerts)
	w.count("saker_sensor_alerts_suppressed_total", "Alerts that the limit of their rule kept back.", s.Suppressed)
	for sink, n := range s.Report.Sent {
		w.count("saker_sensor_alerts_sent_total", "Alerts that a way out has taken.", n, "sink", sink)
	}
	for d, n := range s.Report.Dropped {
		w.count("saker_sensor_alerts_dropped_total", "Alerts given up, by way out and reason.", n, "sink", d.Sink, "reason", d.Reason)
	}
	w.count("saker_sensor_posts_retried_total", "Requests to the forwarder that failed and were made again.", s.Report.Retried)
	w.count("saker_sensor_alerts_spooled_total", "Alerts that were written to the spool.", s.Report.Spooled)
	w.gauge("saker_sensor_alerts_queued", "Alerts in memory that wait for a way out.", float64(s.Report.Queued))
	w.gauge("saker_sensor_spool_alerts", "Alerts in the spool.", float64(s.Report.SpoolAlerts))
	w.gauge("saker_sensor_spool_bytes", "Disk space that the spool takes.", float64(s.Report.SpoolBytes))
}

// rules sends the counts of rules, of which there are as many series as rules.
func (w writer) rules(rules []Rule) {
	for _, r := range rules {
		labels := []string{"rule_name", r.Name, "priority", strconv.Itoa(number(r.Priority)), "source", r.Source}
		if r.Matched > 0 {
			// Falco's, with a label a tag.
			w.count("falcosecurity_falco_rules_matches_total", "Events that a rule has matched.", r.Matched, append(labels, tagLabels(r.Tags)...)...)
		}
		own := []string{"rule", r.Name, "source", r.Source}
		w.count("saker_sensor_rule_matched_total", "Events that a rule has matched.", r.Matched, own...)
		w.count("saker_sensor_rule_evaluated_total", "Events that a rule was tried for.", r.Evaluated, own...)
		w.send(prometheus.CounterValue, "saker_sensor_rule_seconds_total", "Estimate of the time that a rule has taken.", r.Time.Seconds(), own)
	}
}

// number is the priority as syslog counts it: 0 for emergency to 7 for debug.
func number(p event.Priority) int { return min(max(int(event.Emergency)-int(p), 0), 7) }

var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// tagLabels are Falco's labels of tags: tag_NAME="true".
func tagLabels(tags []string) []string {
	var labels []string
	for _, tag := range tags {
		name := "tag_" + notInLabel.ReplaceAllString(tag, "_")
		if !slices.Contains(labels, name) {
			labels = append(labels, name, "true")
		}
	}
	return labels
}

// parts sends the state of the sensor's parts.
func (w writer) parts(s *Snapshot) {
	p := s.Processes
	w.gauge("saker_sensor_processes", "Processes in the table.", float64(p.Known))
	w.gauge("saker_sensor_process_bytes", "Memory of the arguments and environments in the table.", float64(p.Bytes))
	w.count("saker_sensor_processes_evicted_total", "Processes that made room for others.", p.Evicted)
	w.count("saker_sensor_processes_healed_total", "Processes read from /proc because an event mentioned them.", p.Healed)
	w.count("saker_sensor_processes_heal_missed_total", "Processes that were gone before they could be read from /proc.", p.HealMissed)
	w.count("saker_sensor_processes_heal_refused_total", "Processes not read from /proc because there were too many at once.", p.HealRefused)
	w.count("saker_sensor_reloads_total", "Times that rules were loaded again.", s.Reloads, "result", "ok")
	w.count("saker_sensor_reloads_total", "Times that rules were loaded again.", s.FailedReloads, "result", "failed")
	for _, v := range s.Extra {
		kind := prometheus.GaugeValue
		if v.Counter {
			kind = prometheus.CounterValue
		}
		var labels []string
		if v.Label != "" {
			labels = []string{v.Label, v.Of}
		}
		w.send(kind, v.Name, v.Help, v.Number, labels)
	}
}

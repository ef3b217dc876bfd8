package metrics

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/journal"
)

// Status is what is known of the journal and its readers at one moment.
type Status struct {
	// Fault is why the journal takes no events; nil when it does.
	Fault   error
	Journal journal.Stats
	// Disk is where the journal is; zero for a journal on a NATS cluster, and while it is
	// not known.
	Disk     Disk
	Outputs  []OutputStatus
	Silences Silences
	// Tracing tells whether there are traces, Spans what became of them.
	Tracing bool
	Spans   Spans
}

// OutputStatus is how one output is doing and how far it is behind.
type OutputStatus struct {
	// Name is the instance's name, Kind what it is one of.
	Name, Kind string
	State      deliver.State
	Lag        journal.Lag
	// MatchFailures counts the events for which its expression could not be evaluated.
	MatchFailures uint64
}

// Silences are counts of them.
type Silences struct{ Active, Pending int }

// Spans counts the spans of traces since the start: those that the collector took and those
// it didn't, because it was away or they were too many.
type Spans struct{ Exported, Dropped uint64 }

// Disk is the room on a disk, in bytes.
type Disk struct {
	// Free is what the process may use, Size what there is.
	Free, Size uint64
}

// DiskOf returns the room on the disk that the folder dir is on.
func DiskOf(dir string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Disk{}, fmt.Errorf("ask for the free space of %q: %w", dir, err)
	}
	return Disk{Free: s.Bavail * uint64(s.Bsize), Size: s.Blocks * uint64(s.Bsize)}, nil
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
	journalFault  = describe("saker_journal_fault", "1 for the reason why the journal takes no events: full, unavailable, closed, other; 0 for the others.", "reason")
	journalEvents = describe("saker_journal_events", "Events in the journal, delivered or not.")
	journalBytes  = describe("saker_journal_bytes", "Bytes of the events in the journal.")
	journalOldest = describe("saker_journal_oldest_event_age_seconds", "Age of the oldest event in the journal; 0 without any.")
	deadBytes     = describe("saker_journal_dead_letter_bytes", "Bytes of the dead letters in the journal.")
	deadStored    = describe("saker_journal_dead_letters", "Dead letters in the journal.", "output")
	diskFree      = describe("saker_journal_disk_free_bytes", "Free space on the journal's disk; absent with a NATS cluster.")
	diskSize      = describe("saker_journal_disk_size_bytes", "Size of the journal's disk; absent with a NATS cluster.")
	silences      = describe("saker_silences", "Silences that have not ended, by state: active, pending.", "state")
	spans         = describe("saker_trace_spans_total", "Spans of traces, by result: exported, dropped; absent without tracing.", "result")
)

// Describe implements prometheus.Collector. It describes nothing, so that the registry
// takes what is collected as it comes; prometheus checks that it is consistent.
func (statusCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(to chan<- prometheus.Metric) {
	s := c()
	out := collection{to, time.Now()}
	out.collectJournal(&s)
	for i := range s.Outputs {
		out.collectOutput(&s.Outputs[i])
	}
	out.gauge(silences, float64(s.Silences.Active), "active")
	out.gauge(silences, float64(s.Silences.Pending), "pending")
	if s.Tracing {
		out.count(spans, s.Spans.Exported, "exported")
		out.count(spans, s.Spans.Dropped, "dropped")
	}
}

// collection is one collecting of metrics.
type collection struct {
	to  chan<- prometheus.Metric
	now time.Time
}

func (c collection) gauge(d *prometheus.Desc, v float64, labels ...string) {
	c.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c collection) count(d *prometheus.Desc, v uint64, labels ...string) {
	c.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (c collection) collectJournal(s *Status) {
	c.gauge(journalReady, truth(s.Fault == nil))
	fault := faultReason(s.Fault)
	for _, reason := range []string{faultFull, faultUnavailable, faultClosed, other} {
		c.gauge(journalFault, truth(reason == fault), reason)
	}
	c.gauge(journalEvents, float64(s.Journal.Events))
	c.gauge(journalBytes, float64(s.Journal.Bytes))
	c.gauge(journalOldest, age(c.now, s.Journal.Oldest))
	c.gauge(deadBytes, float64(s.Journal.DeadLetterBytes))
	for output, n := range s.Journal.DeadLetters {
		c.gauge(deadStored, float64(n), strings.ToValidUTF8(output, ""))
	}
	if s.Disk.Size > 0 {
		c.gauge(diskFree, float64(s.Disk.Free))
		c.gauge(diskSize, float64(s.Disk.Size))
	}
}

// The reasons of a fault, beside other.
const (
	faultFull        = "full"
	faultUnavailable = "unavailable"
	faultClosed      = "closed"
)

// faultReason names err, "" for none.
func faultReason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, journal.ErrFull):
		return faultFull
	case errors.Is(err, journal.ErrClosed):
		return faultClosed
	case errors.Is(err, journal.ErrUnavailable):
		return faultUnavailable
	default:
		return other
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// age returns the seconds since t, 0 if there is no t.
func age(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}

package status

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/event"
)

// RuleSnapshot is the rule of the alert that tells a snapshot; name and text are Falco's.
const (
	RuleSnapshot = "Falco internal: metrics snapshot"
	textSnapshot = "Falco metrics snapshot"
)

// A Teller turns snapshots into alerts and lines of a file. It is used from one goroutine.
type Teller struct {
	config Metrics
	before Snapshot
	at     time.Time
	sample uint64
}

// NewTeller returns a Teller.
func NewTeller(c Metrics) *Teller { return &Teller{config: c} }

// Alert returns the alert that tells of a snapshot; it has no UUID yet and no time in its
// text.
func (t *Teller) Alert(s Snapshot, now time.Time) event.Event {
	e := event.Event{
		Output: textSnapshot, Priority: event.Informational, Rule: RuleSnapshot,
		Time: now.UTC(), Source: "internal", Hostname: s.Hostname, Fields: t.fields(&s, now),
	}
	t.before, t.at = s, now
	return e
}

// Append appends a line of JSON to the file: which sample it is, and the alert's fields.
func (t *Teller) Append(e event.Event) error {
	t.sample++
	fields := make(map[string]json.RawMessage, len(e.Fields))
	for _, f := range e.Fields {
		fields[f.Name] = f.Value.AppendJSON(nil)
	}
	line, err := json.Marshal(struct {
		Sample uint64                     `json:"sample"`
		Fields map[string]json.RawMessage `json:"output_fields"`
	}{t.sample, fields})
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	f, err := os.OpenFile(t.config.OutputFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// fieldSet gathers fields.
type fieldSet struct {
	empty bool
	list  []event.Field
}

func (f *fieldSet) text(name, value string) {
	if value != "" || f.empty {
		f.list = append(f.list, event.Field{Name: name, Value: event.StringValue(value)})
	}
}

func (f *fieldSet) number(name string, n uint64) {
	if n != 0 || f.empty {
		f.list = append(f.list, event.Field{Name: name, Value: event.NumberValue(strconv.FormatUint(n, 10))})
	}
}

func (f *fieldSet) float(name string, x float64) {
	if x != 0 || f.empty {
		f.list = append(f.list, event.Field{Name: name, Value: event.NumberValue(strconv.FormatFloat(x, 'f', 2, 64))})
	}
}

func (t *Teller) fields(s *Snapshot, now time.Time) []event.Field {
	f := &fieldSet{empty: t.config.Empty}
	f.number("evt.time", uint64(now.UnixNano()))
	f.text("evt.hostname", s.Hostname)
	f.text("evt.source", strings.Join(s.Sources, ","))
	f.text("falco.version", s.Version)
	f.text("falco.kernel_release", s.Kernel)
	f.number("falco.start_ts", uint64(s.Started.UnixNano()))
	f.number("falco.duration_sec", uint64(now.Sub(s.Started).Seconds()))
	if !s.LastReload.IsZero() {
		f.number("falco.reload_ts", uint64(s.LastReload.UnixNano()))
	}
	for _, file := range s.Files {
		f.text("falco.sha256_rules_file."+fieldName(file.Name), file.SHA256)
	}
	dropped := uint64(0)
	for _, n := range s.Report.Dropped {
		dropped += n
	}
	f.number("falco.outputs_queue_num_drops", dropped)
	f.number("saker.alerts_suppressed", s.Suppressed)
	f.number("saker.spool_alerts", s.Report.SpoolAlerts)
	if t.config.KernelEvents {
		t.kernel(f, s, now)
	}
	if t.config.Rules {
		rules(f, s.Rules)
	}
	if t.config.State {
		f.number("falco.n_threads", s.Processes.Known)
		f.number("falco.n_added_threads_healed", s.Processes.Healed)
		f.number("falco.n_drops_full_threadtable", s.Processes.Evicted)
	}
	if t.config.Resources {
		t.resources(f, now.Sub(s.Started))
	}
	return event.SortFields(f.list)
}

// kernel adds the kernel's events, also as rates since the snapshot before.
func (t *Teller) kernel(f *fieldSet, s *Snapshot, now time.Time) {
	sum, before := s.events(), t.before.events()
	since := t.at
	if since.IsZero() {
		since = s.Started
	}
	f.number("falco.num_evts", s.Received)
	f.number("scap.n_evts", sum.Seen)
	f.number("scap.n_drops", sum.dropped())
	f.number("scap.n_drops_buffer_total", sum.dropped())
	f.number("saker.n_filtered", sum.Filtered)
	f.number("saker.n_shed", sum.Shed)
	if seconds := now.Sub(since).Seconds(); seconds > 0 {
		f.float("falco.evts_rate_sec", float64(s.Received-t.before.Received)/seconds)
		f.float("scap.evts_rate_sec", float64(sum.Seen-before.Seen)/seconds)
		f.float("scap.evts_drop_rate_sec", float64(sum.dropped()-before.dropped())/seconds)
	}
	if seen := sum.Seen - before.Seen; seen > 0 {
		f.float("scap.n_drops_perc", 100*float64(sum.dropped()-before.dropped())/float64(seen))
	}
}

func rules(f *fieldSet, rules []Rule) {
	total := uint64(0)
	for _, r := range rules {
		total += r.Matched
		f.number("falco.rules."+fieldName(r.Name), r.Matched)
	}
	f.number("falco.rules.matches_total", total)
}

var notInField = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// fieldName is a name as part of a field's.
func fieldName(s string) string { return notInField.ReplaceAllString(s, "_") }

// resources adds what the process takes.
func (t *Teller) resources(f *fieldSet, running time.Duration) {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err == nil && running > 0 {
		used := time.Duration(use.Utime.Nano() + use.Stime.Nano())
		f.float("falco.cpu_usage_perc", 100*float64(used)/float64(running))
	}
	virtual, resident := memory()
	unit, divisor := "kb", uint64(1<<10)
	if t.config.Megabytes {
		unit, divisor = "mb", 1<<20
	}
	f.number("falco.memory_rss_"+unit, resident/divisor)
	f.number("falco.memory_vsz_"+unit, virtual/divisor)
	f.number("falco.host_num_cpus", uint64(runtime.NumCPU()))
}

// memory returns what the process takes of memory in bytes, 0 if that cannot be read.
func memory() (virtual, resident uint64) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, 0
	}
	pages := strings.Fields(string(text))
	if len(pages) < 2 {
		return 0, 0
	}
	size := uint64(os.Getpagesize())
	v, _ := strconv.ParseUint(pages[0], 10, 64)
	r, _ := strconv.ParseUint(pages[1], 10, 64)
	return v * size, r * size
}

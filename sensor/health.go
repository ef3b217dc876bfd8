package sensor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/status"
)

// stuckAfter is how long one event may take before the sensor counts as dead.
const stuckAfter = 30 * time.Second

// plugins are the plugins of Falco whose work is done here, with the versions that rules
// may ask for.
var plugins = map[string]string{"container": "0.4.0", "json": "0.7.0", "k8saudit": "0.7.0"}

// pulse tells whether loops still move.
type pulse struct {
	loops []*loop
	mu    sync.Mutex
	// seen are the loops' counts, and since when each is the same.
	seen  []uint64
	since []time.Time
}

func newPulse(loops []*loop, now time.Time) *pulse {
	p := &pulse{loops: loops, seen: make([]uint64, len(loops)), since: make([]time.Time, len(loops))}
	for i := range p.since {
		p.since[i] = now
	}
	return p
}

// check reports a loop that has been at the same event since an earlier check, too long
// ago. A loop without events is well.
func (p *pulse) check(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, l := range p.loops {
		if n := l.count(); n != p.seen[i] {
			p.seen[i], p.since[i] = n, now
		}
		if took := now.Sub(p.since[i]); took > stuckAfter && l.busyAt(p.seen[i]) {
			return fmt.Errorf("the loop of %s events has been stuck for %v", l.source, took.Round(time.Second))
		}
	}
	return nil
}

// serveStatus answers questions by HTTP until ctx ends.
func (s *sensor) serveStatus(ctx context.Context) {
	p := newPulse(s.loops, time.Now())
	err := status.Serve(ctx, status.Options{
		Config: s.config.Webserver, Log: s.Log, Plugins: plugins, Snapshot: s.snapshot,
		Health: func() error { return p.check(time.Now()) },
	})
	if err != nil {
		s.Log.Error("the sensor's status is not served", "error", err)
	}
}

// tellMetrics tells a snapshot at each interval until ctx ends.
func (s *sensor) tellMetrics(ctx context.Context) {
	teller := status.NewTeller(s.config.Metrics)
	tick := time.NewTicker(s.config.Metrics.Interval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		alert := teller.Alert(s.snapshot(), time.Now())
		if s.config.Metrics.OutputFile != "" {
			err := teller.Append(alert)
			if err != nil && !failing {
				s.Log.Warn("the metrics cannot be written", "error", err)
			}
			failing = err != nil
		}
		// Falco's snapshot is an alert like others: it is told where their priority is wanted.
		if s.config.Metrics.OutputRule && alert.Priority >= s.config.Priority {
			alert.UUID = uuid.NewString()
			alert.Output = string(report.AppendPrefix(nil, alert.Time, alert.Priority, s.config.ISOTime)) + alert.Output
			s.reporter.Report(alert)
		}
	}
}

// sources are the names of those that are watched.
func (s *sensor) sources() []string {
	var names []string
	for _, l := range s.loops {
		names = append(names, l.source)
	}
	return names
}

// snapshot is what there is to tell now. It may be called from any goroutine.
func (s *sensor) snapshot() status.Snapshot {
	e := s.engine.Load()
	snap := status.Snapshot{
		Version: s.version(), EngineVersion: rules.EngineVersion, Hostname: s.hostname, Kernel: kernelRelease(),
		Started: s.started, Sources: s.sources(), Rules: s.counts.all(e), Files: e.files,
		Alerts: s.alerts.Load(), Suppressed: s.limiter.Total(), Report: reportOf(s.reporter.Stats()),
		Other: map[string]uint64{},
	}
	snap.Reloads, snap.FailedReloads, snap.LastReload = s.counts.reloads()
	for _, l := range s.loops {
		if l != s.kernel {
			snap.Other[l.source] = l.events()
		}
	}
	if s.audit != nil {
		snap.Extra = append(snap.Extra, auditValues(s.audit.Stats())...)
	}
	if s.probe == nil {
		return snap
	}
	snap.Extra = append(snap.Extra, s.containerValues()...)
	t := s.table.Stats()
	snap.Processes = status.Processes{
		Known: t.Processes, Bytes: t.Bytes, Evicted: t.Evicted,
		Healed: t.Healed, HealMissed: t.HealMissed, HealRefused: t.HealRefused,
	}
	if p, err := s.probe.Stats(); err == nil {
		snap.Received, snap.Malformed, snap.Missed, snap.Unwatched = p.Received, p.Malformed, p.Missed, p.Unwatched
		snap.Events = eventsOf(p)
		for _, m := range p.Maps {
			snap.Extra = append(snap.Extra, status.Value{
				Name: "saker_sensor_map_bytes", Help: "Kernel memory of the probe's maps.", Label: "map", Of: m.Name, Number: float64(m.Bytes),
			})
		}
	}
	return snap
}

// containerValues tell of containers and of the alerts that waited for them.
func (s *sensor) containerValues() []status.Value {
	m := s.metadata.stats()
	const without = "Alerts that went without the metadata of their container, by reason."
	lacks := func(reason absence, n uint64) status.Value {
		return status.Value{Name: "saker_sensor_alerts_without_metadata_total", Help: without, Label: "reason", Of: string(reason), Counter: true, Number: float64(n)}
	}
	return []status.Value{
		{Name: "saker_sensor_containers", Help: "Containers whose metadata is known.", Number: float64(s.containers.Len())},
		{Name: "saker_sensor_container_bytes", Help: "Memory of the metadata of containers.", Number: float64(s.containers.Bytes())},
		{Name: "saker_sensor_containers_evicted_total", Help: "Containers whose metadata made room for others.", Counter: true, Number: float64(s.containers.Evicted())},
		{Name: "saker_sensor_events_waiting", Help: "Events that wait for the metadata of their container.", Number: float64(m.Waiting)},
		{Name: "saker_sensor_events_held_total", Help: "Events that had to wait for the metadata of their container.", Counter: true, Number: float64(m.Held)},
		lacks(timedOut, m.TimedOut), lacks(noRuntime, m.Unknown), lacks(tooMany, m.Busy),
	}
}

// auditValues tell of Kubernetes audit events.
func auditValues(a audit.Stats) []status.Value {
	all := []status.Value{
		{Name: "saker_sensor_audit_waiting", Help: "Deliveries of audit events that wait to be looked at.", Number: float64(a.Waiting)},
		{Name: "saker_sensor_audit_log_bytes_total", Help: "Bytes that were read of the audit log.", Counter: true, Number: float64(a.LogBytes)},
	}
	for _, reason := range slices.Sorted(maps.Keys(a.Dropped)) {
		all = append(all, status.Value{
			Name: "saker_sensor_audit_dropped_total", Help: "Audit events given up, by reason.", Label: "reason", Of: reason,
			Counter: true, Number: float64(a.Dropped[reason]),
		})
	}
	for _, result := range slices.Sorted(maps.Keys(a.Requests)) {
		all = append(all, status.Value{
			Name: "saker_sensor_audit_requests_total", Help: "Requests to the audit webhook, by result.", Label: "result", Of: result,
			Counter: true, Number: float64(a.Requests[result]),
		})
	}
	return all
}

func eventsOf(p probe.Stats) []status.Events {
	var all []status.Events
	for _, k := range slices.Sorted(maps.Keys(p.Kinds)) {
		n := p.Kinds[k]
		all = append(all, status.Events{Type: k.String(), Seen: n.Seen, Filtered: n.Filtered, Shed: n.Shed, Lost: n.Lost})
	}
	return all
}

func reportOf(r report.Stats) status.Report {
	dropped := make(map[status.Drop]uint64, len(r.Dropped))
	for d, n := range r.Dropped {
		dropped[status.Drop(d)] = n
	}
	return status.Report{
		Sent: r.Sent, Dropped: dropped, Retried: r.Retried, Spooled: r.Spooled, Queued: r.Queued,
		SpoolAlerts: r.SpoolAlerts, SpoolBytes: r.SpoolBytes,
	}
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

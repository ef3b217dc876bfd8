// Package sensor watches this machine's kernel and reports what its rules find.
//
// It puts the sensor's parts together in the order in which an event meets them; each has
// its own package:
//
//	kernel ── probe ── process ── fields ──┐
//	                                       ├─ rules ── throttle ── report ── forwarder
//	other sources, each with its fields ───┘
//
// One goroutine takes a record from the kernel to the alert, and one the events of each
// other source; reporting never holds them up. Rules can be exchanged meanwhile: what is
// derived from them is an engine, which each event finds anew.
package sensor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/throttle"
)

// Options are what Run needs beside the configuration.
type Options struct {
	Log *slog.Logger
	// Version is what the sensor says that it is.
	Version string
	// Rules, if any, are the rules files instead of the configuration's. Unlike those they
	// must exist.
	Rules []string
	// Sources, if any, are watched beside the kernel.
	Sources []Source
	// Only, if any, are the names of the sources that alone are watched, Without of those
	// that are not.
	Only, Without []string
	// Reopen, if any, opens the alert file anew whenever something is received.
	Reopen <-chan os.Signal
	// Reload, if any, has rules and settings read again whenever something is received.
	Reload <-chan struct{}
	// Read, if any, reads the configuration for that. Its second result are the keys whose
	// values differ from those that the sensor was started with.
	Read func() (Config, []string, error)
	// Ready, if any, is called once everything is watched.
	Ready func(Started)
}

// Source is where events come from beside the kernel.
type Source interface {
	// Name is the source's name in rules; the sensor knows its fields by that.
	Name() string
	// Run calls judge with each event, of the type that the source's fields are made for,
	// and when it happened, from one goroutine, until ctx ends. Any error but that of ctx
	// ends the sensor.
	Run(ctx context.Context, judge func(ev any, at time.Time)) error
}

// auditSource is the source of Kubernetes audit events.
type auditSource struct{ *audit.Source }

func (a auditSource) Name() string { return audit.SourceName }

func (a auditSource) Run(ctx context.Context, judge func(ev any, at time.Time)) error {
	return a.Source.Run(ctx, func(e *audit.Event) { judge(e, e.Time()) })
}

// Started says what a running sensor does.
type Started struct {
	// Rules is the number of rules that can fire, Kinds that of the kinds of kernel event
	// that are looked at.
	Rules, Kinds int
}

// sensor is one Run.
type sensor struct {
	Options
	// config is that of the start, current that of the last load; only who loads reads it.
	config, current Config
	hostname        string
	pid             int32
	started         time.Time

	engine   atomic.Pointer[engine]
	limiter  *throttle.Limiter
	reporter *report.Reporter
	alerts   atomic.Uint64
	counts   counts
	audit    *audit.Source // nil if it is not watched
	// loops are those of the sources, the kernel's first if it is watched.
	loops []*loop
	// fail ends the sensor with an error.
	fail context.CancelCauseFunc

	// What follows belongs to the kernel's events, nil if those are not watched.
	hosts      *syscalls.Hosts
	table      *process.Table
	containers *container.Resolver
	metadata   *metadata // nil in a replay, as are probe and judging
	source     *syscalls.Source
	probe      *probe.Probe
	judging    *judging
	kernel     *loop
	// inForce is the engine of the last event, of which only handle knows.
	inForce *engine
}

// Run watches until ctx ends, then delivers what was found and returns nil. It returns an
// error when it cannot start or can watch no longer.
func Run(ctx context.Context, c Config, o Options) error {
	s := &sensor{
		Options: o, config: c, current: c, hostname: hostname(), hosts: &syscalls.Hosts{}, started: time.Now(),
		limiter: throttle.New(c.RuleLimit),
	}
	first, watcher, err := s.load(c)
	if err != nil {
		return err
	}
	s.engine.Store(first)
	if c.Audit.Enabled() && c.Engine.Kind != replayEngine {
		source, err := audit.New(c.Audit, audit.Options{Log: o.Log, Hostname: s.hostname})
		if err != nil {
			return err
		}
		s.audit = source
		s.Sources = append(slices.Clone(s.Sources), auditSource{source})
	}
	s.reporter, err = report.New(c.Config, report.Options{Log: o.Log, Hostname: s.hostname})
	if err != nil {
		return err
	}
	// The reporter runs until nothing more can come, and on its own closes what it opened.
	reporting, stopReporting := context.WithCancel(context.WithoutCancel(ctx))
	var reporter sync.WaitGroup
	var reportErr error
	reporter.Go(func() { reportErr = s.reporter.Run(reporting) })
	if c.Engine.Kind == replayEngine {
		err = s.replay(ctx)
	} else {
		err = s.watch(ctx, watcher)
	}
	stopReporting()
	reporter.Wait()
	return errors.Join(err, reportErr)
}

func hostname() string {
	if name := os.Getenv("FALCO_HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// watch turns the events of all sources into alerts until ctx ends.
func (s *sensor) watch(ctx context.Context, watcher *config.Watcher) error {
	kernel := s.config.WatchesKernel() && s.wanted(syscalls.SourceName)
	others := slices.DeleteFunc(slices.Clone(s.Sources), func(o Source) bool { return !s.wanted(o.Name()) })
	if !kernel && len(others) == 0 {
		return errors.New("there is nothing to watch: the kernel is left out and no other source is set up")
	}
	if kernel {
		if err := s.attach(); err != nil {
			return err
		}
		defer s.probe.Close()
	}
	working, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s.fail = fail
	var helpers sync.WaitGroup
	for _, source := range others {
		l := &loop{source: source.Name()}
		s.loops = append(s.loops, l)
		helpers.Go(func() { s.follow(working, source, l) })
	}
	s.help(working, &helpers, watcher)
	e := s.engine.Load()
	// Compiling rules and reading /proc leaves more behind than the sensor will need.
	debug.FreeOSMemory()
	started := Started{Rules: e.enabledRules(s.sources()...), Kinds: len(e.interest.Kinds)}
	s.Log.Info("the sensor is watching this host", "rules", started.Rules, "kinds_of_event", started.Kinds,
		"sources", s.sources(), "kernel_memory", s.kernelMemory())
	if s.Ready != nil {
		s.Ready(started)
	}
	if s.probe != nil {
		if err := s.probe.Run(working, s.handle); err != nil && !errors.Is(err, context.Canceled) {
			fail(fmt.Errorf("watch the kernel: %w", err))
		}
	}
	<-working.Done()
	fail(nil)
	helpers.Wait()
	s.sayFarewell()
	if cause := context.Cause(working); ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// kernelMemory is what the probe's maps take, in bytes; 0 without a probe.
func (s *sensor) kernelMemory() (sum uint64) {
	if s.probe == nil {
		return 0
	}
	stats, err := s.probe.Stats()
	if err != nil {
		s.Log.Warn("the probe's counts cannot be read", "error", err)
	}
	for _, m := range stats.Maps {
		sum += m.Bytes
	}
	return sum
}

// wanted reports whether a source is to be watched.
func (s *sensor) wanted(source string) bool {
	return !slices.Contains(s.Without, source) && (len(s.Only) == 0 || slices.Contains(s.Only, source))
}

// attach begins to watch the kernel and learns of the processes that are there.
func (s *sensor) attach() error {
	e := s.engine.Load()
	s.pid = int32(os.Getpid())
	var err error
	s.probe, err = probe.Open(probe.Options{Interest: e.interest, RingSize: s.config.ringSize()})
	if err != nil {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	s.judging = newJudging(s.probe)
	s.judging.judge.Store(e.judge)
	s.table = process.NewTable(process.Options{Env: !e.interest.OmitEnv})
	// Seeding after the probe is attached misses no process that starts in between.
	if err := s.table.Seed(); err != nil {
		return errors.Join(fmt.Errorf("read the running processes: %w", err), s.probe.Close())
	}
	s.containers = container.NewResolver(0)
	s.source = syscalls.New(syscalls.Options{
		Processes: s.table, Containers: s.containers, Hosts: s.hosts, Hostname: s.hostname,
	})
	s.metadata = newMetadata(s.config.Containers, s.Log, s.containers, s.source, func(m rules.Match, at time.Time, missing absence) {
		s.emit(m, at, uuid.NewString(), missing)
	})
	s.kernel = &loop{source: syscalls.SourceName}
	s.loops = append(s.loops, s.kernel)
	return nil
}

// help starts what runs beside the events until working ends.
func (s *sensor) help(working context.Context, helpers *sync.WaitGroup, watcher *config.Watcher) {
	helpers.Go(func() { _ = s.hosts.Run(working) }) // ends with working, and fails in no other way
	helpers.Go(func() { s.watchLosses(working) })
	helpers.Go(func() { s.watchRules(working, watcher) })
	helpers.Go(func() { s.tellSuppressed(working) })
	helpers.Go(func() { s.reopen(working) })
	if s.metadata != nil {
		helpers.Go(func() { _ = s.metadata.Run(working) }) // as do the hosts
	}
	if s.config.Webserver.Enabled {
		helpers.Go(func() { s.serveStatus(working) })
	}
	if s.config.Metrics.Enabled {
		helpers.Go(func() { s.tellMetrics(working) })
	}
}

// handle takes one record from the kernel all the way to the reporter.
func (s *sensor) handle(rec *probe.Record) {
	s.kernel.enter()
	defer s.kernel.leave()
	e := s.engine.Load()
	if e != s.inForce {
		s.inForce = e
		s.table.KeepEnv(!e.interest.OmitEnv)
	}
	ev, at := s.source.Event(rec), time.Unix(0, int64(rec.Time))
	if s.config.Program.Enabled && s.own(ev.Proc) {
		return
	}
	if s.metadata == nil {
		for _, m := range e.kernel.Evaluate(ev) {
			s.emit(m, at, uuid.NewString(), present)
		}
		return
	}
	s.metadata.evaluate(e.kernel, ev, at)
	s.judging.note(ev)
}

// own reports whether p is a program that alerts are given to, or was started by it: an
// alert about that would cause the next.
func (s *sensor) own(p *process.Process) bool {
	for a := range s.table.Ancestors(p) {
		if a.PID == s.pid {
			return true
		}
	}
	return false
}

// follow takes the events of a source to the reporter.
func (s *sensor) follow(ctx context.Context, source Source, l *loop) {
	err := source.Run(ctx, func(ev any, at time.Time) {
		l.enter()
		if evaluator := s.engine.Load().evaluators[l.source]; evaluator != nil {
			for _, m := range evaluator.Evaluate(ev) {
				s.emit(m, at, identity(ev, m.Rule.Name), present)
			}
		}
		l.leave()
	})
	if err != nil && ctx.Err() == nil {
		s.fail(fmt.Errorf("watch %s: %w", l.source, err))
	}
}

// identity is that of the alert of a rule about an event: one that follows from the event
// where a source may hand it over twice, a new one otherwise.
func identity(ev any, rule string) string {
	if known, ok := ev.(interface{ AlertID(rule string) string }); ok {
		return known.AlertID(rule)
	}
	return uuid.NewString()
}

// reopen opens the alert file anew when it is told to.
func (s *sensor) reopen(ctx context.Context) {
	for {
		select {
		case <-s.Reopen:
			s.reporter.Reopen()
		case <-ctx.Done():
			return
		}
	}
}

// sayFarewell logs what the sensor has seen and found, and each rule that fired.
func (s *sensor) sayFarewell() {
	for _, c := range s.counts.all(s.engine.Load()) {
		if c.Matched > 0 {
			s.Log.Debug("a rule has fired", "rule", c.Name, "alerts", c.Matched, "tried", c.Evaluated)
		}
	}
	attributes := []any{slog.Uint64("alerts", s.alerts.Load()), slog.Uint64("in_spool", s.reporter.Stats().SpoolAlerts)}
	if suppressed := s.limiter.Total(); suppressed > 0 {
		attributes = append(attributes, slog.Uint64("suppressed", suppressed))
	}
	if s.probe != nil {
		if seen, err := s.probe.Stats(); err == nil {
			attributes = append(attributes, slog.Uint64("events", seen.Received), slog.Uint64("lost", seen.Lost), slog.Uint64("shed", seen.Shed))
		}
	}
	s.Log.Info("the sensor stops", attributes...)
	s.logDrops(0)
}

// version is what the sensor says that it is.
func (s *sensor) version() string { return cmp.Or(s.Version, "unknown") }

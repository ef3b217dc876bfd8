// Package sensor watches this machine's kernel and reports what its rules find.
//
// It puts the sensor's parts together in the order in which an event meets them; each has
// its own package:
//
//	kernel ── probe ── process ── fields ── rules ── report ── forwarder
//
// One goroutine takes a record from the kernel to the alert; reporting never holds it up.
package sensor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
)

// Options are what Run needs beside the configuration.
type Options struct {
	Log *slog.Logger
	// Rules, if any, are the rules files instead of the configuration's. Unlike those they
	// must exist.
	Rules []string
	// Reopen, if any, opens the alert file anew whenever something is received.
	Reopen <-chan os.Signal
	// Ready, if any, is called once the kernel is watched.
	Ready func(Started)
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
	config    Config
	hostname  string
	ruleset   *rules.Ruleset
	evaluator *rules.Evaluator
	hosts     *syscalls.Hosts
	table     *process.Table
	source    *syscalls.Source
	probe     *probe.Probe
	reporter  *report.Reporter
}

// Run watches the kernel until ctx ends, then delivers what was found and returns nil. It
// returns an error when it cannot start or can watch no longer.
func Run(ctx context.Context, c Config, o Options) error {
	s := &sensor{Options: o, config: c, hostname: hostname(), hosts: &syscalls.Hosts{}}
	if err := s.loadRules(); err != nil {
		return err
	}
	var err error
	s.reporter, err = report.New(c.Config, report.Options{Log: o.Log, Hostname: s.hostname})
	if err != nil {
		return err
	}
	// The reporter runs until nothing more can come, and on its own closes what it opened.
	reporting, stopReporting := context.WithCancel(context.WithoutCancel(ctx))
	var reporter sync.WaitGroup
	var reportErr error
	reporter.Go(func() { reportErr = s.reporter.Run(reporting) })
	err = s.watch(ctx)
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

// loadRules reads and compiles the rules.
func (s *sensor) loadRules() error {
	paths := s.Rules
	if len(paths) == 0 {
		paths = s.existing(s.config.RulesFiles)
	}
	if len(paths) == 0 && len(s.config.RulesFiles) > 0 {
		return fmt.Errorf("load rules: none of the rules files exists: %v", s.config.RulesFiles)
	}
	files, err := ReadRules(paths)
	if err != nil {
		return err
	}
	registry := map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(s.hosts)}
	set, found, err := rules.Load(files, registry, s.config.ruleOptions())
	if err != nil {
		return fmt.Errorf("load rules:\n%w", err)
	}
	for _, f := range found.Files {
		for _, w := range f.Warnings {
			s.Log.Debug("rules", "warning", w.String())
		}
	}
	if len(set.Rules()) == 0 {
		return fmt.Errorf("load rules: there are none in %v", paths)
	}
	s.ruleset = set
	s.evaluator = set.NewEvaluator(syscalls.SourceName)
	return nil
}

// existing leaves out the rules files that do not exist: Falco's packages name files that
// only some installations have.
func (s *sensor) existing(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		gone := errors.Is(err, fs.ErrNotExist)
		if gone {
			s.Log.Warn("a rules file does not exist and is left out", "file", path)
		}
		return gone
	})
}

// watch attaches to the kernel and turns its events into alerts until ctx ends.
func (s *sensor) watch(ctx context.Context) error {
	interest := s.interest()
	var err error
	s.probe, err = probe.Open(probe.Options{Interest: interest, RingSize: s.config.ringSize()})
	if err != nil {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	defer s.probe.Close()
	s.table = process.NewTable(process.Options{Env: !interest.OmitEnv})
	// Seeding after the probe is attached misses no process that starts in between.
	if err := s.table.Seed(); err != nil {
		return fmt.Errorf("read the running processes: %w", err)
	}
	s.source = syscalls.New(syscalls.Options{Processes: s.table, Hosts: s.hosts, Hostname: s.hostname})

	working, stop := context.WithCancel(ctx)
	defer stop()
	var helpers sync.WaitGroup
	helpers.Go(func() { _ = s.hosts.Run(working) }) // ends with working, and fails in no other way
	helpers.Go(func() { s.watchLosses(working) })
	helpers.Go(func() { s.reopen(working) })
	started := Started{Rules: s.enabledRules(), Kinds: len(interest.Kinds)}
	s.Log.Info("the sensor is watching this host", "rules", started.Rules, "kinds_of_event", started.Kinds)
	if s.Ready != nil {
		s.Ready(started)
	}
	err = s.probe.Run(ctx, s.handle)
	stop()
	helpers.Wait()
	s.sayFarewell()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("watch the kernel: %w", err)
	}
	return nil
}

// sayFarewell logs what the sensor has seen and found, and each rule that fired.
func (s *sensor) sayFarewell() {
	alerts := uint64(0)
	for _, c := range s.evaluator.Counts() {
		if c.Matched > 0 {
			s.Log.Debug("a rule has fired", "rule", c.Rule.Name, "alerts", c.Matched, "tried", c.Evaluated)
		}
		alerts += c.Matched
	}
	attributes := []any{slog.Uint64("alerts", alerts), slog.Uint64("in_spool", s.reporter.Stats().SpoolAlerts)}
	if seen, err := s.probe.Stats(); err == nil {
		attributes = append(attributes, slog.Uint64("events", seen.Received), slog.Uint64("lost", seen.Lost))
	}
	s.Log.Info("the sensor stops", attributes...)
	s.logDrops(0)
}

// handle takes one record from the kernel all the way to the reporter.
func (s *sensor) handle(rec *probe.Record) {
	for _, m := range s.evaluator.Evaluate(s.source.Event(rec)) {
		alert := m.Event(time.Unix(0, int64(rec.Time)), s.hostname)
		alert.UUID = uuid.NewString()
		s.reporter.Report(alert)
	}
}

// interest is what the kernel has to report: what a rule can match, and what the facts
// behind its fields are made of.
func (s *sensor) interest() probe.Interest {
	uses := func(name string) bool { return s.ruleset.UsesField(syscalls.SourceName, name) }
	usesAny := func(names ...string) bool { return slices.ContainsFunc(names, uses) }
	var kinds []probe.Kind
	for _, number := range s.ruleset.EventTypes(syscalls.SourceName) {
		kinds = append(kinds, syscalls.Kinds(number)...)
	}
	kinds = append(kinds, syscalls.StateKinds(kinds, uses)...)
	kinds = append(kinds, process.Kinds()...)
	slices.Sort(kinds)
	// Fields that show every parameter of an event may show these.
	everything := usesAny("evt.args", "evt.arg", "evt.rawarg", "evt.info")
	return probe.Interest{
		Kinds:         slices.Compact(kinds),
		OmitEnv:       !everything && !usesAny("proc.env", "proc.aenv", "evt.arg.env", "evt.rawarg.env"),
		OmitData:      !everything && !usesAny("evt.buffer", "evt.buflen", "evt.arg.data", "evt.rawarg.data"),
		OmitOpenPaths: true, // fd.name of an open is the path as it was passed
	}
}

func (s *sensor) enabledRules() int {
	n := 0
	for _, r := range s.ruleset.Rules() {
		if r.Enabled {
			n++
		}
	}
	return n
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

package ruletest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/saker-security/saker/sensor/capture"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/rules/program"
	"github.com/saker-security/saker/sensor/ruletest/written"
)

// runner runs tests. It keeps compiled rules from one test to the next.
type runner struct {
	Options
	sources map[string]*fields.Registry
	sets    map[string]compiled
}

type compiled struct {
	set *rules.Ruleset
	err error
}

// Registries are the fields of each event source with those of system calls made fit for
// written events, beside real ones.
func Registries(originals map[string]*fields.Registry) map[string]*fields.Registry {
	all := make(map[string]*fields.Registry, len(originals))
	for name, r := range originals {
		all[name] = r
		if name == syscalls.SourceName {
			all[name] = written.Registry(r)
		}
	}
	return all
}

// run runs one test. File, place, name and time of the result are the caller's.
func (r *runner) run(f *File, t *Test) Result {
	if t.Skip != "" {
		return Result{Status: Skipped, Message: t.Skip}
	}
	set, err := r.rules(f, t.settings)
	if err != nil {
		return Result{Status: Broken, Message: err.Error()}
	}
	if err := r.checkNames(f, t, set); err != nil {
		return Result{Status: Broken, Message: err.Error()}
	}
	got, err := r.alerts(t, set)
	if err != nil {
		return Result{Status: Broken, Message: err.Error(), Alerts: got}
	}
	result := Result{Status: Passed, Alerts: got}
	if diff := compare(t.Expected, got, set); diff != "" {
		result.Status, result.Message = Failed, diff
	}
	return result
}

// maxSets is how many compiled rule sets are kept.
const maxSets = 64

// rules returns the compiled rules of a test.
func (r *runner) rules(f *File, s settings) (*rules.Ruleset, error) {
	paths := f.Rules
	if len(r.Rules) > 0 {
		paths = r.Rules
	}
	key := fmt.Sprintf("%q %v %v %q", paths, s.priority, s.all, s.enable)
	if c, ok := r.sets[key]; ok {
		return c.set, c.err
	}
	var c compiled
	files, err := r.ReadRules(paths)
	if err != nil {
		c.err = err
	} else {
		o := rules.Options{MinPriority: s.priority, All: s.all}
		for _, name := range s.enable {
			o.Toggles = append(o.Toggles, rules.Toggle{Enable: true, Rule: name})
		}
		c.set, _, c.err = rules.Load(files, r.sources, o)
		if c.err != nil {
			c.err = fmt.Errorf("the rules do not load:\n%w", c.err)
		}
	}
	if len(r.sets) >= maxSets {
		clear(r.sets)
	}
	r.sets[key] = c
	return c.set, c.err
}

// checkNames says which expected rules there are none of.
func (r *runner) checkNames(f *File, t *Test, set *rules.Ruleset) error {
	names := func(yield func(string) bool) {
		for _, rule := range set.Rules() {
			if !yield(rule.Name) {
				return
			}
		}
	}
	for _, x := range t.Expected {
		if find(set, x.Rule) == nil {
			return written.At(f.Name, x.node, "there is no rule %q%s", x.Rule, program.DidYouMean(x.Rule, names))
		}
	}
	return nil
}

// find returns the rule called name, nil if there is none.
func find(set *rules.Ruleset, name string) *rules.Rule {
	i := slices.IndexFunc(set.Rules(), func(r *rules.Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return set.Rules()[i]
}

// maxAlerts is how many alerts of one test are looked at.
const maxAlerts = 10000

// alerts returns what the test's events cause.
func (r *runner) alerts(t *Test, set *rules.Ruleset) ([]Alert, error) {
	var got []Alert
	evaluator := set.NewEvaluator(t.Source)
	n := 0
	add := func(ev any) {
		n++
		for _, m := range evaluator.Evaluate(ev) {
			if len(got) < maxAlerts {
				text, fields := m.Format()
				got = append(got, Alert{Event: n, Rule: m.Rule.Name, Priority: m.Rule.Priority, Output: text, Fields: fields})
			}
		}
	}
	if t.Capture == "" {
		for _, ev := range t.Events {
			add(ev)
		}
		return got, nil
	}
	player, err := capture.Open(t.Capture)
	if err != nil {
		return nil, err
	}
	defer player.Close()
	source := player.Source(nil)
	err = player.Run(context.Background(), func(rec *probe.Record) { add(source.Event(rec)) })
	return got, err
}

// indent puts blanks before every line.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

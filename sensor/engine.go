package sensor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/status"
)

// An engine is a set of rules with all that follows from it. It never changes: a reload
// makes another one.
type engine struct {
	set *rules.Ruleset
	// evaluators are those of each source, each for the one goroutine of that source.
	evaluators map[string]*rules.Evaluator
	// kernel is the evaluator of the kernel's events.
	kernel *rules.Evaluator
	// interest is what the kernel has to report for these rules, and judge tells for which
	// processes some of that cannot matter.
	interest probe.Interest
	judge    *interest.Judge
	files    []status.File
}

// load reads and compiles the rules of a configuration. The watcher tells when they have
// changed since; it is there also when the rules are wrong, so that a correction is seen.
func (s *sensor) load(c Config) (*engine, *config.Watcher, error) {
	paths := s.Rules
	if len(paths) == 0 {
		paths = s.existing(c.RulesPaths())
	}
	if len(paths) == 0 && len(c.RulesPaths()) > 0 {
		return nil, config.WatchFiles(c.RulesPaths()...), fmt.Errorf("load rules: none of the rules files exists: %v", c.RulesPaths())
	}
	// Watched from before they are read, so that no change is overlooked.
	watcher := config.WatchFiles(rulesPaths(slices.Concat(paths, c.RulesPaths()))...)
	files, err := ReadRules(paths)
	if err != nil {
		return nil, watcher, err
	}
	if len(paths) == 0 && !c.Audit.Enabled() && !s.watches(audit.SourceName) {
		// Rules take memory also for a source that has no events.
		files = slices.DeleteFunc(files, func(f rules.File) bool { return f.Name == defaultrules.AuditName })
	}
	set, found, err := rules.Load(files, s.registries(c.StaticFields), c.ruleOptions())
	if err != nil {
		return nil, watcher, fmt.Errorf("load rules:\n%w", err)
	}
	for _, f := range found.Files {
		for _, w := range f.Warnings {
			s.Log.Debug("rules", "warning", w.String())
		}
	}
	if len(set.Rules()) == 0 {
		return nil, watcher, fmt.Errorf("load rules: there are none in %v", paths)
	}
	e := &engine{set: set, evaluators: map[string]*rules.Evaluator{}}
	e.interest, e.judge = interest.From(set)
	for _, source := range set.Sources() {
		e.evaluators[source] = set.NewEvaluator(source)
	}
	if e.kernel = e.evaluators[syscalls.SourceName]; e.kernel == nil {
		e.kernel = set.NewEvaluator(syscalls.SourceName)
	}
	for _, f := range files {
		sum := sha256.Sum256(f.Content)
		e.files = append(e.files, status.File{Name: f.Name, SHA256: hex.EncodeToString(sum[:])})
	}
	return e, watcher, nil
}

// watches reports whether a source beside the kernel was handed to the sensor.
func (s *sensor) watches(source string) bool {
	return slices.ContainsFunc(s.Sources, func(o Source) bool { return o.Name() == source })
}

// Check reads the rules of a configuration and says what is wrong with them.
func Check(c Config, o Options) error {
	s := &sensor{Options: o, hosts: &syscalls.Hosts{}}
	_, _, err := s.load(c)
	return err
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

// registries are the fields that rules may name, static ones among them.
func (s *sensor) registries(static map[string]string) map[string]*fields.Registry {
	all := registries(s.hosts)
	for source, r := range all {
		all[source] = r.With(staticFields(static)...)
	}
	return all
}

// staticFields are the fields static.NAME, which are the same for every event.
func staticFields(values map[string]string) []fields.Field {
	var all []fields.Field
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := fields.Text(values[name])
		all = append(all, fields.Field{
			Name: "static." + name, Type: fields.String, Doc: "Value of the setting static_fields." + name + ".",
			Extract: func(any, fields.Arg) fields.Value { return value },
		})
	}
	return all
}

// enabledRules is the number of rules that can fire, all of them or those of some sources.
func (e *engine) enabledRules(sources ...string) int {
	n := 0
	for _, r := range e.set.Rules() {
		if r.Enabled && (len(sources) == 0 || slices.Contains(sources, r.Source)) {
			n++
		}
	}
	return n
}

// either is what is reported while one set of rules takes the place of another: all calls
// that one of the two wants, without any finer filter.
func either(a, b probe.Interest) probe.Interest {
	kinds := slices.Concat(a.Kinds, b.Kinds)
	slices.Sort(kinds)
	return probe.Interest{
		Kinds:         slices.Compact(kinds),
		Threads:       a.Threads || b.Threads,
		OmitEnv:       a.OmitEnv && b.OmitEnv,
		OmitData:      a.OmitData && b.OmitData,
		OmitOpenPaths: a.OmitOpenPaths && b.OmitOpenPaths,
	}
}

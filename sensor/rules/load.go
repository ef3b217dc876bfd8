// Package rules reads Falco rules files and holds events against them.
//
//	files --Load--> Ruleset --NewEvaluator--> Evaluator --Evaluate--> Match --Format--> alert
//
// Load reads lists, macros, rules and exceptions, applies overrides, substitutes lists,
// and compiles conditions and outputs with package program; the language itself is in
// package filter. It reports every mistake with file, line and column, also inside folded
// conditions. A Ruleset is immutable; a reload makes a new one. It stands between the
// fields of events (sensor/fields) and the alerts (sensor/report).
//
// # Limits
//
// A file may have MaxFile bytes, a condition MaxCondition after substitution, all together
// MaxConditions; parentheses and macros nest at most filter.MaxDepth deep, and the rules of
// a source have at most program.MaxNodes distinct sub-expressions.
package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
)

// MaxFile is how large a rules file may be, in bytes.
const MaxFile = 16 << 20

// File is a rules file.
type File struct {
	// Name is what messages call it.
	Name    string
	Content []byte
}

// Options are what a user sets besides the rules themselves.
type Options struct {
	// MinPriority leaves out rules that are less severe.
	MinPriority event.Priority
	// All evaluates every rule for an event, not only up to the first that matches.
	All bool
	// Toggles switch rules on and off, one after the other.
	Toggles []Toggle
	// SuggestedOutput adds container and pod to the output of every rule on system calls.
	SuggestedOutput bool
	// Append adds to the outputs of rules.
	Append []Append
	// ISO8601 prints an alert's time in UTC with date instead of the local time of day.
	ISO8601 bool
	// Plugins are those that rules may require, besides the built-in ones, with versions.
	Plugins map[string]string
}

// Toggle switches those rules on or off that its Rule or its Tag names.
type Toggle struct {
	Enable bool
	// Rule is a name in which * stands for anything; Tag is a tag.
	Rule, Tag string
}

// Append adds text and fields to the outputs of the rules that it applies to: of all, or
// of those with Source, Rule and all of Tags as far as they are set.
type Append struct {
	Source, Rule string
	Tags         []string
	// Output is added with a blank; it may name fields.
	Output string
	// Fields are added to output_fields alone.
	Fields []AppendField
}

// AppendField is a member of output_fields: a field of that name, or the text of Format.
type AppendField struct {
	Name, Format string
}

// suggestedOutput is what SuggestedOutput adds.
const suggestedOutput = "container_id=%container.id container_name=%container.name " +
	"container_image_repository=%container.image.repository container_image_tag=%container.image.tag " +
	"k8s_pod_name=%k8s.pod.name k8s_ns_name=%k8s.ns.name"

// Load reads the files in order and compiles them for the given sources, by name. Rules of
// other sources are left out with a warning. The Report is never nil. The error, a
// *LoadError, is nil when everything loaded; otherwise there is no Ruleset.
//
// After each file what is there so far must hold together, so a macro must not be defined
// in a later file than what uses it. Later files may override everything.
func Load(files []File, sources map[string]*fields.Registry, opts Options) (*Ruleset, *Report, error) {
	l := loader{
		compiler: compiler{sources: sources, opts: opts, parsed: make(map[string]parsed), reports: make(map[*source]*FileReport)},
		broken:   make(map[string]bool),
	}
	l.report.Files = make([]FileReport, len(files))
	var rs *Ruleset
	for i, f := range files {
		last := i == len(files)-1
		ok := l.read(f, &l.report.Files[i])
		if l.failed {
			continue
		}
		l.col.broken = l.broken
		rs = l.compile(&l.col, last || !ok)
		l.failed = !ok || l.problems > 0
	}
	if len(files) == 0 {
		rs = l.compile(&l.col, true)
	}
	l.report.Err = errors.Join(l.fatal, l.checkPlugins())
	l.sortProblems()
	if err := l.report.err(); err != nil {
		return nil, &l.report, err
	}
	rs.EngineVersion = l.col.engine.String()
	return rs, &l.report, nil
}

type loader struct {
	compiler
	col    collector
	report Report
	broken map[string]bool
	failed bool
}

// read collects the items of a file; false when some could not be read.
func (l *loader) read(f File, rep *FileReport) bool {
	rep.Name = f.Name
	if len(f.Content) > MaxFile {
		rep.Errors = append(rep.Errors, Problem{
			Code: ErrFileRead, Position: Position{File: f.Name},
			Message: fmt.Sprintf("the file is larger than %d bytes", MaxFile),
		})
		return false
	}
	src := newSource(f.Name, string(f.Content))
	l.reports[src] = rep
	r := reader{src: src, col: &l.col, rep: rep, broken: l.broken}
	r.file()
	return len(rep.Errors) == 0
}

func (l *loader) checkPlugins() error {
	var errs []error
	for _, r := range l.col.plugins {
		errs = append(errs, r.check(l.opts.Plugins))
	}
	return errors.Join(errs...)
}

// sortProblems puts each file's problems in the order of the file.
func (l *loader) sortProblems() {
	byPlace := func(a, b Problem) int { return a.Position.Offset - b.Position.Offset }
	for i := range l.report.Files {
		f := &l.report.Files[i]
		slices.SortStableFunc(f.Errors, byPlace)
		slices.SortStableFunc(f.Warnings, byPlace)
	}
}

// sortedSources returns the names of the sources.
func sortedSources(m map[string]*fields.Registry) []string { return slices.Sorted(maps.Keys(m)) }

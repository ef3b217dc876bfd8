// Package ruletest runs the tests that the author of rules writes beside them: events and the
// alerts that they are to cause.
//
//	test file ── Load ──> File ── Run ──> rules.Evaluator ── alerts ── compare ──> Result
//	                       │
//	                       └ events: written down, Kubernetes audit events, or captured
//
// Rules are compiled and evaluated by the very code that the sensor uses; only the fields of
// written events come from package written. The package is for programs of people, not for a
// running sensor.
package ruletest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

// Options are what Run needs beside the tests.
type Options struct {
	// Registries are the fields of each event source.
	Registries map[string]*fields.Registry
	// ReadRules reads rules files and folders; without any path the rules that ship.
	ReadRules func(paths []string) ([]rules.File, error)
	// Rules are rules files and folders that are used instead of those that a test file
	// names.
	Rules []string
	// Audit reads a Kubernetes audit event, an EventList or several events one after the
	// other from JSON. Without it tests with such events are mistakes.
	Audit func(json []byte) ([]any, error)
}

// Status is what became of a test.
type Status string

// The outcomes. Broken is a test, or a whole file, that cannot be run.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
	Broken  Status = "broken"
)

// Result is the outcome of one test.
type Result struct {
	// File and Line are where the test is, Name its name. A file that cannot be used at all
	// has one Result without a name.
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Name string `json:"name,omitempty"`
	// Status is the outcome, Message why it is not Passed, in one or more lines.
	Status  Status `json:"status"`
	Message string `json:"message,omitempty"`
	// Alerts are what the events caused.
	Alerts []Alert `json:"alerts"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Alert is what an event caused.
type Alert struct {
	// Event is the event's number within the test, from 1.
	Event    int            `json:"event"`
	Rule     string         `json:"rule"`
	Priority event.Priority `json:"priority"`
	// Output is the rule's text, without time and priority.
	Output string `json:"output"`
	// Fields are the alert's output_fields.
	Fields Fields `json:"output_fields"`
}

// Fields are an alert's output_fields, sorted by name.
type Fields []event.Field

// MarshalJSON returns the fields as an object.
func (f Fields) MarshalJSON() ([]byte, error) { return event.AppendJSONFields(nil, f), nil }

// Find returns the test files among paths: the files themselves, and those of the folders
// that have tests, sorted by name. A folder without any is an error.
func Find(paths []string) ([]string, error) {
	var found []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("find tests: %w", err)
		}
		if !info.IsDir() {
			found = append(found, path)
			continue
		}
		inside, err := testsIn(path)
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			return nil, fmt.Errorf("find tests: no YAML file in %q has the key \"tests\"", path)
		}
		found = append(found, inside...)
	}
	return found, nil
}

func testsIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	var found []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		name := filepath.Join(folder, e.Name())
		content, err := readFile(name)
		if err != nil {
			return nil, err
		}
		if hasTests(content) {
			found = append(found, name)
		}
	}
	return found, nil
}

// hasTests says that a line of the text starts the key "tests".
func hasTests(content []byte) bool {
	return slices.ContainsFunc(strings.Split(string(content), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "tests:")
	})
}

// Run runs the tests of the files that Find returned, and calls each with every result as it
// comes.
func Run(files []string, o Options, each func(Result)) {
	r := runner{Options: o, sources: Registries(o.Registries), sets: make(map[string]compiled)}
	for _, name := range files {
		start := time.Now()
		f, err := Load(name, o)
		if err != nil {
			each(Result{File: name, Status: Broken, Message: err.Error(), Seconds: time.Since(start).Seconds()})
			continue
		}
		for i := range f.Tests {
			start = time.Now()
			result := r.run(f, &f.Tests[i])
			result.File, result.Line, result.Name = name, f.Tests[i].line, f.Tests[i].Name
			result.Seconds = time.Since(start).Seconds()
			each(result)
		}
	}
}

// maxFile is the most that is read of a test file or of one that it names, in bytes.
const maxFile = 16 << 20

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is no file", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%q is larger than %d MiB", name, maxFile>>20)
	}
	return os.ReadFile(name)
}

var errNoAudit = errors.New("this program knows no Kubernetes audit events")

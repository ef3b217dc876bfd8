package ruletest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules/program"
	"github.com/saker-security/saker/sensor/ruletest/written"
)

// auditSource is the source of Kubernetes audit events.
const auditSource = "k8s_audit"

// File is a file of tests.
type File struct {
	Name string
	// Rules are the rules files and folders that it names, by paths that can be opened.
	Rules []string
	Tests []Test
}

// Test is one test of a file.
type Test struct {
	Name string
	// Skip is why the test is not run, empty if it is.
	Skip string
	// Source is that of the events.
	Source string
	// Events are those that were written down, Capture is the file of those that were
	// recorded instead.
	Events  []any
	Capture string
	// Expected are the alerts in their order.
	Expected []Expected

	settings
	line int
}

// settings are how rules are loaded for a test.
type settings struct {
	priority event.Priority
	all      bool
	enable   []string
}

// Expected is an alert that a test expects. What is not set may be anything.
type Expected struct {
	Rule     string
	Priority event.Priority
	// Output is the text, in which * stands for anything; HasOutput says that it counts.
	Output    string
	HasOutput bool
	Fields    []ExpectedField

	node *yaml.Node
}

// ExpectedField is an output field that a test expects: null, or a value whose text is
// Pattern, in which * stands for anything.
type ExpectedField struct {
	Name, Pattern string
	Null          bool
}

// Load reads a test file. The error joins all mistakes, each with its place.
func Load(name string, o Options) (*File, error) {
	content, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	return parse(name, content, o)
}

// parser reads one test file.
type parser struct {
	Options
	file     *File
	reader   written.Reader
	defaults *yaml.Node
	settings settings
	errs     []error
}

func parse(name string, content []byte, o Options) (*File, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if doc.Kind != yaml.DocumentNode {
		return nil, fmt.Errorf("%s: the file is empty", name)
	}
	if err := written.Check(name, &doc); err != nil {
		return nil, err
	}
	p := &parser{Options: o, file: &File{Name: name}, reader: written.Reader{File: name}}
	if r := o.Registries[syscalls.SourceName]; r != nil {
		p.reader.Fields = written.Registry(r)
	}
	p.top(doc.Content[0])
	if len(p.errs) > 0 {
		return nil, inOrder(p.errs)
	}
	return p.file, nil
}

// inOrder joins mistakes in the order of the file.
func inOrder(errs []error) error {
	all := flat(errs)
	slices.SortStableFunc(all, func(a, b error) int {
		x, isX := errors.AsType[*written.Mistake](a)
		y, isY := errors.AsType[*written.Mistake](b)
		if !isX || !isY {
			return 0
		}
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	return errors.Join(all...)
}

// flat takes joined errors apart.
func flat(errs []error) []error {
	var all []error
	for _, err := range errs {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			all = append(all, flat(several.Unwrap())...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func (p *parser) mistake(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, written.At(p.file.Name, n, format, args...))
}

// members returns the values of a mapping by key, those that are known.
func (p *parser) members(n *yaml.Node, known ...string) map[string]*yaml.Node {
	pairs, err := written.Pairs(p.file.Name, n)
	if err != nil {
		p.errs = append(p.errs, err)
	}
	m := make(map[string]*yaml.Node, len(pairs))
	for _, pair := range pairs {
		if !slices.Contains(known, pair.Key.Value) {
			p.mistake(pair.Key, "unknown key %q%s", pair.Key.Value, program.DidYouMean(pair.Key.Value, slices.Values(known)))
			continue
		}
		m[pair.Key.Value] = pair.Value
	}
	return m
}

func (p *parser) top(n *yaml.Node) {
	m := p.members(n, "rules", "priority", "rule_matching", "enable", "defaults", "tests")
	for _, path := range p.texts(m["rules"], true) {
		p.file.Rules = append(p.file.Rules, p.path(path))
	}
	p.settings = p.readSettings(m, settings{})
	p.defaults = m["defaults"]
	tests := m["tests"]
	switch {
	case tests == nil:
		p.mistake(n, "the file has no tests")
		return
	case tests.Kind != yaml.SequenceNode:
		p.mistake(tests, "tests must be a list")
		return
	}
	seen := make(map[string]bool)
	for _, t := range tests.Content {
		p.test(t, seen)
	}
}

// path makes a path of the file one that can be opened.
func (p *parser) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(p.file.Name), name)
}

// readSettings reads the settings among the members of a mapping over those that hold around
// it.
func (p *parser) readSettings(m map[string]*yaml.Node, s settings) settings {
	if n := m["priority"]; n != nil {
		s.priority = p.priority(n)
	}
	if n := m["rule_matching"]; n != nil {
		switch n.Value {
		case "first", "all":
			s.all = n.Value == "all"
		default:
			p.mistake(n, "rule_matching must be first or all, not %q", n.Value)
		}
	}
	s.enable = append(slices.Clone(s.enable), p.texts(m["enable"], true)...)
	return s
}

func (p *parser) priority(n *yaml.Node) event.Priority {
	priority, ok := event.ParsePriority(n.Value)
	if !ok {
		p.mistake(n, "unknown priority %q", n.Value)
	}
	return priority
}

// text reads plain text; empty where there is none.
func (p *parser) text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		p.mistake(n, "must be a text that is not empty")
	}
	return n.Value
}

// texts reads a list of texts, or one text if single is set.
func (p *parser) texts(n *yaml.Node, single bool) []string {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case single && n.Kind == yaml.ScalarNode:
		return []string{p.text(n)}
	case n.Kind != yaml.SequenceNode:
		p.mistake(n, "must be a list of texts")
		return nil
	}
	var all []string
	for _, c := range n.Content {
		all = append(all, p.text(c))
	}
	return all
}

// test reads one test. Its name must not be among seen.
func (p *parser) test(n *yaml.Node, seen map[string]bool) {
	m := p.members(n, "name", "skip", "event", "events", "audit", "audit_file", "capture", "alerts",
		"priority", "rule_matching", "enable")
	t := Test{Name: p.text(m["name"]), Skip: p.text(m["skip"]), line: n.Line, settings: p.readSettings(m, p.settings)}
	if t.Name == "" {
		p.mistake(n, "the test has no name")
	} else if seen[t.Name] {
		p.mistake(m["name"], "a test before is called %q too", t.Name)
	}
	seen[t.Name] = true
	p.events(n, m, &t)
	p.alerts(m["alerts"], &t)
	p.file.Tests = append(p.file.Tests, t)
}

// events reads what the test has events from: one of five keys.
func (p *parser) events(n *yaml.Node, m map[string]*yaml.Node, t *Test) {
	var given []string
	for _, key := range []string{"event", "events", "audit", "audit_file", "capture"} {
		if m[key] != nil {
			given = append(given, key)
		}
	}
	if len(given) != 1 {
		p.mistake(n, "the test must have one of event, events, audit, audit_file and capture")
		return
	}
	t.Source = syscalls.SourceName
	value := m[given[0]]
	switch given[0] {
	case "event":
		p.written(t, value)
	case "events":
		if value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
			p.mistake(value, "events must be a list of events")
			return
		}
		for _, c := range value.Content {
			p.written(t, c)
		}
	case "audit":
		p.audit(t, value)
	case "audit_file":
		p.auditFile(t, value)
	default:
		t.Capture = p.path(p.text(value))
	}
}

func (p *parser) written(t *Test, n *yaml.Node) {
	if p.reader.Fields == nil {
		p.mistake(n, "this program knows no events of system calls")
		return
	}
	e, err := p.reader.Event(n, p.defaults, uint64(len(t.Events)+1))
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	t.Events = append(t.Events, e)
}

func (p *parser) audit(t *Test, n *yaml.Node) {
	v, err := written.JSONable(p.file.Name, n)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	raw, err := json.Marshal(v)
	if err != nil {
		p.mistake(n, "%v", err)
		return
	}
	p.auditEvents(t, n, raw)
}

func (p *parser) auditFile(t *Test, n *yaml.Node) {
	raw, err := readFile(p.path(p.text(n)))
	if err != nil {
		p.mistake(n, "%v", err)
		return
	}
	p.auditEvents(t, n, raw)
}

func (p *parser) auditEvents(t *Test, n *yaml.Node, raw []byte) {
	t.Source = auditSource
	if p.Audit == nil {
		p.mistake(n, "%v", errNoAudit)
		return
	}
	var err error
	if t.Events, err = p.Audit(raw); err != nil {
		p.mistake(n, "%v", err)
	}
}

func (p *parser) alerts(n *yaml.Node, t *Test) {
	switch {
	case n == nil || n.Tag == "!!null":
		return
	case n.Kind != yaml.SequenceNode:
		p.mistake(n, "alerts must be a list")
		return
	}
	for _, c := range n.Content {
		t.Expected = append(t.Expected, p.expected(c))
	}
}

// expected reads an expected alert: a rule's name, or a mapping.
func (p *parser) expected(n *yaml.Node) Expected {
	x := Expected{node: n}
	if n.Kind == yaml.ScalarNode {
		x.Rule = p.text(n)
		return x
	}
	m := p.members(n, "rule", "priority", "output", "fields")
	if x.Rule = p.text(m["rule"]); x.Rule == "" {
		p.mistake(n, "the alert has no rule")
	}
	if m["priority"] != nil {
		x.Priority = p.priority(m["priority"])
	}
	if o := m["output"]; o != nil {
		x.Output, x.HasOutput = o.Value, true
	}
	if m["fields"] == nil {
		return x
	}
	pairs, err := written.Pairs(p.file.Name, m["fields"])
	if err != nil {
		p.errs = append(p.errs, err)
	}
	for _, pair := range pairs {
		f := ExpectedField{Name: pair.Key.Value, Pattern: pair.Value.Value, Null: pair.Value.Tag == "!!null"}
		if pair.Value.Kind != yaml.ScalarNode {
			v, err := written.JSONable(p.file.Name, pair.Value)
			if err != nil {
				p.errs = append(p.errs, err)
				continue
			}
			raw, err := json.Marshal(v)
			if err != nil {
				p.mistake(pair.Value, "%v", err)
			}
			f.Pattern = string(raw)
		}
		x.Fields = append(x.Fields, f)
	}
	return x
}

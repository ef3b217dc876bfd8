package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// layer is one of the places a value can come from; the higher ones win.
type layer uint8

const (
	layerDefault layer = iota
	layerFile
	layerEnvironment
	layerFlag
	layerCount
)

// origin is where something was set.
type origin struct {
	layer layer
	// name is the file, the variable or the flag's key.
	name string
	// line and column are the place in the file; for a flag, line is its number.
	line, column int
	// of is the key that the variable or flag sets.
	of string
}

// String returns the origin for people.
func (o origin) String() string {
	switch o.layer {
	case layerFile:
		return fmt.Sprintf("%s:%d", o.name, o.line)
	case layerEnvironment:
		return "environment " + o.name
	case layerFlag:
		return "--set"
	default:
		return "default"
	}
}

// problem makes a Problem at the origin.
func (o origin) problem(key, message string) Problem {
	p := Problem{Key: key, Message: message, named: key != o.of && key != o.of+fileSuffix}
	switch o.layer {
	case layerFile:
		p.File, p.Line, p.Column = o.name, o.line, o.column
	case layerEnvironment:
		p.Variable = o.name
	case layerFlag:
		p.Flag, p.order = o.name, o.line
	}
	return p
}

// given is a value as one layer has it.
type given struct {
	at    origin
	value *yaml.Node
}

// slot is one key of the configuration and every struct field that it fills.
type slot struct {
	path    string
	field   *field
	targets []reflect.Value
	// variables are the names in the environment, the first one counts.
	variables []string
	// values are what each layer sets, and files the companion key_file of each.
	values, files [layerCount]*given
	// shared is the slot to take the value from when nothing sets this one.
	shared *slot

	filled, bad bool
	value       reflect.Value
	origin      origin
}

// isSet reports whether the slot has a value that means something and was not the default.
func (s *slot) isSet() bool { return s.origin.layer != layerDefault && !s.isEmpty() }

// isEmpty reports whether the value is what a required key must not be: its type's zero,
// or a list or map without entries.
func (s *slot) isEmpty() bool {
	if k := s.value.Kind(); k == reflect.Slice || k == reflect.Map {
		return s.value.Len() == 0
	}
	return s.value.IsZero()
}

// section is one part of the configuration with the slots of its structs.
type section struct {
	path    string
	needed  bool
	off     bool
	slots   []*slot
	structs []reflect.Value // pointers
	layouts []*layout
}

// slot returns the slot for a key relative to the section's structs.
func (s *section) slot(key string) *slot {
	i := slices.IndexFunc(s.slots, func(x *slot) bool { return x.field.Key == key })
	if i < 0 {
		return nil
	}
	return s.slots[i]
}

// variable is the environment variable of a path.
func variable(path string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

func (l *loader) variable(path string) string { return l.src.EnvironmentPrefix + variable(path) }

// addSection makes the slots of the structs of one section.
func (l *loader) addSection(path string, into []any, needed, instance bool) *section {
	s := &section{path: path, needed: needed}
	l.sections = append(l.sections, s)
	l.addHeader(path)
	for _, ptr := range into {
		v := reflect.ValueOf(ptr)
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			l.declaration = append(l.declaration, fmt.Errorf("section %q: cannot fill a %T", path, ptr))
			continue
		}
		described, err := describe(v.Elem().Type())
		if err != nil {
			l.declaration = append(l.declaration, fmt.Errorf("section %q: %w", path, err))
			continue
		}
		s.structs, s.layouts = append(s.structs, v), append(s.layouts, described)
		for _, f := range described.fields {
			l.addField(s, f, v.Elem().FieldByIndex(f.index), instance)
		}
	}
	return s
}

func (l *loader) addHeader(path string) {
	for parent := range parents(path + ".") {
		if _, ok := l.headers[parent]; !ok && parent != "" {
			l.headers[parent] = nil
		}
	}
}

// addField makes the slot of one field, or adds the field to a shared slot.
func (l *loader) addField(s *section, f *field, target reflect.Value, instance bool) {
	own := join(s.path, f.Key)
	if instance && f.Key == "type" {
		// An instance's type is its kind, so that the kind's own key keeps its default.
		silent := func(*yaml.Node, string, string) {}
		d := decoder{report: silent, warn: silent}
		d.into(target, f, textNode(f.Default))
		return
	}
	if f.Shared == "" {
		s.slots = append(s.slots, l.addSlot(own, f, target, !strings.Contains(s.path, "[")))
		return
	}
	path := join(f.Shared, f.Key)
	common := l.byPath[path]
	if common == nil {
		common = l.addSlot(path, f, reflect.Value{}, true)
	} else if common.field.typ != f.typ || common.field.Default != f.Default {
		l.declaration = append(l.declaration, fmt.Errorf("key %q is declared in two ways", path))
		return
	}
	if !instance {
		common.targets = append(common.targets, target)
		s.slots = append(s.slots, common)
		return
	}
	override := l.addSlot(own, f, target, true)
	override.shared = common
	s.slots = append(s.slots, override)
}

// addSlot makes a slot at a path that must be free.
func (l *loader) addSlot(path string, f *field, target reflect.Value, environment bool) *slot {
	s := &slot{path: path, field: f}
	if target.IsValid() {
		s.targets = []reflect.Value{target}
	}
	if environment && !slices.Equal(f.Env, []string{"-"}) {
		s.variables = append(s.variables, l.variable(path))
		if !slices.ContainsFunc(l.instances, func(i string) bool { return strings.HasPrefix(path, i+".") }) {
			s.variables = append(s.variables, f.Env...)
		}
	}
	if l.byPath[path] != nil || l.twins[path] != nil || f.twin() && l.byPath[path+fileSuffix] != nil {
		l.declaration = append(l.declaration, fmt.Errorf("key %q is declared twice", path))
	}
	l.slots = append(l.slots, s)
	l.byPath[path] = s
	if f.twin() {
		l.twins[path+fileSuffix] = s
	}
	section, _ := splitPath(path)
	l.addHeader(section)
	return s
}

// maxInstances is how many entries a section of named instances or a list of sections may
// have.
const maxInstances = 1000

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)

// instance is a named instance as it was found.
type instance struct {
	name  string
	at    origin
	value *yaml.Node
}

// addInstances makes a section of every named instance.
func (l *loader) addInstances(root *yaml.Node, s Section) {
	l.addHeader(s.Path)
	var found []instance
	add := func(i instance) {
		if len(found) <= maxInstances && !slices.ContainsFunc(found, func(x instance) bool { return x.name == i.name }) {
			found = append(found, i)
		}
	}
	if n := lookUp(root, s.Path); n != nil {
		for _, e := range entriesOf(n, true, func(*yaml.Node, string, string) {}) {
			add(instance{e.key, l.place(e.node), resolve(e.value)})
		}
	}
	for i, flag := range l.src.Set {
		key, _, _ := strings.Cut(flag, "=")
		if rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(key)), s.Path+"."); ok {
			name, _, _ := strings.Cut(rest, ".")
			add(instance{name, origin{layer: layerFlag, name: join(s.Path, name), of: join(s.Path, name), line: i + 1}, nil})
		}
	}
	variables := map[string]string{}
	for i, in := range found {
		name, at, path := in.name, in.at, join(s.Path, strings.ToLower(in.name))
		l.addHeader(path)
		if at.layer == layerFlag {
			l.headers[path] = &at
		}
		other, clash := variables[variable(path)]
		variables[variable(path)] = name
		switch {
		case i >= maxInstances:
			l.problem(at, s.Path, fmt.Sprintf("has more than %d entries", maxInstances))
		case !namePattern.MatchString(name):
			l.problem(at, path, "the name must be up to 63 lower-case letters, digits, - and _, not - or _ at its ends")
		case clash:
			l.problem(at, path, fmt.Sprintf("the name differs too little from %q: both have the variables %s_…", other, variable(path)))
		default:
			l.addInstance(s, in, path)
			continue
		}
		l.unread[path] = true
	}
}

// addInstance asks what a named instance fills and makes its section.
func (l *loader) addInstance(s Section, in instance, path string) {
	l.instances = append(l.instances, path)
	var kind string
	f := &field{typ: reflect.TypeFor[string](), Field: Field{
		Key: "type", Type: "string", Doc: "Kind of the instance.", Required: true, OneOf: s.Kinds,
	}}
	typeSlot := l.addSlot(join(path, "type"), f, reflect.ValueOf(&kind).Elem(), true)
	l.peekType(typeSlot, in.value)
	if kind == "" {
		l.unread[path] = true
		l.sections = append(l.sections, &section{path: path, needed: true, slots: []*slot{typeSlot}})
		return
	}
	into, err := s.Each(in.name, kind)
	if err != nil {
		l.problem(in.at, path, err.Error())
		l.unread[path] = true
		return
	}
	added := l.addSection(path, into, true, true)
	added.slots = append(added.slots, typeSlot)
}

// peekType sets the type of an instance ahead of everything else; what is wrong with it
// is reported when the slot is filled.
func (l *loader) peekType(s *slot, n *yaml.Node) {
	silent := func(*yaml.Node, string, string) {}
	var nodes []given
	for _, v := range slices.Backward(l.src.Set) {
		if key, value, ok := strings.Cut(v, "="); ok && strings.ToLower(strings.TrimSpace(key)) == s.path {
			nodes = append(nodes, given{value: textNode(value)})
		}
	}
	if value := l.env[l.variable(s.path)]; value != "" {
		nodes = append(nodes, given{value: textNode(value)})
	}
	if value := lookUp(n, "type"); value != nil {
		nodes = append(nodes, given{at: origin{layer: layerFile}, value: value})
	}
	for _, g := range nodes {
		d := decoder{env: l.env, expand: g.at.layer == layerFile, report: silent, warn: silent}
		if d.into(s.targets[0], s.field, g.value) {
			return
		}
	}
}

// lookUp returns the value at a path below a mapping, nil if there is none.
func lookUp(n *yaml.Node, path string) *yaml.Node {
	for key := range strings.SplitSeq(path, ".") {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		entries := entriesOf(n, true, func(*yaml.Node, string, string) {})
		i := slices.IndexFunc(entries, func(e entry) bool { return strings.EqualFold(e.key, key) })
		if i < 0 {
			return nil
		}
		n = resolve(entries[i].value)
	}
	return n
}

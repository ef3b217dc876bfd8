package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is where a configuration comes from.
type Source struct {
	// File is the path of the YAML or JSON file, "" for none. At most 4 MiB are read.
	File string
	// Text is the content of the file when it is not nil; File then only names it.
	Text []byte
	// Environ is the environment as os.Environ returns it; nil reads none.
	Environ []string
	// EnvironmentPrefix stands before the name of every variable that sets a key.
	EnvironmentPrefix string
	// Set are settings of the form key=value, from --set flags.
	Set []string
	// Lenient makes unknown keys a warning.
	Lenient bool
	// Known are keys that another program knows and whose files are accepted: one of them
	// that no section has is a warning and not a mistake.
	Known []string
	// Include is the key at the top level that names further files and folders of them,
	// "" for none. Each is joined with those before it, key by key: lists grow and all else
	// is replaced, or as the entry's strategy (append, override, add-only) says.
	Include string
}

// Section is a part of the configuration and the structs it fills.
type Section struct {
	// Path is where the section stands: "aws.lambda", "" for the top level.
	Path string
	// Into are pointers to the structs to fill. The section has the keys of all of them.
	Into []any
	// Needed makes missing required keys a mistake; without it a section of which no
	// required key is set is off.
	Needed bool

	// Each makes the section a map of named instances, each a section Path.name with a key
	// type. It is called once an instance and returns the structs to fill; an error says
	// that the name or the type is wrong. Into is then not used. A key type of the structs
	// themselves has its default in instances.
	Each func(name, kind string) ([]any, error)
	// Kinds are the types that Each knows.
	Kinds []string
}

// Loaded is a configuration that has been read.
type Loaded struct {
	// Warnings are for whoever wrote the configuration: settings without effect.
	Warnings Problems
	// Notes are for who looks closer: variables that were ignored for a reason.
	Notes Problems

	slots    []*slot
	sections []*section
	// files are those that were read, in the order of reading.
	files []readFrom
}

// Configured reports whether the section at path has all its required keys. A section
// that requires none is always configured; one that Load was not given never is.
func (l *Loaded) Configured(path string) bool {
	i := slices.IndexFunc(l.sections, func(s *section) bool { return s.path == path })
	return i >= 0 && !l.sections[i].off
}

// Origin returns where the value of the key at path came from, as for example
// "saker.yaml:3", "environment SLACK_CHANNEL", "--set" or "default"; "" for no such key.
func (l *Loaded) Origin(path string) string {
	i := slices.IndexFunc(l.slots, func(s *slot) bool { return s.path == path })
	if i < 0 {
		return ""
	}
	return l.slots[i].origin.String()
}

// Load reads the configuration and fills the sections' structs, which hold whatever they
// held before where nothing sets them and there is no default. When the error is Problems
// the structs must not be used, but the Loaded has the warnings; any other error is a
// mistake in the declaration of the structs.
func Load(src Source, sections ...Section) (*Loaded, error) {
	l := newLoader(src)
	root, err := l.read()
	if err != nil {
		return &l.Loaded, Problems{fileProblem(l.src.File, err)}
	}
	if l.src.Include != "" {
		root = l.include(root)
	}
	root = l.setElements(root)
	if err := l.declare(root, sections); err != nil {
		return nil, err
	}
	if root != nil {
		l.walk(root, "")
	}
	l.readEnvironment()
	l.readFlags()
	for i := 0; i < len(l.slots); i++ { // filling a list of structs adds slots
		l.fill(l.slots[i])
	}
	if len(l.declaration) > 0 {
		return nil, errors.Join(l.declaration...)
	}
	for _, s := range l.sections {
		l.finish(s)
	}
	l.Warnings, l.Notes = l.Warnings.sort(), l.Notes.sort()
	if len(l.problems) > 0 {
		return &l.Loaded, l.problems.sort()
	}
	return &l.Loaded, nil
}

// loader is the state of one Load.
type loader struct {
	Loaded
	src      Source
	env      map[string]string
	problems Problems
	// declaration are mistakes in the structs, not in the configuration.
	declaration []error

	byPath map[string]*slot
	twins  map[string]*slot // by the path of key_file
	// headers are the paths that are sections, with where the file has them.
	headers map[string]*origin
	// unread are sections whose keys cannot be known, because of a mistake already reported.
	unread map[string]bool
	// known are Source.Known and knownHeaders the sections of those.
	known, knownHeaders map[string]bool
	instances           []string // their paths
	suggestions         int
	// places are those of nodes that do not come from Source.File.
	places map[*yaml.Node]origin
}

func newLoader(src Source) *loader {
	l := &loader{
		src: src, env: map[string]string{},
		byPath: map[string]*slot{}, twins: map[string]*slot{}, headers: map[string]*origin{},
		unread: map[string]bool{}, known: map[string]bool{}, knownHeaders: map[string]bool{},
		places: map[*yaml.Node]origin{},
	}
	if src.Text != nil && src.File == "" {
		l.src.File = "config.yaml"
	}
	for _, variable := range src.Environ {
		name, value, _ := strings.Cut(variable, "=")
		l.env[name] = value
	}
	for _, key := range src.Known {
		l.known[key] = true
		for parent := range parents(key) {
			l.knownHeaders[parent] = true
		}
	}
	return l
}

// read returns the root mapping of the file, nil if there is none.
func (l *loader) read() (*yaml.Node, error) {
	data := l.src.Text
	if data == nil {
		if l.src.File == "" {
			return nil, nil
		}
		var err error
		if data, err = l.readFile(l.src.File, maxFile); err != nil {
			return nil, err
		}
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("is larger than %v", Bytes(maxFile))
	}
	return parseFile(l.src.File, data)
}

func fileProblem(file string, err error) Problem {
	p := Problem{File: file, Message: err.Error()}
	if e, ok := errors.AsType[*syntaxError](err); ok {
		p.Line, p.Column = e.line, e.column
	}
	return p
}

// declare makes the slots of all sections. Named instances are found in the file and
// among the flags.
func (l *loader) declare(root *yaml.Node, sections []Section) error {
	for _, s := range sections {
		if s.Each == nil {
			l.addSection(s.Path, s.Into, s.Needed, false)
		}
	}
	for _, s := range sections {
		if s.Each != nil {
			l.addInstances(root, s)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(l.headers)) {
		if l.byPath[path] != nil {
			l.declaration = append(l.declaration, fmt.Errorf("key %q is a section too", path))
		}
	}
	return errors.Join(l.declaration...)
}

// walk gives the entries of a mapping in the file to their slots.
func (l *loader) walk(n *yaml.Node, section string) {
	entries := entriesOf(n, true, func(n *yaml.Node, key, message string) {
		l.problem(l.place(n), join(section, strings.ToLower(key)), message)
	})
	for _, e := range entries {
		if e.key == "" {
			l.problem(l.place(e.node), section, "has a key without a name")
			continue
		}
		l.visit(join(section, strings.ToLower(e.key)), section, e)
	}
}

func (l *loader) visit(path, section string, e entry) {
	at := l.place(e.node)
	value := resolve(e.value)
	header, isHeader := l.headers[path]
	switch slot, twin := l.byPath[path], l.twins[path]; {
	case slot != nil && slot.field.Secret && at.layer == layerFlag:
		l.problem(at, path, onCommandLine(path))
	case slot != nil:
		l.give(slot, &slot.values, given{at, value})
	case twin != nil:
		l.give(twin, &twin.files, given{at, value})
	case isHeader:
		if header == nil {
			l.headers[path] = &at
		}
		l.enter(path, at, value)
	case l.unread[section]:
	case l.known[path]:
		if !isEmpty(value) {
			l.warn(at, path, "is accepted for compatibility but has no effect")
		}
	case l.knownHeaders[path]:
		l.enter(path, at, value)
	case section == "" && strings.HasPrefix(path, "x-"): // a place for YAML anchors
	default:
		l.unknown(at, path)
	}
}

// enter walks a section.
func (l *loader) enter(path string, at origin, value *yaml.Node) {
	switch {
	case value.Kind == yaml.MappingNode:
		l.walk(value, path)
	case !isNull(value):
		l.problem(at, path, "must be a section with keys of its own, not a value")
	}
}

// give records that a layer sets a slot.
func (l *loader) give(s *slot, layers *[layerCount]*given, g given) {
	if old := layers[g.at.layer]; old != nil && g.at.layer == layerFile {
		l.problem(g.at, s.path, fmt.Sprintf("is set twice, first in line %d", old.at.line))
		return
	}
	layers[g.at.layer] = &g
}

// unknown reports a key that no section has.
func (l *loader) unknown(at origin, path string) {
	const mostSuggestions = 100 // they cost a comparison with every key there is
	message := "unknown key"
	if l.suggestions++; l.suggestions <= mostSuggestions {
		message += suggestPath(path, slices.Concat(
			slices.Collect(maps.Keys(l.byPath)), slices.Collect(maps.Keys(l.headers))))
	}
	if l.src.Lenient {
		l.warn(at, path, message)
		return
	}
	l.problem(at, path, message)
}

// readEnvironment gives variables to their slots.
func (l *loader) readEnvironment() {
	used := map[string]bool{}
	for _, s := range l.slots {
		for _, name := range s.variables {
			l.readVariable(s, &s.values, name, used)
			if s.field.twin() {
				l.readVariable(s, &s.files, name+"_FILE", used)
			}
		}
	}
	l.strayVariables(used)
}

func (l *loader) readVariable(s *slot, layers *[layerCount]*given, name string, used map[string]bool) {
	used[name] = true
	value := l.env[name]
	at := origin{layer: layerEnvironment, name: name, of: s.path}
	switch {
	case value == "" || layers[layerEnvironment] != nil:
	case isServiceLink(name, value):
		l.note(at, s.path, "is ignored, for it is the address that Kubernetes sets for a Service of that name")
	default:
		l.give(s, layers, given{at, textNode(value)})
	}
}

// isServiceLink reports whether a variable is one that Kubernetes sets for a Service:
// LOKI_PORT=tcp://10.0.0.1:3100.
func isServiceLink(name, value string) bool {
	scheme, _, found := strings.Cut(value, "://")
	return found && strings.HasSuffix(name, "_PORT") && slices.Contains([]string{"tcp", "udp", "sctp"}, scheme)
}

// strayVariables warns of variables that are meant for Saker and have no effect. All
// others are none of its business.
func (l *loader) strayVariables(used map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(l.known)) {
		name := l.variable(key)
		if value := l.env[name]; value != "" && !used[name] && !isServiceLink(name, value) {
			l.warn(origin{layer: layerEnvironment, name: name}, key, "is accepted for compatibility but has no effect")
		}
	}
	for name, value := range l.env {
		path := ""
		for _, instance := range l.instances {
			if strings.HasPrefix(name, variable(instance)+"_") && len(instance) > len(path) {
				path = instance
			}
		}
		if path == "" || value == "" || used[name] || isServiceLink(name, value) || l.unread[path] {
			continue
		}
		l.warn(origin{layer: layerEnvironment, name: name, of: path}, path,
			"sets no key of "+path+suggestVariable(name, variable(path)+"_", used))
	}
}

// readFlags gives --set flags to their slots; of two for the same key the later counts.
func (l *loader) readFlags() {
	for i, flag := range l.src.Set {
		key, value, found := strings.Cut(flag, "=")
		path := strings.ToLower(strings.TrimSpace(key))
		at := origin{layer: layerFlag, name: path, line: i + 1, of: path}
		switch slot, twin := l.byPath[path], l.twins[path]; {
		case !found:
			at.name = fmt.Sprintf("flag %d", i+1)
			l.problem(at, "", "must have the form key=value")
		case isElement(key), l.src.Include != "" && path == l.src.Include: // see setElements and include
		case slot != nil && slot.field.Secret:
			l.problem(at, path, onCommandLine(path))
		case slot != nil && slot.field.kind == kindStructs:
			n, err := flagNode(value)
			if err != nil {
				l.problem(at, path, err.Error())
				continue
			}
			l.mark(n, func(*yaml.Node) origin { return at })
			l.give(slot, &slot.values, given{at, n})
		case slot != nil:
			l.give(slot, &slot.values, given{at, textNode(value)})
		case twin != nil:
			l.give(twin, &twin.files, given{at, textNode(value)})
		case l.known[path]:
			l.warn(at, path, "is accepted for compatibility but has no effect")
		case l.underUnread(path):
		default:
			l.unknown(at, path)
		}
	}
}

// onCommandLine says why a secret is refused: every user of the machine can read a command
// line.
func onCommandLine(path string) string {
	return "is a secret and must not stand on a command line: set it in the file, in the environment or with " + path + fileSuffix
}

// underUnread reports whether a key belongs to a section whose keys cannot be known.
func (l *loader) underUnread(path string) bool {
	for parent := range parents(path) {
		if l.unread[parent] {
			return true
		}
	}
	return false
}

// place is the origin of a node.
func (l *loader) place(n *yaml.Node) origin {
	if at, ok := l.places[n]; ok {
		return at
	}
	return origin{layer: layerFile, name: l.src.File, line: n.Line, column: n.Column}
}

func (l *loader) problem(at origin, key, message string) {
	l.problems = append(l.problems, at.problem(key, message))
}

func (l *loader) warn(at origin, key, message string) {
	l.Warnings = append(l.Warnings, at.problem(key, message))
}

func (l *loader) note(at origin, key, message string) {
	l.Notes = append(l.Notes, at.problem(key, message))
}

// isEmpty reports whether a value says nothing: null, "", an empty list or map.
func isEmpty(n *yaml.Node) bool {
	return isNull(n) || n.Kind == yaml.ScalarNode && n.Value == "" || n.Kind != yaml.ScalarNode && len(n.Content) == 0
}

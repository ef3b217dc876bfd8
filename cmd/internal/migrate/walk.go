package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
)

// walk is the state of one migration.
type walk struct {
	name    string
	keys    *keys
	environ []string
	env     map[string]string
	remarks config.Problems
	// entries are the keys that there is something to do about, in the order of the file.
	entries []*entry
	byKey   map[*yaml.Node]*entry
	// values are new texts of scalars.
	values map[*yaml.Node]string
	// found are the entries that set keys, by path.
	found map[string]*entry
	// hidden are sections of which not all is seen, because of aliases and merge keys.
	hidden map[string]bool
}

// entry is a key of the file with its value.
type entry struct {
	key, value *yaml.Node
	path       string
	// flow says that the entry stands between braces.
	flow bool
	// What becomes of it: comments above it, another name, or a comment of all of it, after
	// which instead stands, if it is not "".
	comments []string
	rename   string
	drop     bool
	instead  string
}

func newWalk(name string, k *keys, environ []string) *walk {
	w := &walk{
		name: name, keys: k, environ: environ, env: map[string]string{}, byKey: map[*yaml.Node]*entry{},
		values: map[*yaml.Node]string{}, found: map[string]*entry{}, hidden: map[string]bool{},
	}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		w.env[name] = value
	}
	return w
}

// read looks at the text of the file. It returns its document, nil for one that says nothing.
func (w *walk) read(text []byte) (*yaml.Node, error) {
	if w.isJSON() {
		if !json.Valid(text) && len(bytes.TrimSpace(text)) > 0 {
			return nil, config.Problems{{File: w.name, Message: "is no JSON"}}
		}
		// Tabs stand between the values of JSON, and YAML takes none there.
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	document, err := parse(text)
	if err != nil {
		return nil, config.Problems{w.placed(err)}
	}
	if document == nil || isNull(document.Content[0]) {
		return nil, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, config.Problems{{File: w.name, Line: root.Line, Message: "must be a map of keys and values"}}
	}
	w.section(root, "", false)
	w.halves()
	return document, nil
}

func (w *walk) isJSON() bool { return strings.EqualFold(filepath.Ext(w.name), ".json") }

var errorLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// placed takes the line out of the library's text.
func (w *walk) placed(err error) config.Problem {
	p := config.Problem{File: w.name, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := errorLine.FindStringSubmatch(p.Message); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = p.Message[len(m[0]):]
	}
	return p
}

// parse returns the document of a YAML text, nil if it has none.
func parse(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := dec.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second YAML document begins here; write one", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(document.Content) != 1 {
		return nil, nil
	}
	return &document, nil
}

// section looks at the entries of a section.
func (w *walk) section(n *yaml.Node, section string, flow bool) {
	flow = flow || n.Style&yaml.FlowStyle != 0
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" || key.Value == "" {
			w.hidden[section] = true
			continue
		}
		name := strings.ToLower(key.Value)
		e := &entry{key: key, value: value, path: join(section, name), flow: flow}
		if right, wrong := misspelled[e.path]; wrong {
			w.note(e, "Falcosidekick does not read this key; it reads "+right)
			e.path = right
			name = right[strings.LastIndexByte(right, '.')+1:]
			e.rename = name
		}
		if line, twice := lines[name]; twice {
			w.note(e, fmt.Sprintf("is set twice, first in line %d; this one is commented out", line))
			w.drop(e)
			continue
		}
		lines[name] = key.Line
		w.entry(e)
	}
}

// entry looks at one key.
func (w *walk) entry(e *entry) {
	f, declared := w.keys.field(e.path)
	switch {
	case w.keys.open[e.path], strings.HasPrefix(e.path, "x-"):
	case declared:
		w.found[e.path] = e
		w.field(e, f)
	case w.keys.theirs[e.path]:
		if !isEmpty(e.value) {
			w.note(e, "is accepted for compatibility but has no effect")
		}
	case w.keys.headers[e.path]:
		if e.value.Kind == yaml.MappingNode {
			w.section(e.value, e.path, e.flow)
		}
		w.hidden[e.path] = w.hidden[e.path] || e.value.Kind == yaml.AliasNode
	default:
		w.note(e, "is a key that neither Falcosidekick nor Saker reads; it is commented out")
		w.drop(e)
	}
	if e.rename != "" {
		w.mark(e)
	}
}

// field looks at the value of a key.
func (w *walk) field(e *entry, f config.Field) {
	if isEmpty(e.value) {
		return
	}
	switch {
	case isDefault(e.value, f):
	case f.Inert != "":
		w.note(e, "has no effect: "+f.Inert)
	case slices.Contains(ignored, e.path):
		w.note(e, "Falcosidekick makes no use of this key; here it has an effect")
	}
	for _, d := range differences {
		if !d.concerns(e.path) {
			continue
		}
		text := d.check(e.value)
		if text == "" {
			continue
		}
		w.note(e, text)
		if d.value == nil {
			continue
		}
		if value, change := d.value(e.value); change {
			w.values[e.value] = value
		}
	}
	if f.Type == "list" && e.value.Kind == yaml.MappingNode && e.rename != "" {
		e.drop, e.instead = true, pairs(e.value)
		return
	}
	if w.escape(e.value) {
		w.note(e, "Falcosidekick takes ${ as these characters, Saker for the begin of a variable: written as $${")
	}
}

// isDefault reports whether a value is what it is without it.
func isDefault(n *yaml.Node, f config.Field) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	usual := f.Default
	if usual == "" {
		usual = map[string]string{"bool": "false", "int": "0"}[f.Type]
	}
	return strings.EqualFold(n.Value, usual)
}

// pairs is a map as the text of a list name:value.
func pairs(n *yaml.Node) string {
	var items []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		items = append(items, n.Content[i].Value+":"+n.Content[i+1].Value)
	}
	return strings.Join(items, ",")
}

// escape keeps text that looks like the name of a variable from being replaced by it. It
// reports whether there was any.
func (w *walk) escape(n *yaml.Node) (found bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		text, changed := w.values[n]
		if !changed {
			text = n.Value
		}
		if found = strings.Contains(text, "${"); found {
			w.values[n] = strings.ReplaceAll(text, "${", "$${")
		}
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			found = w.escape(n.Content[i]) || found
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			found = w.escape(item) || found
		}
	}
	return found
}

// halves comments out what turns an output on when not all is there that it needs:
// Falcosidekick then leaves it off, or fails for each event, and Saker would not start.
func (w *walk) halves() {
	for _, section := range w.keys.outputs() {
		var set []*entry
		var missing []string
		for _, r := range w.keys.sections[section] {
			e := w.setBy(r.path)
			switch {
			case e != nil && r.Shared == "":
				set = append(set, e)
			case e == nil && r.Default == "" && !w.variable(r):
				missing = append(missing, fmt.Sprintf("%s (or %s in the environment)", r.path, variable(r.path)))
			}
		}
		if len(missing) == 0 || w.isHidden(section) {
			continue
		}
		for _, e := range set {
			w.note(e, fmt.Sprintf("without %s the output gets nothing from Falcosidekick, and is a mistake here; commented out", strings.Join(missing, " and ")))
			w.drop(e)
		}
	}
}

// dropEmpty comments out empty values that Saker refuses, so that the default holds, and
// reports whether there were any. Falcosidekick's example file has such values.
func (w *walk) dropEmpty(mistakes config.Problems) (found bool) {
	for _, p := range mistakes {
		e := w.found[p.Key]
		if f, _ := w.keys.field(p.Key); e == nil || e.drop || !isEmpty(e.value) || f.Default == "" {
			continue
		}
		w.note(e, "an empty value is refused here; commented out, so that the default holds")
		w.drop(e)
		found = true
	}
	return found
}

// setBy returns the entry that gives a key a value that counts, nil if there is none.
func (w *walk) setBy(path string) *entry {
	for _, p := range []string{path, path + "_file"} {
		e := w.found[p]
		if e == nil || e.drop && e.instead == "" || isEmpty(e.value) {
			continue
		}
		if v := e.value; v.Kind == yaml.ScalarNode && v.Style == 0 && (strings.EqualFold(v.Value, "false") || v.Value == "0") {
			continue
		}
		return e
	}
	return nil
}

// variable reports whether the environment sets a key.
func (w *walk) variable(r required) bool {
	for _, name := range append([]string{variable(r.path)}, r.Env...) {
		if w.env[name] != "" || w.env[name+"_FILE"] != "" {
			return true
		}
	}
	return false
}

// isHidden reports whether not all keys of a section are known.
func (w *walk) isHidden(section string) bool {
	for {
		if w.hidden[section] {
			return true
		}
		if section == "" {
			return false
		}
		section = section[:max(strings.LastIndexByte(section, '.'), 0)]
	}
}

// note says something of an entry: above it, and to who migrates.
func (w *walk) note(e *entry, text string) {
	w.mark(e)
	e.comments = append(e.comments, e.path+": "+text)
	w.remarks = append(w.remarks, config.Problem{File: w.name, Line: e.key.Line, Column: e.key.Column, Key: e.path, Message: text})
}

func (w *walk) drop(e *entry) {
	w.mark(e)
	e.drop, e.instead = true, ""
}

func (w *walk) mark(e *entry) {
	if w.byKey[e.key] == nil {
		w.byKey[e.key] = e
		w.entries = append(w.entries, e)
	}
}

// Package migrate rewrites a Falcosidekick configuration file for Saker: the user's own
// keys, in their order and with their comments. Above a key whose meaning differs stands a
// comment that says how; what Falcosidekick took without a word and Saker refuses is put
// right where it is certain what was meant, and commented out where nothing read it.
//
// What differs is one table (differences.go); which keys there are, which of them an output
// needs and which have no effect, the registry of outputs says.
//
//	file → tree → walk: edits and remarks → text → forwarder.LoadConfig
package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
)

// Result is a configuration for Saker and what there is to say about it. Every Problem
// names the file and the line that was given, not that of Text.
type Result struct {
	Text []byte
	// Remarks are what differs from Falcosidekick, and what Saker warns of.
	Remarks config.Problems
	// Mistakes are why Text does not load.
	Mistakes config.Problems
}

// File migrates the text of the file called name. The result is loaded to see whether it is
// right, with the variables of environ; extra sections are those of others that may share the
// file. The error says why text is no configuration file at all.
func File(name string, text []byte, environ []string, extra ...config.Section) (Result, error) {
	k, err := declared(extra)
	if err != nil {
		return Result{}, err
	}
	w := newWalk(name, k, environ)
	document, err := w.read(text)
	if err != nil || document == nil {
		return Result{Text: text}, err
	}
	result, err := w.load(text, document, extra)
	if err == nil && w.dropEmpty(result.Mistakes) {
		result, err = w.load(text, document, extra)
	}
	return result, err
}

// load writes the result and loads it.
func (w *walk) load(text []byte, document *yaml.Node, extra []config.Section) (Result, error) {
	out, lines, err := w.render(text, document)
	if err != nil {
		return Result{}, err
	}
	result := Result{Text: out, Remarks: slices.Clone(w.remarks)}
	place := func(p config.Problem) config.Problem {
		if p.File != "" {
			p.File, p.Line = w.name, lines[p.Line]
		}
		return p
	}
	loaded, err := forwarder.LoadConfig(config.Source{File: "result.yaml", Text: out, Environ: w.environ}, extra...)
	problems, wrong := errors.AsType[config.Problems](err)
	switch {
	case wrong:
		for _, p := range problems {
			result.Mistakes = append(result.Mistakes, place(p))
		}
	case err != nil:
		return Result{}, err
	default:
		for _, p := range loaded.Source.Warnings {
			// What has been said of the key says more.
			if !slices.ContainsFunc(w.remarks, func(r config.Problem) bool { return r.Key == p.Key }) {
				result.Remarks = append(result.Remarks, place(p))
			}
		}
	}
	slices.SortStableFunc(result.Remarks, func(a, b config.Problem) int {
		// What has no place in the file comes last.
		return cmp.Or(cmp.Compare(b.File, a.File), cmp.Compare(a.Line, b.Line))
	})
	return result, nil
}

// keys is what the program knows about configuration keys.
type keys struct {
	fields map[string]config.Field // by path, without the keys named *_file
	// sections are the outputs' required keys by their section.
	sections map[string][]required
	headers  map[string]bool // paths that are sections
	// theirs are Falcosidekick's keys.
	theirs map[string]bool
	// open are sections whose keys are not looked at.
	open map[string]bool
}

// required is a key that an output is off without.
type required struct {
	path string
	config.Field
}

func declared(extra []config.Section) (*keys, error) {
	k := &keys{
		fields: map[string]config.Field{}, sections: map[string][]required{}, headers: map[string]bool{},
		theirs: map[string]bool{}, open: map[string]bool{"outputs": true},
	}
	for _, s := range extra {
		k.open[s.Path] = true
	}
	for _, s := range forwarder.DocSections() {
		k.addHeaders(s.Path + ".")
		for _, structure := range s.All() {
			fields, err := config.Fields(structure)
			if err != nil {
				return nil, fmt.Errorf("look at section %q: %w", s.Path, err)
			}
			for _, f := range fields {
				path := join(cmp.Or(f.Shared, s.Path), f.Key)
				k.fields[path] = f
				k.addHeaders(path)
				if f.Required && s.Path != "" {
					k.sections[s.Path] = append(k.sections[s.Path], required{path, f})
				}
			}
		}
	}
	for _, key := range config.FalcosidekickKeys() {
		k.theirs[key] = true
		k.addHeaders(key)
	}
	return k, nil
}

// addHeaders notes the sections above a path.
func (k *keys) addHeaders(path string) {
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		k.headers[path[:i]] = true
	}
}

// field returns the key at a path; for a secret's companion key_file it is that of the
// secret.
func (k *keys) field(path string) (f config.Field, ok bool) {
	if f, ok = k.fields[path]; ok {
		return f, true
	}
	f, ok = k.fields[strings.TrimSuffix(path, "_file")]
	return f, ok && f.Type == "secret"
}

// outputs are the sections of outputs in their order.
func (k *keys) outputs() []string { return slices.Sorted(maps.Keys(k.sections)) }

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// variable is the environment variable of a path.
func variable(path string) string {
	return strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isEmpty reports whether a value says nothing.
func isEmpty(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		return isNull(n) || n.Value == ""
	case yaml.AliasNode:
		return false
	default:
		return len(n.Content) == 0
	}
}

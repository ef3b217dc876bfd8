package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxIncludes is how many further files one configuration may have.
const maxIncludes = 1000

// The ways in which a further file is joined with what is there already, key by key at the
// top level: append adds to lists and replaces everything else, override replaces, and
// add-only leaves what is there.
const (
	strategyAppend   = "append"
	strategyOverride = "override"
	strategyAddOnly  = "add-only"
)

// include joins the files that the key Source.Include names with root, in their order, and
// returns the root without that key.
func (l *loader) include(root *yaml.Node) *yaml.Node {
	joined := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	var list *yaml.Node
	if root != nil {
		joined.Line, joined.Column = root.Line, root.Column
		for i := 0; i+1 < len(root.Content); i += 2 {
			if strings.EqualFold(root.Content[i].Value, l.src.Include) {
				list = resolve(root.Content[i+1])
				continue
			}
			joined.Content = append(joined.Content, root.Content[i], root.Content[i+1])
		}
	}
	for i, flag := range l.src.Set {
		if key, value, _ := strings.Cut(flag, "="); strings.EqualFold(strings.TrimSpace(key), l.src.Include) {
			list = textNode(value)
			l.places[list] = origin{layer: layerFlag, name: l.src.Include, line: i + 1, of: l.src.Include}
		}
	}
	for _, in := range l.includes(list) {
		l.join(joined, in)
	}
	return joined
}

// included is a further file and how it is joined.
type included struct {
	path, strategy string
	at             origin
}

// includes reads the list of further files: paths, or maps with path and strategy.
func (l *loader) includes(list *yaml.Node) []included {
	if list == nil || isNull(list) {
		return nil
	}
	items := []*yaml.Node{list}
	if list.Kind == yaml.SequenceNode {
		items = list.Content
	}
	var all []included
	for _, item := range items {
		item = resolve(item)
		in := included{strategy: strategyAppend, at: l.place(item)}
		path := item
		if item.Kind == yaml.MappingNode {
			path = lookUp(item, "path")
			if s := lookUp(item, "strategy"); s != nil && s.Kind == yaml.ScalarNode {
				in.strategy = s.Value
			}
		}
		if path == nil || path.Kind != yaml.ScalarNode || path.Value == "" {
			l.problem(in.at, l.src.Include, "must be a list of paths, or of maps with path and strategy")
			continue
		}
		if !slices.Contains([]string{strategyAppend, strategyOverride, strategyAddOnly}, in.strategy) {
			l.problem(in.at, l.src.Include, fmt.Sprintf("strategy must be one of append, override, add-only, not %q", clip(in.strategy)))
			continue
		}
		var err error
		if in.path, err = expand(path.Value, l.env); err != nil {
			l.problem(in.at, l.src.Include, err.Error())
			continue
		}
		all = append(all, l.inFolder(in)...)
	}
	if len(all) > maxIncludes {
		l.problem(all[0].at, l.src.Include, fmt.Sprintf("adds up to more than %d files", maxIncludes))
		return nil
	}
	return all
}

// inFolder returns the files of a folder, sorted by name, or the one file itself. What does
// not exist is left out, but watched.
func (l *loader) inFolder(in included) []included {
	info, err := os.Stat(in.path)
	if errors.Is(err, fs.ErrNotExist) {
		l.files = append(l.files, readFrom{path: in.path, regular: true})
		l.note(in.at, l.src.Include, fmt.Sprintf("%q does not exist", in.path))
		return nil
	}
	if err != nil || !info.IsDir() {
		return []included{in} // reading it says what is wrong
	}
	l.files = append(l.files, readFrom{in.path, stampOf(info), true})
	entries, err := os.ReadDir(in.path)
	if err != nil {
		l.problem(in.at, l.src.Include, fmt.Sprintf("read %q: %v", in.path, withoutPath(err)))
		return nil
	}
	var all []included
	for _, e := range entries {
		ending := strings.ToLower(filepath.Ext(e.Name()))
		if slices.Contains([]string{".yaml", ".yml", ".json"}, ending) && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, included{filepath.Join(in.path, e.Name()), in.strategy, in.at})
		}
	}
	return all
}

// join reads a further file and joins it with root.
func (l *loader) join(root *yaml.Node, in included) {
	data, err := l.readFile(in.path, maxFile)
	var more *yaml.Node
	if err == nil {
		more, err = parseFile(in.path, data)
	}
	if err != nil {
		l.problems = append(l.problems, fileProblem(in.path, err))
		return
	}
	if more == nil {
		return
	}
	l.mark(more, func(n *yaml.Node) origin {
		return origin{layer: layerFile, name: in.path, line: n.Line, column: n.Column}
	})
	entries := entriesOf(more, true, func(n *yaml.Node, key, message string) {
		l.problem(l.place(n), strings.ToLower(key), message)
	})
	for _, e := range entries {
		if strings.EqualFold(e.key, l.src.Include) {
			l.problem(l.place(e.node), l.src.Include, "cannot stand in a file that is included itself")
			continue
		}
		joinEntry(root, e, in.strategy)
	}
}

func joinEntry(root *yaml.Node, e entry, strategy string) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if !strings.EqualFold(root.Content[i].Value, e.key) {
			continue
		}
		old, value := resolve(root.Content[i+1]), resolve(e.value)
		switch {
		case strategy == strategyAddOnly:
		case strategy == strategyAppend && old.Kind == yaml.SequenceNode && value.Kind == yaml.SequenceNode:
			both := *old
			both.Content = slices.Concat(old.Content, value.Content)
			root.Content[i+1] = &both
		default:
			root.Content[i], root.Content[i+1] = e.node, e.value
		}
		return
	}
	root.Content = append(root.Content, e.node, e.value)
}

// mark notes where a node and all below it come from.
func (l *loader) mark(n *yaml.Node, from func(*yaml.Node) origin) {
	l.places[n] = from(n)
	for _, child := range n.Content {
		l.mark(child, from)
	}
}

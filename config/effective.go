package config

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteEffective writes the configuration that is in effect as YAML: every key of the
// sections that are on, and what was set in others, each with its origin as a comment.
// Secrets are hidden. Read back, it means the same, but for the secrets.
func (l *Loaded) WriteEffective(w io.Writer) error {
	shown := map[*slot]bool{}
	for _, s := range l.sections {
		for _, slot := range s.slots {
			shown[slot] = shown[slot] || !s.off || slot.origin.layer != layerDefault
		}
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range l.slots {
		if shown[s] && s.field.kind != kindStructs {
			put(root, s.path, valueNode(s.value), s.origin.String())
		}
	}
	if len(root.Content) == 0 {
		return nil
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("write effective configuration: %w", err)
	}
	return enc.Close()
}

var indexed = regexp.MustCompile(`^(.*)\[(\d+)\]$`)

// put sets path below a mapping, making the sections on the way.
func put(n *yaml.Node, path string, value *yaml.Node, comment string) {
	name, rest, nested := strings.Cut(path, ".")
	if m := indexed.FindStringSubmatch(name); m != nil {
		i, _ := strconv.Atoi(m[2])
		list := child(n, m[1], yaml.SequenceNode)
		for len(list.Content) <= i {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.MappingNode})
		}
		put(list.Content[i], rest, value, comment)
		return
	}
	if nested {
		put(child(n, name, yaml.MappingNode), rest, value, comment)
		return
	}
	value.LineComment = comment
	n.Content = append(n.Content, keyNode(name), value)
}

// child returns the collection called name in a mapping, which it makes if need be.
func child(n *yaml.Node, name string, kind yaml.Kind) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	c := &yaml.Node{Kind: kind}
	n.Content = append(n.Content, keyNode(name), c)
	return c
}

func keyNode(name string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(name)
	return n
}

// valueNode is the YAML of a key's value, on one line.
func valueNode(v reflect.Value) *yaml.Node {
	n := &yaml.Node{}
	switch {
	case v.Kind() == reflect.Slice:
		n.Kind, n.Style = yaml.SequenceNode, yaml.FlowStyle
		for i := range v.Len() {
			n.Content = append(n.Content, valueNode(v.Index(i)))
		}
	case v.Kind() == reflect.Map:
		n.Kind, n.Style = yaml.MappingNode, yaml.FlowStyle
		keys := map[string]reflect.Value{}
		for key, value := range v.Seq2() {
			keys[textOf(key)] = value
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			n.Content = append(n.Content, keyNode(key), valueNode(keys[key]))
		}
	case v.Kind() == reflect.Bool, v.CanFloat():
		n.Kind, n.Value = yaml.ScalarNode, textOf(v)
	case (v.CanInt() || v.CanUint()) && isPlainNumber(v.Type()):
		n.Kind, n.Value = yaml.ScalarNode, textOf(v)
	default:
		n.SetString(strings.ReplaceAll(textOf(v), "${", "$${"))
		n.Style &^= yaml.LiteralStyle
		if strings.ContainsAny(n.Value, "\n\r\t") {
			n.Style |= yaml.DoubleQuotedStyle
		}
	}
	return n
}

// isPlainNumber reports whether values of an integer type are written as digits.
func isPlainNumber(t reflect.Type) bool {
	k, ok := scalarKind(t)
	return ok && (k == kindInt || k == kindUint)
}

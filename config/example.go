package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

const exampleOutro = `
# More outputs, each with a name, a type and the keys of that type:
#   platform:
#     type: %s
%s: {}
`

// WriteExample writes an example file: every key at its default, with its doc as a
// comment. Read back, it changes nothing.
func WriteExample(w io.Writer, sections []DocSection) error {
	all, err := pages(sections)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", Generated)
	if common := commonKeys(all); common != nil {
		var keys []string
		for _, f := range leavesOf("", common) {
			keys = append(keys, f.path)
		}
		b.WriteByte('\n')
		comment(&b, "", "Beside the keys below, every output has these: "+strings.Join(keys, ", ")+".")
	}
	if err := writeBranch(&b, treeOf(all, false), 0); err != nil {
		return err
	}
	for _, p := range all {
		if p.Kind != "" {
			fmt.Fprintf(&b, exampleOutro, p.Kind, instancesPath)
			break
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func writeBranch(b *strings.Builder, parent *branch, depth int) error {
	indent := strings.Repeat("  ", depth)
	for _, c := range parent.children {
		if depth == 0 {
			b.WriteByte('\n')
		}
		if c.field == nil {
			comment(b, indent, strings.TrimSuffix(c.title+": "+c.doc, ": "))
			fmt.Fprintf(b, "%s%s:\n", indent, c.name)
			if err := writeBranch(b, c, depth+1); err != nil {
				return err
			}
			continue
		}
		comment(b, indent, c.field.Doc+" "+remarks(*c.field))
		value, err := yaml.Marshal(defaultNode(*c.field))
		if err != nil {
			return fmt.Errorf("write example: key %q: %w", c.field.Key, err)
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, c.name, strings.TrimSpace(string(value)))
	}
	return nil
}

// comment writes text as comment lines.
func comment(b *strings.Builder, indent, text string) {
	const width = 88
	line := ""
	flush := func() {
		if line != "" {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
	}
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(indent)+len(line)+len(word)+3 > width {
			flush()
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	flush()
}

// defaultNode is the YAML of a key's default, on one line.
func defaultNode(f Field) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.FlowStyle}
	switch f.Type {
	case "bool", "int", "number", "duration", "size":
		n.Value = defaultText(f)
	case "list":
		n.Kind = yaml.SequenceNode
		for _, item := range splitList(f.Default) {
			n.Content = append(n.Content, quoted(item))
		}
	case "sections":
		n.Kind = yaml.SequenceNode
	case "map":
		n.Kind = yaml.MappingNode
		d := decoder{report: func(*yaml.Node, string, string) {}}
		pairs, _ := d.pairsOfText(n, f.Default)
		for _, p := range pairs {
			n.Content = append(n.Content, quoted(p.key), quoted(p.value))
		}
	default:
		return quoted(f.Default)
	}
	return n
}

// quoted is a text that stays on one line and is never taken for another type.
func quoted(s string) *yaml.Node {
	n := textNode(strings.ReplaceAll(s, "${", "$${"))
	if s == "" || strings.ContainsAny(s, "\n\r\t") || len(s) > 60 {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

package written

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Limits of a YAML document. Aliases make a small text stand for a large tree.
const (
	maxNodes = 1 << 20
	maxDepth = 200
)

// Check says whether a document is within the limits: aliases written out it may have a
// million nodes, nested 200 deep.
func Check(file string, n *yaml.Node) error {
	nodes := 0
	return check(file, n, 0, &nodes)
}

func check(file string, n *yaml.Node, depth int, nodes *int) error {
	if *nodes++; *nodes > maxNodes || depth > maxDepth {
		return At(file, n, "the document is too large or nested too deep once its aliases are written out")
	}
	if n.Kind == yaml.AliasNode {
		return check(file, n.Alias, depth+1, nodes)
	}
	for _, c := range n.Content {
		if err := check(file, c, depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

// Pair is a member of a mapping.
type Pair struct {
	Key, Value *yaml.Node
}

// Pairs returns the members of a mapping with aliases followed and merges (<<) carried out:
// the mapping's own members count more than merged ones. A key twice is a mistake.
func Pairs(file string, n *yaml.Node) ([]Pair, error) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil, At(file, n, "must be a mapping")
	}
	var own, merged []Pair
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch {
		case key.Tag == "!!merge":
			more, err := merge(file, value)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
		case key.Kind != yaml.ScalarNode:
			return nil, At(file, key, "a key must be plain text")
		case seen[key.Value]:
			return nil, At(file, key, "the key %q is there twice", key.Value)
		default:
			seen[key.Value] = true
			own = append(own, Pair{key, value})
		}
	}
	for _, p := range merged {
		if !seen[p.Key.Value] {
			seen[p.Key.Value] = true
			own = append(own, p)
		}
	}
	return own, nil
}

// merge returns the members of the mapping, or of the mappings in the list, that << names.
func merge(file string, value *yaml.Node) ([]Pair, error) {
	if value.Kind != yaml.SequenceNode {
		return Pairs(file, value)
	}
	var all []Pair
	for _, c := range value.Content {
		more, err := Pairs(file, c)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// JSONable turns a node into what encoding/json can write, with numbers in their own text.
func JSONable(file string, n *yaml.Node) (any, error) {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		pairs, err := Pairs(file, n)
		if err != nil {
			return nil, err
		}
		m := make(map[string]any, len(pairs))
		for _, p := range pairs {
			if m[p.Key.Value], err = JSONable(file, p.Value); err != nil {
				return nil, err
			}
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			var err error
			if list[i], err = JSONable(file, c); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	if n.Tag == "!!timestamp" {
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, At(file, n, "%s", fmt.Sprint(err))
	}
	return v, nil
}

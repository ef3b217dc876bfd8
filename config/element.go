package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A step leads from a section or a list to what is in it.
type step struct {
	// key is a key of a section, if it is not "".
	key string
	// index is the place in a list, -1 for one after the last.
	index int
}

// isElement reports whether a flag's key names an element of a list: key[0] or key[].
func isElement(key string) bool {
	return strings.Contains(strings.ReplaceAll(key, `\[`, ""), "[")
}

// parseSteps reads a path such as plugins[0].open_params; a backslash takes the meaning
// from the character that follows.
func parseSteps(path string) ([]step, error) {
	var steps []step
	var key strings.Builder
	end := func() {
		if key.Len() > 0 {
			steps = append(steps, step{key: strings.ToLower(key.String())})
			key.Reset()
		}
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; c {
		case '\\':
			if i++; i == len(path) {
				return nil, errors.New(`ends with \`)
			}
			key.WriteByte(path[i])
		case '.':
			end()
		case '[':
			end()
			inside, _, closed := strings.Cut(path[i+1:], "]")
			index := -1
			if n, err := strconv.Atoi(inside); closed && err == nil && n >= 0 && n < maxInstances {
				index = n
			} else if !closed || inside != "" {
				return nil, fmt.Errorf("has [ without a number from 0 to %d, or nothing, and ] after it", maxInstances-1)
			}
			if len(steps) == 0 {
				return nil, errors.New("has [ without a key before it")
			}
			steps = append(steps, step{index: index})
			i += len(inside) + 1
		default:
			key.WriteByte(c)
		}
	}
	end()
	return steps, nil
}

// setElements puts the values of flags that name elements of lists into the file's tree,
// and returns its root.
func (l *loader) setElements(root *yaml.Node) *yaml.Node {
	for i, flag := range l.src.Set {
		path, text, found := strings.Cut(flag, "=")
		path = strings.TrimSpace(path)
		if !found || !isElement(path) {
			continue
		}
		at := origin{layer: layerFlag, name: path, line: i + 1, of: path}
		steps, err := parseSteps(path)
		var value *yaml.Node
		if err == nil {
			value, err = flagNode(text)
		}
		if err != nil {
			l.problem(at, "", err.Error())
			continue
		}
		at.of = "" // so that problems name the key in full
		if root == nil {
			root = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		e := elementSetter{l, at, value}
		l.mark(value, e.from)
		changed, err := e.set(root, steps)
		if err != nil {
			at.of = path
			l.problem(at, "", err.Error())
			continue
		}
		root = changed
	}
	return root
}

// flagNode returns the node of a flag's value, which may be a JSON object or list.
func flagNode(text string) (*yaml.Node, error) {
	if t := strings.TrimSpace(text); !strings.HasPrefix(t, "{") && !strings.HasPrefix(t, "[") {
		return textNode(text), nil
	}
	n, err := parseJSON([]byte(text))
	if err != nil {
		return nil, errors.New("begins like JSON but is none")
	}
	return n, nil
}

// elementSetter puts one value into a tree.
type elementSetter struct {
	l     *loader
	at    origin
	value *yaml.Node
}

func (e elementSetter) from(*yaml.Node) origin { return e.at }

// set returns a copy of n in which the value stands where steps lead to. The tree may share
// nodes, so none of them is changed.
func (e elementSetter) set(n *yaml.Node, steps []step) (*yaml.Node, error) {
	if len(steps) == 0 {
		return e.value, nil
	}
	var c yaml.Node
	fresh := n == nil || isNull(n)
	if !fresh {
		c = *resolve(n)
		c.Content = slices.Clone(c.Content)
	}
	defer func() {
		if fresh {
			e.l.places[&c] = e.at
		} else if at, ok := e.l.places[resolve(n)]; ok {
			e.l.places[&c] = at
		}
	}()
	if steps[0].key != "" {
		return e.setKey(&c, fresh, steps)
	}
	return e.setIndex(&c, fresh, steps)
}

func (e elementSetter) setKey(c *yaml.Node, fresh bool, steps []step) (*yaml.Node, error) {
	if fresh {
		c.Kind, c.Tag = yaml.MappingNode, "!!map"
	}
	if c.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%q is a key of something that is no section", steps[0].key)
	}
	i := 0
	for i+1 < len(c.Content) && !strings.EqualFold(c.Content[i].Value, steps[0].key) {
		i += 2
	}
	var old *yaml.Node
	if i+1 < len(c.Content) {
		old = c.Content[i+1]
	} else {
		key := textNode(steps[0].key)
		e.l.places[key] = e.at
		c.Content = append(c.Content, key, nil)
	}
	var err error
	c.Content[i+1], err = e.set(old, steps[1:])
	return c, err
}

func (e elementSetter) setIndex(c *yaml.Node, fresh bool, steps []step) (*yaml.Node, error) {
	switch {
	case fresh:
		c.Kind, c.Tag = yaml.SequenceNode, "!!seq"
	case c.Kind == yaml.ScalarNode: // a list as a text with commas
		items := splitList(c.Value)
		c.Kind, c.Tag, c.Value = yaml.SequenceNode, "!!seq", ""
		for _, item := range items {
			n := textNode(item)
			e.l.places[n] = e.at
			c.Content = append(c.Content, n)
		}
	}
	i := steps[0].index
	if i < 0 {
		i = len(c.Content)
	}
	switch {
	case c.Kind != yaml.SequenceNode:
		return nil, errors.New("names an element of something that is no list")
	case i > len(c.Content):
		return nil, fmt.Errorf("names element %d of a list of %d", i, len(c.Content))
	case i >= maxInstances:
		return nil, fmt.Errorf("makes a list of more than %d elements", maxInstances)
	}
	var old *yaml.Node
	if i == len(c.Content) {
		c.Content = append(c.Content, nil)
	} else {
		old = c.Content[i]
	}
	var err error
	c.Content[i], err = e.set(old, steps[1:])
	return c, err
}

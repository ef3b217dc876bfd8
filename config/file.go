package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxFile is the largest configuration file, in bytes.
	maxFile = 4 << 20
	// maxSecretFile is the largest file a secret is read from, in bytes.
	maxSecretFile = 1 << 20
	// maxEntries is how many entries merge keys (<<) may add up to in one section.
	maxEntries = 100_000
	// maxMerge is how deep merge keys may follow one another, and maxJSON how deep JSON
	// may nest.
	maxMerge = 20
	maxJSON  = 100
)

// readFile returns the content of a file of at most limit bytes, and notes that the
// configuration depends on it.
func (l *loader) readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	l.files = append(l.files, readFrom{name, stampOf(info), info.Mode().IsRegular()})
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %v", Bytes(limit))
	}
	return data, nil
}

// withoutPath drops the operation and the path, which the caller names itself.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// readSecret returns what the file holds without the line ends that editors add.
func (l *loader) readSecret(name string) (string, error) {
	data, err := l.readFile(name, maxSecretFile)
	if err != nil {
		return "", fmt.Errorf("read %q: %w", name, err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("read %q: the file is empty", name)
	}
	return text, nil
}

// syntaxError is a mistake in the text of a file.
type syntaxError struct {
	line, column int
	message      string
}

func (e *syntaxError) Error() string { return e.message }

// parseFile returns the mapping at the root of a YAML or JSON text, nil if it is empty.
func parseFile(name string, data []byte) (*yaml.Node, error) {
	var root *yaml.Node
	var err error
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".json":
		root, err = parseJSON(data)
	case ".yaml", ".yml", "":
		root, err = parseYAML(data)
	default:
		return nil, &syntaxError{message: fmt.Sprintf("files of type %s are not read; write YAML (.yaml, .yml) or JSON (.json)", ext)}
	}
	if err != nil || root == nil || isNull(root) {
		return nil, err
	}
	if root.Kind != yaml.MappingNode {
		return nil, &syntaxError{root.Line, root.Column, "must be a map of keys and values"}
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

func parseYAML(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := dec.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, &syntaxError{second.Line, second.Column, "a second YAML document begins here; write one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	if len(document.Content) != 1 {
		return nil, nil
	}
	return resolve(document.Content[0]), nil
}

// yamlError takes the line out of the library's text.
func yamlError(err error) error {
	e := &syntaxError{message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(e.message); m != nil {
		e.line, _ = strconv.Atoi(m[1])
		e.message = e.message[len(m[0]):]
	}
	return e
}

// parseJSON builds the node tree of a JSON text, with the places of its values.
func parseJSON(data []byte) (*yaml.Node, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	root, err := p.value(0)
	if err == nil {
		if _, more := p.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	if err == nil {
		return root, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	offset := p.dec.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(e.Offset-1, 0)
	}
	line, column := p.place(offset)
	return nil, &syntaxError{line, column, err.Error()}
}

type jsonParser struct {
	data []byte
	dec  *json.Decoder
	// line is the number of the line that begins at offset start.
	line, start int
}

// place returns the line and column of an offset, which does not go back.
func (p *jsonParser) place(offset int64) (line, column int) {
	end := min(int(offset), len(p.data))
	for end > p.start {
		i := bytes.IndexByte(p.data[p.start:end], '\n')
		if i < 0 {
			break
		}
		p.line, p.start = p.line+1, p.start+i+1
	}
	return p.line + 1, max(end-p.start, 0) + 1
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = p.place(p.dec.InputOffset() - 1)
	switch token := token.(type) {
	case json.Delim:
		if depth >= maxJSON {
			return nil, errors.New("is nested too deep")
		}
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if token == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for p.dec.More() {
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = p.dec.Token()
		return n, err
	case string:
		n.Tag, n.Value = "!!str", token
	case json.Number:
		n.Tag, n.Value = "!!float", token.String()
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(token)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

// entry is one key of a mapping with its value.
type entry struct {
	key         string // as written
	node, value *yaml.Node
}

// entriesOf returns the entries of a mapping in their order, those of merge keys (<<)
// last and only where the mapping has no entry of its own. With fold, keys that differ
// only in case are the same. Keys that are no text or are there twice are reported and
// left out.
func entriesOf(n *yaml.Node, fold bool, report func(n *yaml.Node, key, message string)) []entry {
	m := merger{fold: fold, seen: map[string]int{}, report: report}
	m.add(n, 0)
	return m.entries
}

type merger struct {
	fold    bool
	seen    map[string]int // key to line
	entries []entry
	visited int
	stopped bool
	report  func(n *yaml.Node, key, message string)
}

// stop ends the walk: what is too much to read is reported once.
func (m *merger) stop(n *yaml.Node, message string) {
	if !m.stopped {
		m.stopped = true
		m.report(n, "", message)
	}
}

func (m *merger) add(n *yaml.Node, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		if m.visited++; depth > 0 && m.visited > maxEntries {
			m.stop(key, "merge keys (<<) add up to too many entries")
		}
		switch {
		case m.stopped:
			return
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
			continue
		case key.Kind != yaml.ScalarNode:
			m.report(key, "", "a key must be a text")
			continue
		}
		folded := first(m.fold, strings.ToLower(key.Value), key.Value)
		line, twice := m.seen[folded]
		if twice && depth == 0 {
			m.report(key, key.Value, fmt.Sprintf("is set twice, first in line %d", line))
		}
		if !twice {
			m.seen[folded] = key.Line
			m.entries = append(m.entries, entry{key.Value, key, value})
		}
	}
	for _, value := range merges {
		m.merge(resolve(value), depth+1)
	}
}

func (m *merger) merge(n *yaml.Node, depth int) {
	if m.visited++; m.visited > maxEntries {
		m.stop(n, "merge keys (<<) add up to too many entries")
	}
	switch {
	case m.stopped:
	case depth > maxMerge:
		m.stop(n, "merge keys (<<) follow one another too deep")
	case n.Kind == yaml.MappingNode:
		m.add(n, depth)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			m.merge(resolve(item), depth+1)
		}
	default:
		m.report(n, "", "a merge key (<<) must name a map")
	}
}

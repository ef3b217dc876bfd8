package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// reader reads the items of one file and hands them to the collector.
type reader struct {
	src *source
	col *collector
	rep *FileReport
	// broken is set when an item could not be read, so that what refers to it is not
	// reported as well.
	broken map[string]bool
}

// item is a mapping of a rules file and what messages call it.
type item struct {
	*reader
	node       *yaml.Node
	kind, name string
}

func (r *reader) file() {
	d := yaml.NewDecoder(bytes.NewReader([]byte(r.src.content)))
	for {
		var doc yaml.Node
		err := decodeYAML(d, &doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.rep.Errors = append(r.rep.Errors, r.yamlProblem(err))
			return
		}
		if len(doc.Content) > 0 {
			r.document(resolve(doc.Content[0]))
		}
	}
}

// decodeYAML turns a panic of the YAML parser into an error: rules files come from users.
func decodeYAML(d *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return d.Decode(doc)
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func (r *reader) yamlProblem(err error) Problem {
	// The parser leaves the line out when it is the first.
	line, message := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = strings.TrimPrefix(err.Error(), m[0])
	}
	pos := r.src.position(r.src.offset(min(line, len(r.src.lines)), 1))
	return Problem{Code: ErrYAMLParse, Position: pos, Message: message, Snippet: snippet(r.src, pos)}
}

// resolve follows an alias to its anchor.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < 10; i++ {
		n = n.Alias
	}
	return n
}

func (r *reader) document(n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n, ErrYAMLValidate, "the file must be a list of items such as - rule: …, not %s", kindName(n))
		return
	}
	for _, c := range n.Content {
		if c = resolve(c); !isNull(c) {
			r.item(c)
		}
	}
}

func (r *reader) problem(n *yaml.Node, code Code, format string, args ...any) {
	item{reader: r}.problem(n, code, "", format, args...)
}

func (it item) problem(n *yaml.Node, code Code, part, format string, args ...any) {
	it.rep.Errors = addProblem(it.rep.Errors, it.newProblem(n, code, part, format, args...))
	if it.kind != "" {
		it.broken[it.kind+" "+it.name] = true
	}
}

func (it item) warn(n *yaml.Node, code Code, part, format string, args ...any) {
	it.rep.Warnings = addProblem(it.rep.Warnings, it.newProblem(n, code, part, format, args...))
}

func (it item) newProblem(n *yaml.Node, code Code, part, format string, args ...any) Problem {
	pos := it.src.node(n)
	return Problem{
		Code: code, Position: pos, Item: it.kind, Name: it.name, Part: part,
		Message: fmt.Sprintf(format, args...), Snippet: snippet(it.src, pos),
	}
}

// maxSnippet is the longest line that a report shows, in bytes.
const maxSnippet = 300

func snippet(src *source, pos Position) string {
	line := src.line(pos.Line)
	if len(line) > maxSnippet {
		return ""
	}
	return line
}

// The keys that make an item, in the order in which they are looked for, and all keys that
// each may have.
var (
	itemKinds = []string{"required_engine_version", "required_plugin_versions", "list", "macro", "rule"}
	itemKeys  = map[string][]string{
		"list":  {"list", "items", "append", "override"},
		"macro": {"macro", "condition", "append", "override"},
		"rule": {
			"rule", "condition", "output", "desc", "priority", "source", "enabled", "capture",
			"capture_duration", "warn_evttypes", "skip-if-unknown-filter", "tags", "exceptions", "override", "append",
		},
		"required_engine_version":  {"required_engine_version"},
		"required_plugin_versions": {"required_plugin_versions"},
	}
)

func (r *reader) item(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, ErrYAMLValidate, "an item must be a mapping such as rule: name, not %s", kindName(n))
		return
	}
	it := item{reader: r, node: n}
	for _, kind := range itemKinds {
		if it.get(kind) != nil {
			it.kind = kind
			break
		}
	}
	if it.kind == "" {
		it.warn(n, WarnUnknownItem, "", "the item is ignored: it is no rule, macro, list or version")
		return
	}
	read := map[string]func(item){
		"required_engine_version": item.engineVersion, "required_plugin_versions": item.pluginVersions,
		"list": item.list, "macro": item.macro, "rule": item.rule,
	}[it.kind]
	it.warnUnknownKeys()
	read(it)
}

func (it item) warnUnknownKeys() {
	if name := it.get(it.kind); name != nil && name.Kind == yaml.ScalarNode && !strings.HasPrefix(it.kind, "required") {
		it.name = name.Value
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(it.node.Content); i += 2 {
		key := it.node.Content[i]
		if !slices.Contains(itemKeys[it.kind], key.Value) {
			it.warn(key, WarnUnknownKey, "", "the unknown key %q is ignored", key.Value)
		} else if seen[key.Value] {
			it.warn(key, WarnUnknownKey, "", "the key %q stands here a second time and is ignored", key.Value)
		}
		seen[key.Value] = true
	}
}

// get returns the value of key, nil when the item does not have it.
func (it item) get(key string) *yaml.Node { return lookup(it.node, key) }

func lookup(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i].Kind == yaml.ScalarNode {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// scalar returns the value of key of mapping n, which must be there and not be empty. It
// returns nil when it has reported a problem.
func (it item) scalar(n *yaml.Node, key string) *yaml.Node {
	v := lookup(n, key)
	switch {
	case v == nil:
		it.problem(n, ErrYAMLValidate, "", "the key %q is missing", key)
	case isNull(v) || v.Kind == yaml.ScalarNode && v.Value == "":
		it.problem(v, ErrYAMLValidate, "", "the value of %q is empty", key)
	case v.Kind != yaml.ScalarNode:
		it.problem(v, ErrYAMLValidate, "", "the value of %q must be a single value, not %s", key, kindName(v))
	default:
		return v
	}
	return nil
}

// text returns the value of key as text; ok is false when it has reported a problem.
func (it item) text(key string) (text, bool) {
	n := it.scalar(it.node, key)
	if n == nil {
		return text{}, false
	}
	return scalarText(it.src, n), true
}

// bool reads the value of key into b if the item has the key.
func (it item) bool(key string, b *bool) bool {
	if it.get(key) == nil {
		return true
	}
	n := it.scalar(it.node, key)
	if n == nil {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "y", "on":
		*b = true
	case "false", "no", "n", "off":
		*b = false
	default:
		it.problem(n, ErrYAMLValidate, "", "the value of %q must be true or false, not %q", key, n.Value)
		return false
	}
	return true
}

func (it item) priority() (event.Priority, bool) {
	n := it.scalar(it.node, "priority")
	if n == nil {
		return 0, false
	}
	p, ok := event.ParsePriority(n.Value)
	if !ok {
		it.problem(n, ErrYAMLValidate, "priority",
			"must be one of emergency, alert, critical, error, warning, notice, informational, debug, not %q", n.Value)
	}
	return p, ok
}

// strings returns a sequence of scalars; required says that it must be there.
func (it item) strings(key string, required bool) ([]*yaml.Node, bool) {
	n := it.get(key)
	if n == nil {
		if required {
			it.problem(it.node, ErrYAMLValidate, "", "the key %q is missing", key)
		}
		return nil, !required
	}
	if n.Kind != yaml.SequenceNode {
		it.problem(n, ErrYAMLValidate, "", "the value of %q must be a list, not %s", key, kindName(n))
		return nil, false
	}
	ok := true
	out := make([]*yaml.Node, 0, len(n.Content))
	for _, c := range n.Content {
		c = resolve(c)
		if c.Kind != yaml.ScalarNode || isNull(c) {
			it.problem(c, ErrYAMLValidate, "", "an element of %q must be a single value", key)
			ok = false
			continue
		}
		out = append(out, c)
	}
	return out, ok
}

func (it item) engineVersion() {
	n := it.scalar(it.node, it.kind)
	if n == nil {
		return
	}
	v, err := parseEngineVersion(n.Value)
	if err != nil {
		it.problem(n, ErrYAMLValidate, "", "%v", err)
		return
	}
	if !engineVersion.satisfies(v) {
		it.problem(n, ErrValidate, "", "the rules need engine version %s, this is %s", v, engineVersion)
		return
	}
	it.col.requireEngine(v)
}

func (it item) pluginVersions() {
	n := it.get(it.kind)
	if n.Kind != yaml.SequenceNode {
		it.problem(n, ErrYAMLValidate, "", "the value must be a list, not %s", kindName(n))
		return
	}
	for _, c := range n.Content {
		c = resolve(c)
		if main, ok := it.plugin(c); ok {
			r := pluginRequirement{at: it.src.node(c), plugins: []plugin{main}}
			if it.alternatives(c, &r) {
				it.col.plugins = append(it.col.plugins, r)
			}
		}
	}
}

func (it item) alternatives(n *yaml.Node, r *pluginRequirement) bool {
	alts := lookup(n, "alternatives")
	if alts == nil {
		return true
	}
	if alts.Kind != yaml.SequenceNode {
		it.problem(alts, ErrYAMLValidate, "", "alternatives must be a list, not %s", kindName(alts))
		return false
	}
	for _, c := range alts.Content {
		p, ok := it.plugin(resolve(c))
		if !ok {
			return false
		}
		if slices.ContainsFunc(r.plugins, func(x plugin) bool { return x.name == p.name }) {
			it.problem(c, ErrValidate, "", "the plugin %q stands here twice", p.name)
			return false
		}
		r.plugins = append(r.plugins, p)
	}
	return true
}

func (it item) plugin(n *yaml.Node) (plugin, bool) {
	if n.Kind != yaml.MappingNode {
		it.problem(n, ErrYAMLValidate, "", "a plugin must be a mapping with name and version, not %s", kindName(n))
		return plugin{}, false
	}
	name, version := it.scalar(n, "name"), it.scalar(n, "version")
	if name == nil || version == nil {
		return plugin{}, false
	}
	v, err := parseVersion(version.Value)
	if err != nil {
		it.problem(version, ErrValidate, "", "plugin %q: %v", name.Value, err)
	}
	return plugin{name.Value, v}, err == nil
}

// named reads the item's name.
func (it *item) named() bool {
	n := it.scalar(it.node, it.kind)
	if n != nil {
		it.name = n.Value
	}
	return n != nil
}

func (it item) list() {
	if !it.named() {
		return
	}
	if strings.ContainsAny(it.name, "()\"'=, \t\r\n\v\f") {
		it.warn(it.get("list"), WarnInvalidListName, "", "no condition can refer to a list of this name")
	}
	var add bool
	nodes, ok := it.strings("items", true)
	add, good := it.appends([]string{"items"}, []string{"items"})
	if !ok || !good {
		return
	}
	items := make([]string, len(nodes))
	for i, n := range nodes {
		items[i] = n.Value
	}
	l := &list{at: it.node, src: it.src, name: it.name, items: items}
	if add {
		if !it.col.appendList(l) {
			it.problem(it.node, ErrValidate, "", "there is no list of this name to append to")
		}
		return
	}
	it.col.defineList(l)
}

func (it item) macro() {
	if !it.named() {
		return
	}
	if !isIdentifier(it.name) {
		it.warn(it.get("macro"), WarnInvalidMacroName, "", "no condition can refer to a macro of this name: want letters, digits and _")
	}
	cond, ok := it.text("condition")
	add, good := it.appends([]string{"condition"}, []string{"condition"})
	if !ok || !good {
		return
	}
	m := &macro{at: it.node, src: it.src, name: it.name, cond: cond}
	if add {
		if !it.col.appendMacro(m) {
			it.problem(it.node, ErrValidate, "", "there is no macro of this name to append to")
		}
		return
	}
	it.col.defineMacro(m)
}

func isIdentifier(s string) bool {
	e, err := filter.Parse(s)
	m, ok := e.(*filter.Macro)
	return err == nil && ok && m.Name == s
}

// appends says whether the item adds to an earlier one of its name, by append or override.
// ok is false when it has reported a problem.
func (it item) appends(appendable, replaceable []string) (add, ok bool) {
	ok = it.bool("append", &add)
	if add {
		it.warn(it.get("append"), WarnDeprecatedItem, "", "append is deprecated; use override")
	}
	over, good := it.overrides(appendable, replaceable)
	if !ok || !good {
		return false, false
	}
	if add && len(over) > 0 {
		it.problem(it.node, ErrValidate, "", "append and override exclude each other")
		return false, false
	}
	return add || over[appendable[0]] == "append", true
}

// overrides reads the override mapping: key to "append" or "replace". One that is empty or
// a single value counts as absent.
func (it item) overrides(appendable, replaceable []string) (map[string]string, bool) {
	n := it.get("override")
	if n == nil || n.Kind == yaml.ScalarNode {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		it.problem(n, ErrYAMLValidate, "", "override must be a mapping of keys to append or replace, not %s", kindName(n))
		return nil, false
	}
	out := make(map[string]string)
	ok := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, op := n.Content[i], resolve(n.Content[i+1])
		canAppend, canReplace := slices.Contains(appendable, key.Value), slices.Contains(replaceable, key.Value)
		switch {
		case !canAppend && !canReplace:
			it.problem(key, ErrYAMLValidate, "override", "the key %q cannot be overridden", key.Value)
		case op.Value == "append" && !canAppend:
			it.problem(key, ErrYAMLValidate, "override", "the key %q cannot be appended to; use replace", key.Value)
		case op.Value != "append" && op.Value != "replace":
			it.problem(op, ErrYAMLValidate, "override", "the operation for %q must be append or replace, not %q", key.Value, op.Value)
		default:
			out[key.Value] = op.Value
			continue
		}
		ok = false
	}
	return out, ok
}

package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder turns the node of one value into a Go value. Values that come as text (defaults,
// variables, flags) are scalar nodes too, so that every layer follows the same rules.
type decoder struct {
	env map[string]string
	// expand says that ${NAME} stands for a variable.
	expand bool
	// percent says that a map's value %NAME stands for a variable.
	percent bool
	// report takes a problem at a node; sub is the part of the value it is about.
	report func(n *yaml.Node, sub, message string)
	// warn takes a remark at a node.
	warn func(n *yaml.Node, sub, message string)
	// secret reads a secret from a file; nil where none may be read.
	secret func(name string) (string, error)
}

// textNode returns the node of a value that came as text.
func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// into reads n into v. It returns false where the value counts as absent and where it has
// reported a problem; v is then unchanged.
func (d *decoder) into(v reflect.Value, f *field, n *yaml.Node) bool {
	n = resolve(n)
	switch f.kind {
	case kindList:
		return d.list(v, f, n)
	case kindMap:
		return d.mapping(v, f, n)
	default:
		return d.single(v, f, n)
	}
}

// single reads a value that is not a collection.
func (d *decoder) single(v reflect.Value, f *field, n *yaml.Node) bool {
	text, shown, ok := d.text(n, "", f)
	if !ok || isNull(n) {
		return false
	}
	if text == "" && (len(f.OneOf) > 0 || !takesEmpty(f.kind)) {
		return false
	}
	if message := setScalar(v, f.kind, f, text); message != "" {
		if text == "" {
			return false // a type that has no empty value
		}
		d.report(n, "", message+not(f, shown))
		return false
	}
	return true
}

// item is one entry of a list on its way in, after expansion.
type item struct {
	node        *yaml.Node
	text, shown string
}

// list reads a sequence, or a text with commas. Items are trimmed and empty ones dropped.
func (d *decoder) list(v reflect.Value, f *field, n *yaml.Node) bool {
	if isNull(n) {
		return false
	}
	items, good := d.items(f, n)
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	for _, it := range items {
		value := reflect.New(v.Type().Elem()).Elem()
		if message := setScalar(value, f.elem, f, it.text); message != "" {
			d.report(it.node, "", message+not(f, it.shown))
			good = false
			continue
		}
		list = reflect.Append(list, value)
	}
	if good {
		v.Set(list)
	}
	return good
}

func (d *decoder) items(f *field, n *yaml.Node) (items []item, good bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		good = true
		for _, node := range n.Content {
			node = resolve(node)
			text, shown, ok := d.text(node, "", f)
			good = good && ok
			if text = strings.TrimSpace(text); text != "" {
				items = append(items, item{node, text, shown})
			}
		}
		return items, good
	case yaml.ScalarNode:
		whole, shown, ok := d.text(n, "", f)
		for _, text := range splitList(whole) {
			items = append(items, item{n, text, first(whole == shown, text, "")})
		}
		return items, ok
	default:
		d.report(n, "", "must be a list, not a section")
		return nil, false
	}
}

// pair is one entry of a map on its way in. The texts are those after expansion.
type pair struct {
	node              *yaml.Node
	key, value, shown string
}

// mapping reads a YAML mapping, the JSON text of an object, or a text k:v,k:v.
func (d *decoder) mapping(v reflect.Value, f *field, n *yaml.Node) bool {
	if isNull(n) {
		return false
	}
	pairs, good := d.pairs(f, n)
	m := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, p := range pairs {
		if d.percent {
			name, is := strings.CutPrefix(p.value, "%")
			if p.value = first(is, d.env[name], p.value); is && p.value == "" {
				d.warn(p.node, p.key, fmt.Sprintf("is left out, for the environment variable %q is not set", name))
				continue
			}
		}
		entry, err := d.secretEntry(f, p)
		if err != nil {
			d.report(p.node, p.key, err.Error())
			good = false
			continue
		}
		p = entry
		key := reflect.New(v.Type().Key()).Elem()
		kind, _ := scalarKind(key.Type())
		if message := setScalar(key, kind, &field{}, p.key); message != "" {
			d.report(p.node, "", fmt.Sprintf("name of an entry %s, not %q", message, clip(p.key)))
			good = false
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if message := setScalar(value, f.elem, f, p.value); message != "" {
			d.report(p.node, p.key, message+not(f, p.shown))
			good = false
			continue
		}
		m.SetMapIndex(key, value)
	}
	if good {
		v.Set(m)
	}
	return good
}

// secretEntry returns the entry that p stands for: in a map of secrets NAME_file is the
// entry NAME whose value the file holds.
func (d *decoder) secretEntry(f *field, p pair) (pair, error) {
	key, is := strings.CutSuffix(p.key, fileSuffix)
	if !is || key == "" || f.elem != kindSecret || d.secret == nil {
		return p, nil
	}
	text, err := d.secret(p.value)
	p.key, p.value = key, text
	return p, err
}

// pairs returns a map's entries in their order.
func (d *decoder) pairs(f *field, n *yaml.Node) (pairs []pair, good bool) {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.ScalarNode {
		d.report(n, "", "must be a map, not a list")
		return nil, false
	}
	if n.Kind == yaml.ScalarNode {
		text, _, ok := d.text(n, "", f)
		if !ok {
			return nil, false
		}
		return d.pairsOfText(n, text)
	}
	good = true
	entries := entriesOf(n, false, func(n *yaml.Node, key, message string) {
		d.report(n, key, message)
		good = false
	})
	for _, e := range entries {
		text, shown, ok := d.text(resolve(e.value), e.key, f)
		good = good && ok
		pairs = append(pairs, pair{e.value, e.key, text, shown})
	}
	return pairs, good
}

// pairsOfText reads k:v,k:v, cut at each first colon, or a JSON object. It shows none of
// the text in problems, which may hold a token.
func (d *decoder) pairsOfText(n *yaml.Node, text string) (pairs []pair, good bool) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return d.pairsOfJSON(n, text)
	}
	good = true
	for i, item := range strings.Split(text, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, colon := strings.Cut(item, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !colon || key == "" {
			d.report(n, "", fmt.Sprintf("must be a map, or a text of the form name:value,name:value; item %d is not", i+1))
			good = false
			continue
		}
		pairs = append(pairs, pair{n, key, value, ""})
	}
	return pairs, good
}

func (d *decoder) pairsOfJSON(n *yaml.Node, text string) (pairs []pair, good bool) {
	object, err := parseJSON([]byte(text))
	if err != nil {
		d.report(n, "", "must be a map; the text begins like a JSON object but is none")
		return nil, false
	}
	for i := 0; i+1 < len(object.Content); i += 2 {
		key, value := object.Content[i], object.Content[i+1]
		if value.Kind != yaml.ScalarNode {
			d.report(n, key.Value, "must be a text, not a JSON object or array")
			return nil, false
		}
		pairs = append(pairs, pair{n, key.Value, first(isNull(value), "", value.Value), ""})
	}
	return pairs, true
}

// text returns a scalar's text, and the form in which problems may show it: before
// expansion, so that no variable's content shows.
func (d *decoder) text(n *yaml.Node, sub string, f *field) (text, shown string, ok bool) {
	switch n.Kind {
	case yaml.ScalarNode:
	case yaml.SequenceNode:
		d.report(n, sub, fmt.Sprintf("must be %s, not a list", wanted(f)))
		return "", "", false
	default:
		d.report(n, sub, fmt.Sprintf("must be %s, not a section%s", wanted(f), dottedRemedy(f, sub, n)))
		return "", "", false
	}
	if isNull(n) {
		return "", "", true
	}
	if !d.expand {
		return n.Value, n.Value, true
	}
	text, err := expand(n.Value, d.env)
	if err != nil {
		d.report(n, sub, err.Error())
		return "", "", false
	}
	return text, n.Value, true
}

// dottedRemedy says how to write a map's key that has dots.
func dottedRemedy(f *field, sub string, n *yaml.Node) string {
	if f.kind != kindMap || sub == "" || len(n.Content) == 0 {
		return ""
	}
	return fmt.Sprintf(" (write %q: …)", clip(sub+"."+n.Content[0].Value))
}

// setScalar sets v to what text says, or returns what the text must be.
func setScalar(v reflect.Value, k kind, f *field, text string) (message string) {
	switch k {
	case kindString:
		return setString(v, f, text)
	case kindSecret:
		v.Set(reflect.ValueOf(NewSecret(text)))
	case kindBool:
		b, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return "must be true or false"
		}
		v.SetBool(b)
	case kindInt, kindUint, kindFloat:
		return setNumber(v, k, strings.TrimSpace(text))
	case kindDuration:
		d, message := parseDuration(strings.TrimSpace(text), f.Unit)
		if message != "" {
			return message
		}
		v.SetInt(int64(d))
	case kindText:
		fresh := reflect.New(v.Type())
		u, _ := reflect.TypeAssert[encoding.TextUnmarshaler](fresh)
		if err := u.UnmarshalText([]byte(text)); err != nil {
			if f.Secret {
				return "is not valid"
			}
			return err.Error()
		}
		v.Set(fresh.Elem())
	}
	return ""
}

func setString(v reflect.Value, f *field, text string) (message string) {
	if len(f.OneOf) == 0 {
		v.SetString(text)
		return ""
	}
	for _, allowed := range f.OneOf {
		if strings.EqualFold(strings.TrimSpace(text), allowed) {
			v.SetString(allowed)
			return ""
		}
	}
	if len(f.OneOf) == 1 {
		return "must be " + f.OneOf[0]
	}
	return "must be one of " + strings.Join(f.OneOf, ", ")
}

func setNumber(v reflect.Value, k kind, text string) (message string) {
	bits := v.Type().Bits()
	switch k {
	case kindInt:
		n, err := strconv.ParseInt(text, 10, bits)
		if errors.Is(err, strconv.ErrRange) {
			most := int64(1)<<(bits-1) - 1
			return fmt.Sprintf("must be a whole number from %d to %d", -most-1, most)
		}
		if err != nil {
			return "must be a whole number"
		}
		v.SetInt(n)
	case kindUint:
		n, err := strconv.ParseUint(text, 10, bits)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Sprintf("must be a whole number from 0 to %d", uint64(1)<<(bits-1)*2-1)
		}
		if err != nil {
			return "must be a whole number of 0 or more"
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseFloat(text, bits)
		if err != nil || n != n || n-n != 0 {
			return "must be a number"
		}
		v.SetFloat(n)
	}
	return ""
}

// parseDuration reads a Go duration of 0 or more, or a bare number of units.
func parseDuration(text, unit string) (d time.Duration, message string) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		size := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "ns": 1, "": 0}[unit]
		switch {
		case size == 0 && n != 0:
			return 0, fmt.Sprintf("needs a unit, for example %ds or %dm", max(n, 0), max(n, 0))
		case n < 0:
			return 0, "must not be negative"
		case size > 1 && n > int64((1<<63-1)/size):
			return 0, "must be a duration below 292 years"
		}
		return time.Duration(n) * size, ""
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, "must be a duration such as 30s or 5m"
	}
	if d < 0 {
		return 0, "must not be negative"
	}
	return d, ""
}

// takesEmpty reports whether the empty text is a value of the kind and not its absence.
func takesEmpty(k kind) bool { return k == kindString || k == kindSecret || k == kindText }

// wanted is what a scalar of the field must be.
func wanted(f *field) string {
	switch f.kind {
	case kindBool:
		return "true or false"
	case kindInt, kindUint, kindFloat:
		return "a number"
	case kindDuration:
		return "a duration"
	default:
		return "a text"
	}
}

// not is the end of a message that shows the wrong value, unless it is a secret's.
func not(f *field, shown string) string {
	if f.Secret || shown == "" {
		return ""
	}
	return fmt.Sprintf(", not %q", clip(shown))
}

// clip shortens a value for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func first[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}

// textOf returns the text that sets v, which is no collection.
func textOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	case time.Duration:
		return shortDuration(x)
	default:
		return fmt.Sprint(x)
	}
}

// shortDuration is d without the units that are zero: "5m", not "5m0s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

package config

import (
	"encoding"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Field describes one key of a configuration struct.
type Field struct {
	// Key is the key's path below the section: "batching.enabled".
	Key string
	// Doc is the sentence for the reference page.
	Doc string
	// Type is the name of the type for people: string, bool, int, number, duration, size,
	// secret, the name of a type with UnmarshalText ("priority"), list, map or sections.
	Type string
	// Default is the value's text when nothing is set.
	Default string
	// Required says that the section is off, or wrong, without it.
	Required bool
	// OneOf are the values allowed, none meaning any.
	OneOf []string
	// Secret says that the value must not be shown. A map or list of secrets is one too.
	Secret bool
	// Unit is what a bare number of a duration counts: "s", "ms", "ns" or "" for none.
	Unit string
	// Shared is the top-level section where the key stands, "" for the struct's own.
	Shared string
	// Inert says why the key has no effect; whoever sets it is warned. It is "" for the
	// usual key, which has one.
	Inert string
	// Env are environment variables read beside the one that follows from the key;
	// "-" alone means that no variable sets it.
	Env []string
	// Fields are the keys of each entry, for Type sections.
	Fields []Field
}

// Fields returns the keys of the struct that ptr points to, in the order of declaration.
// Its error names every mistake in the declaration.
func Fields(ptr any) ([]Field, error) {
	t := reflect.TypeOf(ptr)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("describe %T: must be a pointer to a struct", ptr)
	}
	l, err := describe(t.Elem())
	if err != nil {
		return nil, err
	}
	return l.public(), nil
}

// kind is how a key's value is read.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindDuration
	kindSecret
	kindText // has UnmarshalText
	kindList
	kindMap
	kindStructs
)

// field is a Field with what is needed to fill it.
type field struct {
	Field
	kind    kind
	typ     reflect.Type
	elem    kind // of a list's or a map's values
	index   []int
	percent bool
	entry   *layout // of kindStructs
}

// twin reports whether the key has a companion key_file.
func (f *field) twin() bool { return f.kind == kindSecret }

// layout is a described struct type.
type layout struct {
	typ    reflect.Type
	fields []*field
	// checks are the structs in it that have a Validate method, inner ones first.
	checks []check
}

type check struct {
	index  []int
	prefix string
}

func (l *layout) public() []Field {
	fields := make([]Field, 0, len(l.fields))
	for _, f := range l.fields {
		fields = append(fields, f.Field)
	}
	return fields
}

type validator interface{ Validate() error }

var (
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[Secret]()
	bytesType       = reflect.TypeFor[Bytes]()
	marshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	validatorType   = reflect.TypeFor[validator]()

	keyPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*$`)
	envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// maxNesting ends the description of a type that contains itself.
const maxNesting = 16

// describe reads the tags of struct type t.
func describe(t reflect.Type) (*layout, error) { return describeNested(t, 0) }

func describeNested(t reflect.Type, depth int) (*layout, error) {
	d := describer{layout: layout{typ: t}, depth: depth}
	d.walk(t, nil, "", "")
	d.duplicates()
	if len(d.errs) > 0 {
		return nil, fmt.Errorf("describe %v: %w", t, errors.Join(d.errs...))
	}
	return &d.layout, nil
}

type describer struct {
	layout
	depth int
	errs  []error
}

func (d *describer) failf(f reflect.StructField, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("field %s: %s", f.Name, fmt.Sprintf(format, args...)))
}

func (d *describer) walk(t reflect.Type, index []int, prefix, shared string) {
	for sf := range t.Fields() {
		key, hasKey := sf.Tag.Lookup("key")
		if key == "-" {
			continue
		}
		at := slices.Concat(index, sf.Index)
		within := shared
		if s := sf.Tag.Get("shared"); s != "" {
			within = s
		}
		section := sf.Type.Kind() == reflect.Struct && !isScalar(sf.Type)
		switch {
		case sf.Anonymous && section && !hasKey:
			d.nest(sf, at, prefix, within)
		case sf.Anonymous && sf.Type.Kind() == reflect.Pointer:
			d.failf(sf, "an embedded pointer is not filled; embed the struct itself")
		case !hasKey && sf.Tag.Get("doc") != "":
			d.failf(sf, "has a doc but no key")
		case !hasKey || !sf.IsExported() && !sf.Anonymous:
			if hasKey {
				d.failf(sf, "has a key but is not exported")
			}
		case !keyPattern.MatchString(key):
			d.failf(sf, "key %q must be lower-case letters, digits and _", key)
		case section && sf.Anonymous:
			d.failf(sf, "an embedded struct takes no key; give the field a name")
		case section:
			d.nest(sf, at, join(prefix, key), within)
		default:
			d.leaf(sf, at, join(prefix, key), within)
		}
	}
	if t.Implements(validatorType) || reflect.PointerTo(t).Implements(validatorType) {
		d.checks = append(d.checks, check{index, prefix})
	}
}

func (d *describer) nest(sf reflect.StructField, index []int, prefix, shared string) {
	if len(index) > maxNesting {
		d.failf(sf, "structs are nested too deep")
		return
	}
	d.walk(sf.Type, index, prefix, shared)
}

func (d *describer) leaf(sf reflect.StructField, index []int, key, shared string) {
	f := &field{typ: sf.Type, index: index, percent: sf.Tag.Get("percentenv") == "true"}
	f.Field = Field{
		Key: key, Doc: sf.Tag.Get("doc"), Default: sf.Tag.Get("default"), Shared: shared,
		Required: sf.Tag.Get("required") == "true", Unit: sf.Tag.Get("unit"), Inert: sf.Tag.Get("inert"),
		OneOf: splitList(sf.Tag.Get("oneof")), Env: splitList(sf.Tag.Get("env")),
	}
	if f.Doc == "" {
		d.failf(sf, "key %q has no doc", key)
	}
	if !f.classify() {
		d.failf(sf, "key %q has the unsupported type %v", key, sf.Type)
		return
	}
	d.tags(sf, f)
	if f.kind == kindStructs {
		d.entries(sf, f)
	} else if message := f.defaultProblem(); message != "" {
		d.failf(sf, "key %q: default %q %s", key, f.Default, message)
	}
	d.fields = append(d.fields, f)
}

// tags checks what the tags of one field must agree on.
func (d *describer) tags(sf reflect.StructField, f *field) {
	base := f.kind
	if base == kindList || base == kindMap {
		base = f.elem
	}
	if base == kindText {
		t := f.typ
		if base != f.kind {
			t = t.Elem()
		}
		if !t.Implements(marshalerType) {
			d.failf(sf, "key %q: %v has UnmarshalText but no MarshalText to show the value again", f.Key, t)
		}
	}
	if f.Unit != "" && (base != kindDuration || !slices.Contains([]string{"s", "ms", "ns"}, f.Unit)) {
		d.failf(sf, "key %q: unit must be s, ms or ns, and on a duration", f.Key)
	}
	if len(f.OneOf) > 0 && f.kind != kindString && f.kind != kindList {
		d.failf(sf, "key %q: oneof stands only on strings and lists", f.Key)
	}
	if f.percent && f.kind != kindMap {
		d.failf(sf, "key %q: percentenv stands only on maps", f.Key)
	}
	for _, name := range f.Env {
		if !envPattern.MatchString(name) && (name != "-" || len(f.Env) > 1) {
			d.failf(sf, "key %q: %q is no name of an environment variable", f.Key, name)
		}
	}
}

// entries describes the struct of a list of structs.
func (d *describer) entries(sf reflect.StructField, f *field) {
	if d.depth >= maxNesting {
		d.failf(sf, "structs are nested too deep")
		return
	}
	if f.Shared != "" || f.Default != "" {
		d.failf(sf, "key %q: a list of structs cannot be shared or have a default", f.Key)
	}
	entry, err := describeNested(sf.Type.Elem(), d.depth+1)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	f.entry, f.Fields = entry, entry.public()
}

// duplicates looks for keys that are there twice, also as a secret's twin, and for keys
// that are a section as well.
func (d *describer) duplicates() {
	seen := map[string]bool{}
	add := func(path string) {
		if seen[path] {
			d.errs = append(d.errs, fmt.Errorf("key %q is declared twice", path))
		}
		seen[path] = true
	}
	for _, f := range d.fields {
		add(join(f.Shared, f.Key))
		if f.twin() {
			add(join(f.Shared, f.Key) + fileSuffix)
		}
	}
	for path := range seen {
		for parent := range parents(path) {
			if seen[parent] {
				d.errs = append(d.errs, fmt.Errorf("key %q is a section too", parent))
			}
		}
	}
}

// classify sets how the field is read; false if its type is not supported.
func (f *field) classify() bool {
	t := f.typ
	if k, ok := scalarKind(t); ok {
		f.kind, f.Secret, f.Type = k, k == kindSecret, typeName(k, t)
		return true
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem()) {
			f.kind, f.Type = kindStructs, "sections"
			return true
		}
		f.kind, f.Type = kindList, "list"
	case reflect.Map:
		k, ok := scalarKind(t.Key())
		if !ok || k != kindString && k != kindText {
			return false
		}
		f.kind, f.Type = kindMap, "map"
	default:
		return false
	}
	elem, ok := scalarKind(t.Elem())
	f.elem, f.Secret = elem, elem == kindSecret
	return ok
}

// defaultProblem says what is wrong with the default, "" if nothing is.
func (f *field) defaultProblem() (message string) {
	if f.Default == "" {
		return ""
	}
	d := decoder{report: func(_ *yaml.Node, _, m string) { message = m }}
	d.into(reflect.New(f.typ).Elem(), f, textNode(f.Default))
	return message
}

func isScalar(t reflect.Type) bool {
	_, ok := scalarKind(t)
	return ok
}

func scalarKind(t reflect.Type) (kind, bool) {
	switch {
	case t == secretType:
		return kindSecret, true
	case t == durationType:
		return kindDuration, true
	case reflect.PointerTo(t).Implements(unmarshalerType):
		return kindText, true
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, true
	case reflect.Bool:
		return kindBool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return kindUint, true
	case reflect.Float32, reflect.Float64:
		return kindFloat, true
	default:
		return 0, false
	}
}

func typeName(k kind, t reflect.Type) string {
	switch k {
	case kindBool:
		return "bool"
	case kindInt, kindUint:
		return "int"
	case kindFloat:
		return "number"
	case kindDuration:
		return "duration"
	case kindSecret:
		return "secret"
	case kindText:
		if t == bytesType {
			return "size"
		}
		return strings.ToLower(t.Name())
	default:
		return "string"
	}
}

// parents yields the paths above path, the longest first: "a.b" and "a" for "a.b.c".
func parents(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := strings.LastIndexByte(path, '.'); i >= 0; i = strings.LastIndexByte(path[:i], '.') {
			if !yield(path[:i]) {
				return
			}
		}
	}
}

func join(section, key string) string {
	if section == "" || key == "" {
		return section + key
	}
	return section + "." + key
}

// splitList splits s at commas, trims the items and drops empty ones.
func splitList(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

package route

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/saker-security/saker/event"
)

// A view shows an event to an expression. Nothing is converted before it is asked for.
type view struct {
	e      *event.Event
	fields fieldMap
}

var views = sync.Pool{New: func() any { return new(view) }}

func viewOf(e *event.Event) *view {
	v := views.Get().(*view)
	v.e, v.fields.e = e, e
	return v
}

func (v *view) release() {
	*v = view{}
	views.Put(v)
}

// ResolveName returns the variable called name.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "rule":
		return types.String(v.e.Rule), true
	case "priority":
		return types.Int(v.e.Priority), true
	case "source":
		return types.String(v.e.Source), true
	case "hostname":
		return types.String(v.e.Hostname), true
	case "output":
		return types.String(v.e.Output), true
	case "uuid":
		return types.String(v.e.UUID), true
	case "time":
		return types.Timestamp{Time: v.e.Time.UTC()}, true
	case "tags":
		return types.NewStringList(types.DefaultTypeAdapter, v.e.Tags), true
	case "fields":
		return &v.fields, true
	}
	return nil, false
}

// Parent returns nil: there is nothing behind a view.
func (v *view) Parent() cel.Activation { return nil }

// fieldMap is an event's output fields as a map of the expression language. A field that
// the event doesn't have reads as null, so that comparing it is no error; the operator in
// tells it from one that is null.
type fieldMap struct {
	e *event.Event
	// read are the objects and arrays read so far: an expression with a loop must not read
	// a large one over and over.
	read []readField
}

type readField struct {
	name  string
	value ref.Val
}

func (m *fieldMap) value(name string) ref.Val {
	v, _ := m.e.Field(name)
	if v.Kind() != event.Composite {
		return scalar(v)
	}
	for _, r := range m.read {
		if r.name == name {
			return r.value
		}
	}
	read := composite(v.Text())
	m.read = append(m.read, readField{name, read})
	return read
}

var _ traits.Mapper = (*fieldMap)(nil)

// FindStringKey is the way that the interpreter takes for fields["name"].
func (m *fieldMap) FindStringKey(name string) (any, bool) {
	return m.value(name), true
}

// Find returns the field called key, null if there is none.
func (m *fieldMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	return m.value(string(name)), true
}

// Get returns what Find returns.
func (m *fieldMap) Get(key ref.Val) ref.Val {
	v, _ := m.Find(key)
	return v
}

// Contains reports whether the event has the field called key.
func (m *fieldMap) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.False
	}
	_, ok = m.e.Field(string(name))
	return types.Bool(ok)
}

// Size returns the number of fields.
func (m *fieldMap) Size() ref.Val { return types.Int(len(m.e.Fields)) }

// Iterator goes through the names of the fields.
func (m *fieldMap) Iterator() traits.Iterator { return m.names().Iterator() }

func (m *fieldMap) names() traits.Lister {
	names := make([]string, len(m.e.Fields))
	for i, f := range m.e.Fields {
		names[i] = f.Name
	}
	return types.NewStringList(types.DefaultTypeAdapter, names)
}

// Equal compares the fields with another map.
func (m *fieldMap) Equal(other ref.Val) ref.Val { return m.plain().Equal(other) }

// ConvertToNative returns the fields as a Go map.
func (m *fieldMap) ConvertToNative(t reflect.Type) (any, error) { return m.plain().ConvertToNative(t) }

// ConvertToType returns the map, or its type.
func (m *fieldMap) ConvertToType(t ref.Type) ref.Val { return m.plain().ConvertToType(t) }

// Type returns the type of maps.
func (m *fieldMap) Type() ref.Type { return types.MapType }

// Value returns the fields as a Go map.
func (m *fieldMap) Value() any { return m.plain().Value() }

// plain makes an ordinary map of the fields, for the few operations that want the whole.
func (m *fieldMap) plain() traits.Mapper {
	all := make(map[ref.Val]ref.Val, len(m.e.Fields))
	for _, f := range m.e.Fields {
		all[types.String(f.Name)] = m.value(f.Name)
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, all)
}

// scalar returns v, which is no object or array, as the expression language has it.
func scalar(v event.Value) ref.Val {
	switch v.Kind() {
	case event.String:
		return types.String(v.Text())
	case event.Number:
		return types.DefaultTypeAdapter.NativeToValue(number(v.Text()))
	case event.Bool:
		return types.Bool(v.Text() == "true")
	}
	return types.NullValue
}

// number returns the number written as text: an int64 or uint64 where it is a whole number
// that fits, a float64 where it has a fraction or an exponent, and the text itself where it
// is a whole number so large that a float64 would change it.
func number(text string) any {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") {
		return f
	}
	return text
}

func composite(text string) ref.Val {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return types.String(text)
	}
	return types.DefaultTypeAdapter.NativeToValue(plainNumbers(v))
}

// plainNumbers replaces the numbers within v, in place, by what number makes of them.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v.String())
	case map[string]any:
		for k, item := range v {
			v[k] = plainNumbers(item)
		}
	case []any:
		for i, item := range v {
			v[i] = plainNumbers(item)
		}
	}
	return v
}

package config

import (
	"maps"
	"reflect"
	"slices"
)

// Changed returns the paths of the keys whose values differ from those in old, sorted. A
// key that only one of the two has, because it belongs to a named instance, counts as
// changed. Where a value comes from makes no difference.
func (l *Loaded) Changed(old *Loaded) []string {
	before := map[string]*slot{}
	for _, s := range old.slots {
		before[s.path] = s
	}
	changed := map[string]bool{}
	for _, s := range l.slots {
		was, ok := before[s.path]
		delete(before, s.path)
		if !ok || was.field.typ != s.field.typ || !s.field.equal(was.value, s.value) {
			changed[s.path] = true
		}
	}
	for path := range before {
		changed[path] = true
	}
	return slices.Sorted(maps.Keys(changed))
}

// Equal reports whether two pointers to structs of one type, as Load fills them, hold the
// same values under all their keys. Secrets are compared by what they hold.
func Equal(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Type() != y.Type() || x.Kind() != reflect.Pointer || x.Type().Elem().Kind() != reflect.Struct {
		return false
	}
	l, err := describe(x.Type().Elem())
	return err == nil && l.equal(x.Elem(), y.Elem())
}

func (l *layout) equal(a, b reflect.Value) bool {
	return !slices.ContainsFunc(l.fields, func(f *field) bool {
		return !f.equal(a.FieldByIndex(f.index), b.FieldByIndex(f.index))
	})
}

// equal compares two values of the field. Those of types with a text of their own are
// compared by that, for they may hold what it was parsed into.
func (f *field) equal(a, b reflect.Value) bool {
	switch {
	case f.kind == kindStructs:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !f.entry.equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case f.kind == kindText:
		return textOf(a) == textOf(b)
	case f.kind == kindList && f.elem == kindText, f.kind == kindMap && f.elem == kindText:
		return reflect.DeepEqual(texts(a), texts(b))
	case f.kind == kindList, f.kind == kindMap:
		return a.Len() == 0 && b.Len() == 0 || reflect.DeepEqual(a.Interface(), b.Interface())
	default:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
}

// texts returns the texts of the entries of a list or a map by their place or key.
func texts(v reflect.Value) map[string]string {
	all := map[string]string{}
	for key, value := range v.Seq2() {
		all[textOf(key)] = textOf(value)
	}
	return all
}

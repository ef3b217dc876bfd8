package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fill gives a slot its value: that of the highest layer that has one. What lower layers
// say is checked all the same, so that a mistake does not come to light only when a
// variable goes away.
func (l *loader) fill(s *slot) {
	if s.filled {
		return
	}
	s.filled = true
	s.value = reflect.New(s.field.typ).Elem()
	if len(s.targets) > 0 {
		s.value.Set(s.targets[0])
	}
	if s.field.kind == kindStructs {
		l.fillStructs(s)
		return
	}
	if s.field.Default != "" {
		d := decoder{}
		d.into(s.value, s.field, textNode(s.field.Default))
	}
	standard := s.value.Interface()
	found := false
	for layer := layerFlag; layer > layerDefault; layer-- {
		found = l.fillFrom(s, layer, found) || found
	}
	if !found && s.shared != nil {
		l.fill(s.shared)
		s.origin, s.bad = s.shared.origin, s.shared.bad
		s.value.Set(clone(s.shared.value))
	}
	for _, target := range s.targets {
		target.Set(clone(s.value))
	}
	if s.field.Inert != "" && found && !reflect.DeepEqual(s.value.Interface(), standard) {
		l.warn(s.origin, s.path, "has no effect: "+s.field.Inert)
	}
}

// fillFrom reads what one layer says; once a higher one was found it only checks. It
// returns whether the layer has a value.
func (l *loader) fillFrom(s *slot, layer layer, found bool) bool {
	value, file := s.values[layer], s.files[layer]
	if file != nil && isEmpty(file.value) {
		file = nil
	}
	if value != nil && (isNull(value.value) || file != nil && isEmpty(value.value)) {
		value = nil
	}
	switch {
	case value != nil && file != nil:
		s.bad = true
		l.problem(file.at, s.path+fileSuffix, "cannot be set together with "+s.path)
		return true
	case value != nil:
		scratch := reflect.New(s.field.typ).Elem()
		if !l.decode(s, value, scratch) {
			return false
		}
		if !found {
			s.value.Set(scratch)
			s.origin = value.at
		}
		return true
	case file != nil && !found:
		return l.fillFromFile(s, file)
	default:
		return file != nil
	}
}

// decode reads one value into v, reporting what is wrong with it.
func (l *loader) decode(s *slot, g *given, v reflect.Value) bool {
	return l.decoder(s, g).into(v, s.field, g.value)
}

func (l *loader) decoder(s *slot, g *given) *decoder {
	at := func(n *yaml.Node) origin {
		if g.at.layer == layerFile {
			return l.place(n)
		}
		return g.at
	}
	return &decoder{
		env: l.env, expand: g.at.layer == layerFile,
		percent: s.field.percent && g.at.layer == layerEnvironment,
		secret:  l.readSecret,
		report: func(n *yaml.Node, sub, message string) {
			s.bad = true
			l.problem(at(n), join(s.path, sub), message)
		},
		warn: func(n *yaml.Node, sub, message string) {
			l.warn(at(n), join(s.path, sub), message)
		},
	}
}

// fillFromFile reads a secret from the file that its companion key names; an empty name
// is none.
func (l *loader) fillFromFile(s *slot, g *given) (found bool) {
	name, _, ok := l.decoder(s, g).text(g.value, "", s.field)
	if !ok || name == "" {
		return false
	}
	s.origin = g.at
	text, err := l.readSecret(name)
	if err != nil {
		s.bad = true
		l.problem(g.at, s.path+fileSuffix, err.Error())
		return true
	}
	s.value.Set(reflect.ValueOf(NewSecret(text)))
	return true
}

// fillStructs reads a list of sections, each of which becomes a section of its own.
func (l *loader) fillStructs(s *slot) {
	if g := s.values[layerEnvironment]; g != nil {
		s.bad = true
		l.problem(g.at, s.path, "can be set only in the configuration file")
	}
	g := cmp.Or(s.values[layerFlag], s.values[layerFile])
	if g == nil || isNull(g.value) {
		return
	}
	if g.value.Kind != yaml.SequenceNode {
		s.bad = true
		l.problem(g.at, s.path, "must be a list of sections")
		return
	}
	if len(g.value.Content) > maxInstances {
		s.bad = true
		l.problem(g.at, s.path, fmt.Sprintf("has more than %d entries", maxInstances))
		return
	}
	s.origin = g.at
	list := reflect.MakeSlice(s.field.typ, len(g.value.Content), len(g.value.Content))
	s.value.Set(list)
	for _, target := range s.targets {
		target.Set(list)
	}
	for i, item := range g.value.Content {
		path := fmt.Sprintf("%s[%d]", s.path, i)
		place := l.place(item)
		l.headers[path] = &place
		if item = resolve(item); item.Kind != yaml.MappingNode {
			l.problem(place, path, "must be a section with keys of its own")
			continue
		}
		l.addSection(path, []any{list.Index(i).Addr().Interface()}, true, false)
		l.walk(item, path)
	}
}

// finish finds out whether a section is on, and if so asks its structs whether they agree.
func (l *loader) finish(s *section) {
	var missing []*slot
	var because *slot
	bad := false
	for _, slot := range s.slots {
		bad = bad || slot.bad
		if !slot.field.Required {
			continue
		}
		if slot.isEmpty() {
			missing = append(missing, slot)
		} else if because == nil && slot.isSet() && (slot.field.Shared == "" || slot.shared != nil) {
			because = slot
		}
	}
	s.off = len(missing) > 0
	for _, slot := range missing {
		switch {
		case slot.bad:
		case s.needed:
			l.problem(l.header(s.path), slot.path, "is required"+choices(slot.field))
		case because != nil:
			l.problem(because.origin, slot.path, fmt.Sprintf("is required because %s is set", because.path))
		}
	}
	if s.off {
		return
	}
	for i, v := range s.structs {
		for _, check := range s.layouts[i].checks {
			l.validate(s, check, v.Elem().FieldByIndex(check.index), bad)
		}
	}
}

// choices is the end of a message that names the values there are.
func choices(f *field) string {
	if len(f.OneOf) == 0 {
		return ""
	}
	return ", one of " + strings.Join(f.OneOf, ", ")
}

// header is where a section begins in the file, if it does.
func (l *loader) header(path string) origin {
	if at := l.headers[path]; at != nil {
		return *at
	}
	return origin{}
}

// validate calls the Validate method of one struct and places what it returns. When a
// value of the section could not be read, and so has its default, only what is said of a
// key that was set and read counts.
func (l *loader) validate(s *section, c check, v reflect.Value, bad bool) {
	if !v.Addr().CanInterface() {
		return // an embedded unexported struct: its method is the outer one's too
	}
	method, ok := reflect.TypeAssert[validator](v.Addr())
	if !ok {
		return
	}
	err := method.Validate()
	if err == nil {
		return
	}
	for _, cause := range causes(err) {
		key := join(c.prefix, cause.key)
		at, path := l.header(join(s.path, c.prefix)), join(s.path, key)
		slot := s.slot(key)
		if bad && (slot == nil || slot.bad || slot.origin.layer == layerDefault) {
			continue
		}
		if slot != nil {
			path = slot.path
			if slot.origin.layer != layerDefault {
				at = slot.origin
			}
		}
		if at.layer == layerDefault {
			at = l.header(s.path)
		}
		l.problem(at, path, cause.err.Error())
	}
}

// clone copies maps and slices, so that no two structs share one.
func clone(v reflect.Value) reflect.Value {
	switch {
	case v.Kind() == reflect.Slice && !v.IsNil():
		return reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
	case v.Kind() == reflect.Map && !v.IsNil():
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for key, value := range v.Seq2() {
			m.SetMapIndex(key, value)
		}
		return m
	default:
		return v
	}
}

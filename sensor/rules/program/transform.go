package program

import (
	"encoding/base64"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/match"
)

// transform makes a value of the slots s.args of the current event. The zero transform is
// that of a field: it extracts.
type transform func(m *Machine, s *slot) fields.Value

// unary are the transformers of one argument.
var unary = map[string]transform{
	"tolower":  each(func(s string) (string, bool) { return match.Lower(s), true }),
	"toupper":  each(func(s string) (string, bool) { return match.Upper(s), true }),
	"basename": each(func(s string) (string, bool) { return s[strings.LastIndexByte(s, '/')+1:], true }),
	"b64":      each(decode64),
	"len":      length,
}

// each applies f to a string, or to every string of a list. The value is null where f
// fails.
func each(f func(string) (string, bool)) transform {
	return func(m *Machine, s *slot) fields.Value {
		v := *m.value(s.args[0])
		if !v.Valid {
			return fields.Value{}
		}
		if v.List == nil {
			text, ok := f(v.Str)
			if !ok {
				return fields.Value{}
			}
			return fields.Text(text)
		}
		out := make([]fields.Value, 0, len(v.List))
		for _, x := range v.List {
			text, ok := f(x.Str)
			if !ok {
				return fields.Value{}
			}
			out = append(out, fields.Text(text))
		}
		return fields.Elements(out)
	}
}

func decode64(s string) (string, bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return string(b), err == nil
}

func length(m *Machine, s *slot) fields.Value {
	v := m.value(s.args[0])
	switch {
	case !v.Valid:
		return fields.Value{}
	case m.slots[s.args[0]].list:
		return fields.Unsigned(uint64(len(v.List)))
	}
	return fields.Unsigned(uint64(len(v.Str)))
}

func literalValue(_ *Machine, s *slot) fields.Value { return s.literal }

// makeList returns the values as a list of strings.
func makeList(m *Machine, s *slot) fields.Value {
	out := make([]fields.Value, 0, len(s.args))
	for _, a := range s.args {
		v := m.value(a)
		if !v.Valid {
			return fields.Value{}
		}
		if s := &m.slots[a]; !isText(s.typ) {
			out = append(out, fields.Text(string(appendValue(nil, s.typ, v))))
			continue
		}
		out = append(out, *v)
	}
	return fields.Elements(out)
}

func join(m *Machine, s *slot) fields.Value {
	sep, list := m.value(s.args[0]), m.value(s.args[1])
	if !sep.Valid || !list.Valid {
		return fields.Value{}
	}
	var b []byte
	for i := range list.List {
		if i > 0 {
			b = append(b, sep.Str...)
		}
		b = appendValue(b, m.slots[s.args[1]].typ, &list.List[i])
	}
	return fields.Text(string(b))
}

func concat(m *Machine, s *slot) fields.Value {
	var b strings.Builder
	for _, a := range s.args {
		v := m.value(a)
		if !v.Valid {
			return fields.Value{}
		}
		b.WriteString(v.Str)
	}
	return fields.Text(b.String())
}

// getopt reads a command's arguments by an option string as getopt(3) does, short options
// only. Without selector the value is the list of options found, each with its argument
// behind it and "?" for an unknown one. With a selector it is the last value of that
// option, or its letter when it takes none, and null when it was not given.
func getopt(m *Machine, s *slot) fields.Value {
	args, spec := m.value(s.args[0]), m.value(s.args[1])
	if !args.Valid || !spec.Valid {
		return fields.Value{}
	}
	o := options{spec: spec.Str, selector: s.selector}
	o.read(args.List)
	if s.selector == 0 {
		return fields.Elements(o.found)
	}
	return o.selected
}

type options struct {
	spec     string
	selector byte
	found    []fields.Value
	selected fields.Value
}

func (o *options) read(args []fields.Value) {
	o.found = []fields.Value{}
	for i := 0; i < len(args); i++ {
		arg := args[i].Str
		switch {
		case strings.HasPrefix(arg, "--") && len(arg) > 2:
			continue
		case arg == "--", len(arg) < 2, arg[0] != '-':
			return
		}
		for j := 1; j < len(arg); j++ {
			known, takesArg := o.lookup(arg[j])
			switch {
			case !known:
				o.emit(0, "?", "", false)
				continue
			case !takesArg:
				o.emit(arg[j], arg[j:j+1], "", false)
				continue
			case j+1 < len(arg):
				o.emit(arg[j], arg[j:j+1], arg[j+1:], true)
			case i+1 < len(args):
				i++
				o.emit(arg[j], arg[j:j+1], args[i].Str, true)
			default:
				o.emit(arg[j], "", "", false)
			}
			break
		}
	}
}

func (o *options) lookup(c byte) (known, takesArg bool) {
	i := strings.IndexByte(o.spec, c)
	if c == ':' || i < 0 {
		return false, false
	}
	return true, i+1 < len(o.spec) && o.spec[i+1] == ':'
}

func (o *options) emit(letter byte, name, value string, hasValue bool) {
	if o.selector != 0 {
		if letter == o.selector {
			o.selected = fields.Text(name)
			if hasValue {
				o.selected = fields.Text(value)
			}
		}
		return
	}
	o.found = append(o.found, fields.Text(name))
	if hasValue {
		o.found = append(o.found, fields.Text(value))
	}
}

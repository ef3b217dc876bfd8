package program

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// MaxWidth is the widest column that %NN in an output may ask for; wider ones count as it.
const MaxWidth = 4096

// notAvailable is what an output prints for a null value.
const notAvailable = "<NA>"

// Output is a compiled output template.
type Output struct {
	tokens []token
	// values are the fields of output_fields, sorted by name.
	values []outputField
	// requireAll makes the text fail when a value is null.
	requireAll bool
}

// token is literal text, or the value of a slot.
type token struct {
	text  string
	slot  int32
	width int
}

type outputField struct {
	name string
	slot int32
}

// Output compiles a template: text with %field, %field[arg], %transformer(…) and %NNfield.
// Offsets of problems are into the template. Unless it begins with *, a null value makes
// the text fail. When a problem is fatal, the Output is nil.
func (b *Builder) Output(template string) (*Output, []Problem) {
	c := compiler{Builder: b}
	o := &Output{}
	text, at := template, 0
	if strings.HasPrefix(text, "*") {
		text, at = text[1:], 1
	} else {
		o.requireAll = true
	}
	if strings.TrimSpace(text) == "" {
		c.problem(0, Invalid, "the output is empty")
		return nil, c.problems
	}
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		if i > 0 {
			o.tokens = append(o.tokens, token{text: text[:i], slot: -1})
		}
		if i == len(text) {
			break
		}
		n, err := c.outputToken(o, text[i+1:], at+i+1)
		if err {
			return nil, c.problems
		}
		text, at = text[i+1+n:], at+i+1+n
	}
	slices.SortFunc(o.values, func(a, b outputField) int { return strings.Compare(a.name, b.name) })
	o.values = slices.CompactFunc(o.values, func(a, b outputField) bool { return a.name == b.name })
	return o, c.problems
}

// outputToken reads what follows a %, at offset at of the template, and returns how much
// it took.
func (c *compiler) outputToken(o *Output, text string, at int) (n int, failed bool) {
	width, digits := 0, 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		width = min(width*10+int(text[digits]-'0'), MaxWidth)
		digits++
	}
	if digits == len(text) {
		c.problem(at-1, Invalid, "the output must not end with %q; it names no field", "%"+text)
		return 0, true
	}
	x, n, err := filter.OperandPrefix(text[digits:], func(f *filter.Field) bool {
		_, _, err := c.lookup(f)
		return err == nil
	})
	if unknown, ok := errors.AsType[*filter.UnknownFieldError](err); ok {
		_, _, err = c.lookup(unknown.Field)
		c.problem(at+digits, Unknown, "%v", err)
		return 0, true
	}
	if syntax, ok := errors.AsType[*filter.SyntaxError](err); ok {
		c.problem(at+digits+syntax.Offset, Invalid, "%v; a percent sign must be followed by a field", err)
		return 0, true
	}
	before := len(c.problems)
	slot, ok := c.operand(x, false)
	for i := range c.problems[before:] {
		c.problems[before+i].Offset += at + digits
	}
	if !ok {
		return 0, true
	}
	o.tokens = append(o.tokens, token{slot: slot, width: width})
	c.addValues(o, slot)
	return digits + n, false
}

// addValues adds the fields of a slot to output_fields: those inside a transformer, not
// what it makes of them.
func (c *compiler) addValues(o *Output, i int32) {
	s := &c.slots[i]
	if s.field != nil {
		o.values = append(o.values, outputField{s.name, i})
		return
	}
	for _, a := range s.args {
		c.addValues(o, a)
	}
}

// AddField adds a field to what Fields returns; false when the source has no such field.
func (b *Builder) AddField(o *Output, name string) bool {
	f, ok := b.reg.Lookup(name)
	if !ok {
		return false
	}
	i := b.addField(&filter.Field{Name: name}, f, fields.Arg{})
	at, found := slices.BinarySearchFunc(o.values, name, func(x outputField, name string) int { return strings.Compare(x.name, name) })
	if !found {
		o.values = slices.Insert(o.values, at, outputField{name, i})
	}
	return true
}

// Names are the fields that the output prints, sorted.
func (o *Output) Names() []string {
	names := make([]string, len(o.values))
	for i, v := range o.values {
		names[i] = v.name
	}
	return names
}

// Text returns the output's text for the event that was last given to Match. Bytes that
// are not UTF-8 show as U+FFFD. ok is false when a value is null and the template demands
// all.
func (m *Machine) Text(o *Output) (text string, ok bool) {
	b := make([]byte, 0, 256)
	for _, t := range o.tokens {
		if t.slot < 0 {
			b = append(b, t.text...)
			continue
		}
		start := len(b)
		var found bool
		if b, found = m.appendText(b, t.slot); !found {
			if o.requireAll {
				return "", false
			}
			b = append(b, notAvailable...)
		}
		if t.width > 0 {
			b = pad(b, start, t.width)
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), true
}

// pad makes what b holds from start exactly width characters wide.
func pad(b []byte, start, width int) []byte {
	n := 0
	for i := start; i < len(b); n++ {
		if n == width {
			return b[:i]
		}
		_, size := utf8.DecodeRune(b[i:])
		i += size
	}
	for ; n < width; n++ {
		b = append(b, ' ')
	}
	return b
}

func (m *Machine) appendText(b []byte, i int32) ([]byte, bool) {
	v, s := m.value(i), &m.slots[i]
	if !s.available(v) {
		return b, false
	}
	if s.field != nil && s.field.Format != nil {
		return append(b, s.field.Format(*v)...), true
	}
	if s.plain(v) {
		return appendValue(b, s.typ, v), true
	}
	sep := byte(',')
	if s.anyOf() {
		sep = ' '
	} else {
		b = append(b, '(')
	}
	for k := range v.List {
		if k > 0 {
			b = append(b, sep)
		}
		b = appendValue(b, s.typ, &v.List[k])
	}
	if !s.anyOf() {
		b = append(b, ')')
	}
	return b, true
}

func (s *slot) anyOf() bool { return s.field != nil && s.field.AnyOf }

// plain says whether the value is printed as a single one.
func (s *slot) plain(v *fields.Value) bool { return v.List == nil && (!s.list || s.anyOf()) }

// available says whether there is something to print. An address whose name is not known
// can be compared, but not printed.
func (s *slot) available(v *fields.Value) bool {
	return v.Valid && (s.field == nil || !s.field.Resolves || v.Str != "")
}

func appendValue(b []byte, t fields.Type, v *fields.Value) []byte {
	switch t {
	case fields.Int:
		return strconv.AppendInt(b, int64(v.Num), 10)
	case fields.Uint, fields.Time, fields.Duration, fields.Port:
		return strconv.AppendUint(b, v.Num, 10)
	case fields.Bool:
		return strconv.AppendBool(b, v.Num != 0)
	case fields.IP, fields.Net:
		return v.Addr.AppendTo(b)
	case fields.Bytes:
		for i := range len(v.Str) {
			c := v.Str[i]
			if c < ' ' || c > '~' {
				c = '.'
			}
			b = append(b, c)
		}
		return b
	}
	return append(b, v.Str...)
}

// Fields returns the fields that the output prints, sorted by name, with the values of the
// event that was last given to Match in their JSON types: null where there is none.
func (m *Machine) Fields(o *Output) []event.Field {
	out := make([]event.Field, len(o.values))
	for i, f := range o.values {
		out[i] = event.Field{Name: f.name, Value: m.jsonValue(f.slot)}
	}
	return out
}

func (m *Machine) jsonValue(i int32) event.Value {
	v, s := m.value(i), &m.slots[i]
	if !s.available(v) {
		return event.Value{}
	}
	if s.plain(v) {
		return scalarValue(s.typ, v)
	}
	if s.anyOf() {
		var b []byte
		for k := range v.List {
			if k > 0 {
				b = append(b, ' ')
			}
			b = appendValue(b, s.typ, &v.List[k])
		}
		return event.StringValue(printable(string(b)))
	}
	b := []byte{'['}
	for k := range v.List {
		if k > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, scalarValue(s.typ, &v.List[k]))
	}
	return event.CompositeValue(string(append(b, ']')))
}

func scalarValue(t fields.Type, v *fields.Value) event.Value {
	switch t {
	case fields.Bool:
		return event.BoolValue(v.Num != 0)
	case fields.Int, fields.Uint, fields.Time, fields.Duration, fields.Port:
		return event.NumberValue(string(appendValue(nil, t, v)))
	}
	return event.StringValue(printable(string(appendValue(nil, t, v))))
}

// printable replaces control characters and bytes that are not UTF-8 by U+FFFD, as Falco
// does in output_fields.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return utf8.RuneError
				}
				return r
			}, s)
		}
	}
	return s
}

// appendJSON appends a scalar's JSON, with the characters escaped that event's encoding
// escapes.
func appendJSON(b []byte, v event.Value) []byte {
	s, ok := v.Str()
	if !ok {
		return append(b, v.Text()...)
	}
	b = append(b, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '<', '>', '&', '\u2028', '\u2029':
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

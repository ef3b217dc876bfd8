package program

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

// slot is a value that an event has: a field with its argument, or what a transformer
// makes of other slots. A Machine computes it at most once an event.
type slot struct {
	// name is the field as it is written: the key in an alert's output_fields.
	name  string
	field *fields.Field
	arg   fields.Arg

	call     transform
	args     []int32
	selector byte
	literal  fields.Value

	typ  fields.Type
	list bool
}

// operand returns the slot of a field, transformer or literal of a transformer's argument;
// ok is false when it has reported a problem.
func (c *compiler) operand(o filter.Operand, inCall bool) (int32, bool) {
	switch o := o.(type) {
	case *filter.Field:
		return c.fieldSlot(o, inCall)
	case *filter.Value:
		return c.addSlot("v"+o.Text, slot{call: literalValue, literal: fields.Text(o.Text), typ: fields.String}), true
	case *filter.List:
		return c.listSlot(o)
	case *filter.Call:
		return c.callSlot(o)
	}
	return 0, false
}

func (b *Builder) addSlot(key string, s slot) int32 {
	if i, ok := b.slotIndex[key]; ok {
		return i
	}
	i := int32(len(b.slots))
	b.slots = append(b.slots, s)
	b.slotIndex[key] = i
	return i
}

func (c *compiler) fieldSlot(o *filter.Field, inCall bool) (int32, bool) {
	f, arg, err := c.lookup(o)
	if err != nil {
		kind := Invalid
		if f == nil {
			kind = Unknown
		}
		c.problem(o.Pos, kind, "%v", err)
		return 0, false
	}
	if f.Deprecated != "" {
		c.problem(o.Pos, DeprecatedField, "the field %q is deprecated: %s", f.Name, f.Deprecated)
	}
	if inCall && f.NoTransform {
		c.problem(o.Pos, Invalid, "the field %q cannot be used inside a transformer", f.Name)
		return 0, false
	}
	return c.addField(o, f, arg), true
}

func (b *Builder) addField(o *filter.Field, f *fields.Field, arg fields.Arg) int32 {
	name := o.String()
	return b.addSlot("f"+name, slot{name: name, field: f, arg: arg, typ: f.Type, list: f.List})
}

// lookup finds a field and reads its argument. The field is nil when there is no such
// field.
func (b *Builder) lookup(o *filter.Field) (*fields.Field, fields.Arg, error) {
	f, ok := b.reg.Lookup(o.Name)
	if !ok {
		return nil, fields.Arg{}, fmt.Errorf("unknown field %q%s", o.Name, DidYouMean(o.Name, b.fieldNames))
	}
	arg, err := parseArg(f, o)
	if err == nil && f.CheckArg != nil {
		err = f.CheckArg(arg)
	}
	if err != nil {
		return f, arg, fmt.Errorf("field %q: %w", o.String(), err)
	}
	return f, arg, nil
}

func (b *Builder) fieldNames(yield func(string) bool) {
	for _, f := range b.reg.All() {
		if !yield(f.Name) {
			return
		}
	}
}

func parseArg(f *fields.Field, o *filter.Field) (fields.Arg, error) {
	arg := fields.Arg{Given: o.HasArg}
	switch f.Arg {
	case fields.NoArg:
		if o.HasArg {
			return arg, errors.New("takes no argument in brackets")
		}
	case fields.IndexArg, fields.OptionalIndexArg:
		if !o.HasArg {
			if f.Arg == fields.IndexArg {
				return arg, fmt.Errorf("needs a number in brackets, such as %s[0]", f.Name)
			}
			break
		}
		n, err := strconv.ParseUint(o.Arg, 10, 31)
		if err != nil {
			return arg, fmt.Errorf("the argument must be a number, not %q", o.Arg)
		}
		arg.Index = int(n)
	case fields.KeyArg, fields.OptionalKeyArg:
		if !o.HasArg {
			if f.Arg == fields.KeyArg {
				return arg, fmt.Errorf("needs an argument in brackets, such as %s[name]", f.Name)
			}
			break
		}
		if o.Arg == "" {
			return arg, errors.New("the argument is empty")
		}
		arg.Key = strings.Clone(o.Arg)
	}
	return arg, nil
}

func (c *compiler) listSlot(o *filter.List) (int32, bool) {
	s := slot{call: makeList, list: true, typ: fields.String}
	ok := true
	for _, item := range o.Items {
		i, good := c.operand(item, true)
		if good && c.slots[i].list {
			c.problem(item.Offset(), Invalid, "a list inside a transformer must have single values as elements")
			good = false
		}
		ok = ok && good
		s.args = append(s.args, i)
	}
	if !ok {
		return 0, false
	}
	return c.addSlot(callKey("list", s.args, ""), s), true
}

func callKey(name string, args []int32, arg string) string {
	return fmt.Sprintf("c%s%v[%s]", name, args, arg)
}

func isText(t fields.Type) bool { return t == fields.String || t == fields.Path }

func (c *compiler) callSlot(o *filter.Call) (int32, bool) {
	args := make([]int32, len(o.Args))
	ok := true
	for i, a := range o.Args {
		var good bool
		args[i], good = c.operand(a, true)
		ok = ok && good
	}
	if !ok {
		return 0, false
	}
	if o.HasArg && o.Name != "getopt" {
		c.problem(o.Pos, Invalid, "%s(…) takes no argument in brackets", o.Name)
		return 0, false
	}
	s := slot{args: args, name: filter.FormatOperand(o)}
	if err := c.typeCall(o, &s); err != nil {
		c.problem(o.Pos, Invalid, "%s(…) %v", o.Name, err)
		return 0, false
	}
	return c.addSlot(callKey(o.Name, args, o.Arg), s), true
}

// typeCall checks the arguments of a transformer and sets the slot's function and type.
func (c *compiler) typeCall(o *filter.Call, s *slot) error {
	if call, ok := unary[o.Name]; ok {
		if len(s.args) != 1 {
			return errors.New("takes one argument")
		}
		arg := &c.slots[s.args[0]]
		s.call, s.typ, s.list = call, arg.typ, arg.list
		if o.Name == "len" {
			if !arg.list && !isText(arg.typ) && arg.typ != fields.Bytes {
				return errors.New("needs a list, a string or a buffer")
			}
			s.typ, s.list = fields.Uint, false
			return nil
		}
		if !isText(arg.typ) && (o.Name != "b64" || arg.typ != fields.Bytes) || o.Name == "b64" && arg.typ == fields.Path {
			return fmt.Errorf("cannot be applied to the type %s", arg.typ)
		}
		return nil
	}
	s.typ = fields.String
	switch o.Name {
	case "join":
		s.call = join
		if len(s.args) != 2 || c.slots[s.args[0]].list || !c.slots[s.args[1]].list {
			return errors.New("takes a separator and a list")
		}
		return c.allText(s.args[:1])
	case "concat":
		s.call = concat
		if len(s.args) < 2 {
			return errors.New("takes at least two arguments")
		}
		for _, a := range s.args {
			if c.slots[a].list {
				return errors.New("takes single strings, not a list")
			}
		}
		return c.allText(s.args)
	default:
		s.call, s.list = getopt, true
		if len(s.args) != 2 || !c.slots[s.args[0]].list || c.slots[s.args[1]].list {
			return errors.New("takes a list of arguments and a string of options")
		}
		if o.HasArg {
			if len(o.Arg) != 1 {
				return errors.New("takes a single option letter in brackets")
			}
			s.selector, s.list = o.Arg[0], false
		}
		return c.allText(s.args)
	}
}

func (c *compiler) allText(args []int32) error {
	for _, a := range args {
		if !isText(c.slots[a].typ) {
			return fmt.Errorf("needs strings, not the type %s", c.slots[a].typ)
		}
	}
	return nil
}

func (c *compiler) problem(offset int, kind ProblemKind, format string, args ...any) {
	c.problems = append(c.problems, Problem{Offset: offset, Kind: kind, Msg: fmt.Sprintf(format, args...)})
}

package filter

// OperandPrefix reads the field or transformer that text begins with, for an output such
// as "user=%user.name.". Of names it takes the longest that known accepts; an argument in
// brackets is taken when known accepts the field with it. It returns the operand and how
// many bytes it took. The rest of text is not looked at.
func OperandPrefix(text string, known func(f *Field) bool) (Operand, int, error) {
	p := &parser{text: text}
	if fieldNameEnd(text, 0) == 0 {
		x, err := p.call()
		if err == nil && x == nil {
			err = p.errorf(0, "unexpected %s, want a field or a transformer after %%", p.rest())
		}
		return x, p.off, err
	}
	name := text[:fieldNameEnd(text, 0)]
	for end := len(name); end > 0; end-- {
		f := &Field{Name: name[:end]}
		p.off = end
		if arg, ok, err := p.arg(); err == nil && ok {
			f.Arg, f.HasArg, f.ArgPos = arg, true, end+1
			if known(f) {
				return f, p.off, nil
			}
			f.Arg, f.HasArg, f.ArgPos = "", false, 0
		}
		if known(f) {
			return f, end, nil
		}
	}
	p.off = 0
	f, err := p.field()
	if err != nil {
		return nil, 0, err
	}
	return f, 0, &UnknownFieldError{Field: f.(*Field)}
}

// UnknownFieldError says that no prefix of an output's token is a field.
type UnknownFieldError struct{ Field *Field }

// Error names the longest candidate.
func (e *UnknownFieldError) Error() string { return "unknown field " + Quote(e.Field.Name) }

// String returns the field as it is written, with its argument in brackets.
func (n *Field) String() string {
	if n.HasArg {
		return n.Name + "[" + n.Arg + "]"
	}
	return n.Name
}

package filter

import "strings"

// Format returns the condition that e stands for, in one line, with the parentheses that
// precedence needs. Parsing it gives the same tree.
func Format(e Expr) string {
	var b strings.Builder
	writeExpr(&b, e)
	return b.String()
}

func writeExpr(b *strings.Builder, e Expr) {
	switch e := e.(type) {
	case *And:
		writeChain(b, e.Children, " and ")
	case *Or:
		writeChain(b, e.Children, " or ")
	case *Not:
		b.WriteString("not ")
		if _, ok := e.X.(*Not); ok {
			b.WriteByte('(')
			writeExpr(b, e.X)
			b.WriteByte(')')
			return
		}
		writeGrouped(b, e.X)
	case *Macro:
		b.WriteString(e.Name)
	case *Check:
		b.WriteString(FormatOperand(e.Left))
		b.WriteString(" " + e.Op.String())
		if e.Mod != NoModifier {
			b.WriteString(" " + e.Mod.String())
		}
		if e.Right != nil {
			b.WriteByte(' ')
			if f, ok := e.Right.(*Field); ok {
				b.WriteString("val(" + f.source() + ")")
			} else {
				b.WriteString(FormatOperand(e.Right))
			}
		}
	}
}

func writeChain(b *strings.Builder, children []Expr, sep string) {
	for i, c := range children {
		if i > 0 {
			b.WriteString(sep)
		}
		writeGrouped(b, c)
	}
}

func writeGrouped(b *strings.Builder, e Expr) {
	switch e.(type) {
	case *And, *Or:
		b.WriteByte('(')
		writeExpr(b, e)
		b.WriteByte(')')
	default:
		writeExpr(b, e)
	}
}

// FormatOperand returns the text that o stands for.
func FormatOperand(o Operand) string {
	switch o := o.(type) {
	case *Field:
		return o.source()
	case *Value:
		if o.Quoted || !isPlain(o.Text) {
			return Quote(o.Text)
		}
		return o.Text
	case *List:
		return "(" + joinOperands(o.Items) + ")"
	case *Call:
		s := o.Name + "(" + joinOperands(o.Args) + ")"
		if o.HasArg {
			s += "[" + quoteArg(o.Arg) + "]"
		}
		return s
	}
	return ""
}

func (n *Field) source() string {
	if n.HasArg {
		return n.Name + "[" + quoteArg(n.Arg) + "]"
	}
	return n.Name
}

func joinOperands(os []Operand) string {
	parts := make([]string, len(os))
	for i, o := range os {
		parts[i] = FormatOperand(o)
	}
	return strings.Join(parts, ", ")
}

func isPlain(s string) bool {
	for i := range len(s) {
		if !isBare(s[i]) {
			return false
		}
	}
	return s != ""
}

func quoteArg(s string) string {
	for i := range len(s) {
		if !isBareArg(s[i]) {
			return Quote(s)
		}
	}
	if s == "" {
		return Quote(s)
	}
	return s
}

var escaper = strings.NewReplacer("\\", `\\`, `"`, `\"`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// Quote returns s as a quoted literal of a condition.
func Quote(s string) string { return `"` + escaper.Replace(s) + `"` }

// Package filter reads the condition language of Falco rules: text to syntax tree.
//
// It knows operators, transformers and literals, not what a field means: package program
// gives a tree its meaning against a registry of fields. Positions are byte offsets into
// the text that was parsed; package rules maps them back to the rules file.
package filter

// Expr is a boolean expression: *And, *Or, *Not, *Macro or *Check.
type Expr interface{ Offset() int }

// And is true when all children are; it has at least two.
type And struct {
	Pos      int
	Children []Expr
}

// Or is true when any child is; it has at least two.
type Or struct {
	Pos      int
	Children []Expr
}

// Not is true when X is false.
type Not struct {
	Pos int
	X   Expr
}

// Macro is a reference to a macro by name.
type Macro struct {
	Pos  int
	Name string
}

// Check compares an operand. Right is nil for Exists.
type Check struct {
	Pos int
	// OpPos is the operator's offset.
	OpPos int
	Left  Operand
	Op    Op
	Mod   Modifier
	Right Operand
}

// Operand is what a check compares: *Field, *Call, *Value or *List.
type Operand interface{ Offset() int }

// Field is a field, with its argument as written between the brackets.
type Field struct {
	Pos    int
	Name   string
	HasArg bool
	Arg    string
	ArgPos int
}

// Call is a transformer applied to operands; getopt(…)[x] has an argument.
type Call struct {
	Pos    int
	Name   string
	Args   []Operand
	HasArg bool
	Arg    string
}

// Value is a literal, unescaped.
type Value struct {
	Pos    int
	Text   string
	Quoted bool
}

// List is a list of literals, or, inside a transformer, of any operands.
type List struct {
	Pos   int
	Items []Operand
}

// Offset returns the byte offset of the expression's first character.
func (n *And) Offset() int { return n.Pos }

// Offset returns the byte offset of the expression's first character.
func (n *Or) Offset() int { return n.Pos }

// Offset returns the byte offset of the expression's first character.
func (n *Not) Offset() int { return n.Pos }

// Offset returns the byte offset of the name.
func (n *Macro) Offset() int { return n.Pos }

// Offset returns the byte offset of the left operand.
func (n *Check) Offset() int { return n.Pos }

// Offset returns the byte offset of the name.
func (n *Field) Offset() int { return n.Pos }

// Offset returns the byte offset of the transformer's name.
func (n *Call) Offset() int { return n.Pos }

// Offset returns the byte offset of the literal, its quote included.
func (n *Value) Offset() int { return n.Pos }

// Offset returns the byte offset of the opening parenthesis.
func (n *List) Offset() int { return n.Pos }

// Op is a comparison operator.
type Op uint8

// The operators.
const (
	Exists Op = iota
	Eq
	Ne
	Lt
	Le
	Gt
	Ge
	Contains
	IContains
	BContains
	StartsWith
	BStartsWith
	EndsWith
	Glob
	IGlob
	Regex
	In
	Intersects
	PMatch
)

var opNames = [...]string{
	Exists: "exists", Eq: "=", Ne: "!=", Lt: "<", Le: "<=", Gt: ">", Ge: ">=",
	Contains: "contains", IContains: "icontains", BContains: "bcontains",
	StartsWith: "startswith", BStartsWith: "bstartswith", EndsWith: "endswith",
	Glob: "glob", IGlob: "iglob", Regex: "regex",
	In: "in", Intersects: "intersects", PMatch: "pmatch",
}

// String returns the operator as it is written; "==" is "=".
func (o Op) String() string { return opNames[o] }

// List says whether the operator takes a list on its right.
func (o Op) List() bool { return o == In || o == Intersects || o == PMatch }

// Modifier says how many of a list's elements must satisfy a string operator.
type Modifier uint8

// The modifiers.
const (
	NoModifier Modifier = iota
	OneOf
	AnyOf
	AllOf
)

// String returns the modifier as it is written, "" for none.
func (m Modifier) String() string { return [...]string{"", "oneof", "anyof", "allof"}[m] }

// ParseOp reads an operator with optional modifier as an exception's comps has it:
// "startswith", "=", "contains anyof". Only string operators take a modifier.
func ParseOp(s string) (Op, Modifier, bool) {
	p := parser{text: s + " "}
	p.blank()
	op, ok := p.operator()
	if !ok {
		return 0, 0, false
	}
	p.blank()
	if p.off >= len(s) {
		return op, NoModifier, true
	}
	mod, ok := p.modifier()
	p.blank()
	return op, mod, ok && op.takesModifier() && p.off >= len(s)
}

func (o Op) takesModifier() bool {
	switch o {
	case Exists, Lt, Le, Gt, Ge, In, Intersects, PMatch:
		return false
	}
	return true
}

// Transformers are the names of the functions that may be applied to a field. val, which
// only marks a field on an operator's right-hand side, is not among them.
var Transformers = []string{"tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt"}

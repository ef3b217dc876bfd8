package route

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/saker-security/saker/event"
)

// A variable is a part of an event that an expression can name.
type variable struct {
	name string
	kind *cel.Type
}

var variables = []variable{
	{"fields", cel.MapType(cel.StringType, cel.DynType)},
	{"hostname", cel.StringType},
	{"output", cel.StringType},
	{"priority", cel.IntType},
	{"rule", cel.StringType},
	{"source", cel.StringType},
	{"tags", cel.ListType(cel.StringType)},
	{"time", cel.TimestampType},
	{"uuid", cel.StringType},
}

func isVariable(name string) bool {
	return slices.ContainsFunc(variables, func(v variable) bool { return v.name == name })
}

// A priority is a constant that an event's priority is compared with.
type priority struct {
	name  string
	value event.Priority
}

var priorities = []priority{
	{"DEBUG", event.Debug},
	{"INFO", event.Informational},
	{"INFORMATIONAL", event.Informational},
	{"NOTICE", event.Notice},
	{"WARNING", event.Warning},
	{"ERROR", event.Error},
	{"CRITICAL", event.Critical},
	{"ALERT", event.Alert},
	{"EMERGENCY", event.Emergency},
}

// The functions that the language has here beside its standard ones. Those whose names
// nobody can write are what prepare and the macros field(name) and has_tag(name) make.
const (
	fieldFunction = "@field"
	tagFunction   = "@has_tag"
	zoneFunction  = "@in_zone"
	globFunction  = "glob"
	cidrFunction  = "cidr"
)

// language returns the environment that all expressions are compiled in.
var language = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ClearMacros(),
		cel.Macros(cel.StandardMacros...),
		cel.Macros(fieldMacro, tagMacro),
		cel.EnableMacroCallTracking(),
		cel.CrossTypeNumericComparisons(true),
		// A timestamp keeps its zone, which @in_zone relies on. That of the event is UTC.
		cel.DefaultUTCTimeZone(false),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ParserRecursionLimit(maxNesting),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(), cel.ValidateComprehensionNestingLimit(maxLoops)),
		// The macros fill in the first argument. Were it declared as a map or list, each call
		// would have a look at its first entry.
		function(fieldFunction, cel.StringType, cel.BinaryBinding(fieldText), cel.DynType, cel.StringType),
		function(tagFunction, cel.BoolType, cel.BinaryBinding(hasTag), cel.DynType, cel.StringType),
		function(zoneFunction, cel.TimestampType, cel.BinaryBinding(inZone), cel.TimestampType, cel.StringType),
		function(globFunction, cel.BoolType, cel.BinaryBinding(globValue), cel.StringType, cel.DynType),
		function(cidrFunction, cel.BoolType, cel.BinaryBinding(cidrValue), cel.StringType, cel.DynType),
		method("lowerAscii", cel.UnaryBinding(textFunction(lowerASCII))),
		method("upperAscii", cel.UnaryBinding(textFunction(upperASCII))),
		method("trim", cel.UnaryBinding(textFunction(strings.TrimSpace))),
		cel.CostModel(
			cost.Overload(tagFunction, cost.EvalCost(cost.Length(cost.Arg(0)))),
			// A glob is compared with every place of the text at worst.
			cost.Overload(globFunction, cost.EvalCost(cost.Scale(cost.Mul(cost.Arg(0), cost.Arg(1)), 0.05))),
			textCost("lowerAscii"), textCost("upperAscii"), textCost("trim"),
		),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	for _, p := range priorities {
		options = append(options, cel.Constant(p.name, cel.IntType, types.Int(p.value)))
	}
	return cel.NewEnv(options...)
})

// function declares a function with one form. Only what takes about as long as its texts
// are long may be declared: the cost of a call is known after it, and the texts of an event
// are written by whoever causes it. So there is nothing here that replaces, joins or splits.
func function(name string, result *cel.Type, binding cel.OverloadOpt, args ...*cel.Type) cel.EnvOption {
	return cel.Function(name, cel.Overload(name, args, result, binding))
}

// method declares a function that makes a string of a string: text.name().
func method(name string, binding cel.OverloadOpt) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload(name, []*cel.Type{cel.StringType}, cel.StringType, binding))
}

func textCost(name string) cost.OverloadModel {
	return cost.MemberOverload(name, cost.EvalCost(cost.StringScan(cost.Target())), cost.ResultSize(cost.Target()))
}

func textFunction(f func(string) string) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		s, ok := v.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(f(string(s)))
	}
}

// lowerASCII makes small letters of A to Z.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// upperASCII makes capitals of a to z.
func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, s)
}

// fieldMacro makes field(name) the text of an output field. It reads a variable, so it can't
// be a function alone.
var fieldMacro = cel.GlobalMacro("field", 1, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	return f.NewCall(fieldFunction, f.NewIdent("fields"), args[0]), nil
})

// tagMacro makes has_tag(name) the question whether the event has a tag.
var tagMacro = cel.GlobalMacro("has_tag", 1, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	return f.NewCall(tagFunction, f.NewIdent("tags"), args[0]), nil
})

func hasTag(tags, tag ref.Val) ref.Val {
	list, ok := tags.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(tags)
	}
	if texts, ok := list.Value().([]string); ok {
		s, isString := tag.(types.String)
		return types.Bool(isString && slices.Contains(texts, string(s)))
	}
	return list.Contains(tag)
}

// fieldText returns the text of a field: of a string its content, of null and of what isn't
// there nothing, of anything else its JSON.
func fieldText(fields, name ref.Val) ref.Val {
	m, ok := fields.(*fieldMap)
	key, isString := name.(types.String)
	if !ok || !isString {
		return types.MaybeNoSuchOverloadErr(name)
	}
	v, _ := m.e.Field(string(key))
	return types.String(text(v))
}

// text returns the text of a value, nothing for null.
func text(v event.Value) string {
	if v.Kind() == event.Null {
		return ""
	}
	return v.Text()
}

// zones are the time zones that expressions name, which are few, as *time.Location by name.
var zones sync.Map

// location returns the time zone called name.
func location(name string) (*time.Location, error) {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location), nil
	}
	read, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, read)
	}
	return read, err
}

func inZone(at, zone ref.Val) ref.Val {
	t, ok := at.(types.Timestamp)
	name, isString := zone.(types.String)
	if !ok || !isString {
		return types.MaybeNoSuchOverloadErr(at)
	}
	l, err := location(string(name))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Timestamp{Time: t.In(l)}
}

func globValue(pattern, value ref.Val) ref.Val {
	p, ok := pattern.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(pattern)
	}
	switch s := value.(type) {
	case types.String:
		return types.Bool(glob(string(p), string(s)))
	case types.Null:
		return types.Bool(glob(string(p), ""))
	}
	return types.MaybeNoSuchOverloadErr(value)
}

// glob reports whether pattern matches the whole of s. In it * stands for any text, ? for
// one character, and a backslash takes the character behind it literally.
func glob(pattern, s string) bool {
	// Only the last star can have to take more: what earlier ones took is settled once the
	// text behind them has been found.
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if np, ni, ok := globStep(pattern, p, s, i); ok {
			p, i = np, ni
			continue
		}
		if star < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[mark:])
		mark += size
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globStep compares one character and returns the places behind it.
func globStep(pattern string, p int, s string, i int) (nextP, nextI int, ok bool) {
	if p == len(pattern) {
		return 0, 0, false
	}
	if pattern[p] == '?' {
		_, size := utf8.DecodeRuneInString(s[i:])
		return p + 1, i + size, true
	}
	if pattern[p] == '\\' && p+1 < len(pattern) {
		p++
	}
	return p + 1, i + 1, pattern[p] == s[i]
}

// cidrValue reports whether value is the text of an IP address within a prefix. What is no
// address lies in no prefix.
func cidrValue(prefix, value ref.Val) ref.Val {
	p, ok := prefix.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(prefix)
	}
	network, err := netip.ParsePrefix(string(p))
	if err != nil {
		return types.WrapErr(err)
	}
	s, ok := value.(types.String)
	if !ok {
		return types.False
	}
	address, err := netip.ParseAddr(string(s))
	return types.Bool(err == nil && network.Contains(address.Unmap().WithZone("")))
}

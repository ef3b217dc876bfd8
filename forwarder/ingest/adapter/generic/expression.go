package generic

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/saker-security/saker/event"
)

const (
	// maxText bounds an expression, in characters.
	maxText = 16 << 10
	// maxCost bounds one evaluation, in CEL's units of cost: roughly a step each, or ten
	// characters of text worked on.
	maxCost = 200_000
)

// kind is what an expression may give.
type kind string

const (
	kindText   kind = "text"
	kindNumber kind = "a number"
	kindTime   kind = "a timestamp"
	kindList   kind = "a list"
	kindMap    kind = "a map"
)

// kindOf returns the kind of a CEL type, "" for those that only the value will tell.
func kindOf(t *cel.Type) kind {
	switch t.Kind() {
	case types.StringKind:
		return kindText
	case types.IntKind, types.UintKind, types.DoubleKind:
		return kindNumber
	case types.TimestampKind:
		return kindTime
	case types.ListKind:
		return kindList
	case types.MapKind:
		return kindMap
	case types.DynKind, types.AnyKind, types.NullTypeKind, types.OpaqueKind:
		return ""
	}
	return kind(t.String())
}

// environment is the language of the expressions.
func environment() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.Variable("body", cel.DynType), cel.Variable("item", cel.DynType), cel.Variable("now", cel.TimestampType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxText), ext.Strings(), ext.Math(), ext.Encoders(),
	)
	if err != nil {
		return nil, fmt.Errorf("set up the expression language: %w", err)
	}
	return env, nil
}

// expression is a compiled expression. It is safe for concurrent use.
type expression struct {
	key     string
	gives   []kind
	program cel.Program
}

// newExpression compiles text, nil for an empty one.
func newExpression(env *cel.Env, key, text string, gives []kind) (*expression, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil //nolint:nilnil // no expression is no mistake
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, describe(issues, err)
	}
	if k := kindOf(ast.OutputType()); k != "" && !slices.Contains(gives, k) {
		return nil, fmt.Errorf("the expression must give %s, not %s", anyOf(gives), k)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be used: %w", err)
	}
	return &expression{key, gives, program}, nil
}

// describe says what is wrong with an expression, and where, on one line.
func describe(issues *cel.Issues, err error) error {
	all := issues.Errors()
	if len(all) == 0 {
		return err
	}
	first := all[0]
	return fmt.Errorf("line %d, column %d of the expression: %s; it may use body, item, headers and now",
		first.Location.Line(), first.Location.Column()+1, strings.TrimSpace(first.Message))
}

func anyOf(gives []kind) string {
	words := make([]string, 0, len(gives))
	for _, k := range gives {
		words = append(words, string(k))
	}
	return strings.Join(words, " or ")
}

// eval returns the value, nil for null.
func (x *expression) eval(vars map[string]any) (ref.Val, error) {
	v, _, err := x.program.Eval(vars)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.key, err)
	}
	if o, ok := v.(*types.Optional); ok {
		if !o.HasValue() {
			return nil, nil //nolint:nilnil // none is null
		}
		v = o.GetValue()
	}
	if v == types.NullValue {
		return nil, nil //nolint:nilnil // null is a value here
	}
	if k := kindOf(v.Type().(*cel.Type)); !slices.Contains(x.gives, k) && (!slices.Contains(x.gives, kindText) || !printable(v)) {
		return nil, fmt.Errorf("%s: must give %s, not %s", x.key, anyOf(x.gives), k)
	}
	return v, nil
}

// printable reports whether v, though not text, has a text that is good enough.
func printable(v ref.Val) bool {
	switch v.(type) {
	case types.Int, types.Uint, types.Double, types.Bool:
		return true
	}
	return false
}

// asValue wraps what an expression may see.
func asValue(v any) ref.Val { return types.DefaultTypeAdapter.NativeToValue(v) }

// plain returns the text of a value, "" for null and for what has none.
func plain(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return string(v)
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10)
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', -1, 64)
	case types.Bool:
		return strconv.FormatBool(bool(v))
	}
	return ""
}

// asTime reads a time in any of the forms that Mapping.Time names.
func asTime(v ref.Val) (time.Time, error) {
	switch v := v.(type) {
	case types.Timestamp:
		return v.Time, nil
	case types.String:
		const most = 64
		t, err := time.Parse(time.RFC3339Nano, string(v))
		if err != nil {
			return time.Time{}, fmt.Errorf("must give an RFC 3339 time, not %q", string(v[:min(len(v), most)]))
		}
		return t, nil
	case types.Int:
		return sinceEpoch(float64(v), int64(v))
	case types.Uint:
		if v > math.MaxInt64 {
			return time.Time{}, errTime
		}
		return sinceEpoch(float64(v), int64(v))
	case types.Double:
		return sinceEpoch(float64(v), 0)
	}
	return time.Time{}, errTime
}

var errTime = errors.New("must give a time")

// sinceEpoch tells the unit of a number by its size: until the year 5138 seconds have at
// most 11 digits, milliseconds since 1973 have at least 12, and so on.
func sinceEpoch(n float64, whole int64) (time.Time, error) {
	unit := time.Second
	for _, finer := range []time.Duration{time.Millisecond, time.Microsecond, time.Nanosecond} {
		if limit := 1e11 * float64(time.Second/unit); math.Abs(n) < limit {
			break
		}
		unit = finer
	}
	if ns := n * float64(unit); math.IsNaN(ns) || math.Abs(ns) >= math.MaxInt64 {
		return time.Time{}, errTime
	}
	if whole != 0 {
		return time.Unix(0, 0).Add(time.Duration(whole) * unit).UTC(), nil
	}
	return time.Unix(0, int64(n*float64(unit))).UTC(), nil
}

// appendJSON appends a value as JSON.
func appendJSON(dst []byte, v ref.Val) ([]byte, error) {
	switch v := v.(type) {
	case nil, types.Null:
		return append(dst, "null"...), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return append(dst, "null"...), nil
		}
		return append(dst, plain(v)...), nil
	case types.Bool, types.Int, types.Uint:
		return append(dst, plain(v)...), nil
	case types.String:
		return event.AppendJSONString(dst, string(v)), nil
	case types.Bytes:
		return event.AppendJSONString(dst, base64.StdEncoding.EncodeToString(v)), nil
	case types.Timestamp:
		return event.AppendJSONString(dst, v.UTC().Format(time.RFC3339Nano)), nil
	case types.Duration:
		return event.AppendJSONString(dst, v.Duration.String()), nil
	case *types.Optional:
		if !v.HasValue() {
			return append(dst, "null"...), nil
		}
		return appendJSON(dst, v.GetValue())
	case traits.Mapper:
		return appendMap(dst, v)
	case traits.Lister:
		return appendList(dst, v)
	}
	return dst, fmt.Errorf("a value of the type %s has no JSON form", v.Type().TypeName())
}

func appendList(dst []byte, list traits.Lister) (_ []byte, err error) {
	dst = append(dst, '[')
	for at, first := list.Iterator(), true; at.HasNext().Value() == true; first = false {
		if !first {
			dst = append(dst, ',')
		}
		if dst, err = appendJSON(dst, at.Next()); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, m traits.Mapper) (_ []byte, err error) {
	dst = append(dst, '{')
	for at, first := m.Iterator(), true; at.HasNext().Value() == true; first = false {
		if !first {
			dst = append(dst, ',')
		}
		key := at.Next()
		dst = append(event.AppendJSONString(dst, plain(key)), ':')
		if dst, err = appendJSON(dst, m.Get(key)); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

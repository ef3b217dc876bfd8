package route

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"

	"github.com/saker-security/saker/event"
)

// The limits of an expression.
const (
	// MaxMatchBytes is the most bytes that its text may have.
	MaxMatchBytes = 8 << 10
	// MaxMatchCost is the most that one evaluation may cost, in units of the expression
	// language: reading a variable, comparing two short values or looking at ten bytes of a
	// text is one. An evaluation that reaches it ends with an error.
	MaxMatchCost = 1_000_000

	// maxNodes, maxNesting and maxLoops are the most operations, brackets within one another
	// and loops within one another.
	maxNodes   = 2000
	maxNesting = 100
	maxLoops   = 2
	// maxRegexProgram is the most instructions of a regular expression, which is of the RE2
	// kind: its time grows with the text and no faster.
	maxRegexProgram = 1000
)

// Match is a compiled expression over an event, in the Common Expression Language. It may
// be used by several goroutines at once. A nil Match lets every event pass.
//
// An expression is true or false. It can use
//
//   - rule, source, hostname, output, uuid: strings, "" where the event has none;
//   - priority, compared with DEBUG, INFO, INFORMATIONAL, NOTICE, WARNING, ERROR, CRITICAL,
//     ALERT, EMERGENCY or the quoted name of one, in any case;
//   - tags, a list of strings, and has_tag(name);
//   - time, the timestamp of the event, in UTC where no zone is named;
//   - fields["name"], an output field as the sender wrote it, null where the event has none,
//     and field("name"), its text, "" where the event has none;
//   - glob(pattern, text) with * and ?, and cidr("10.0.0.0/8", address);
//   - text.lowerAscii(), text.upperAscii() and text.trim(), beside the language's standard
//     operators, macros and functions.
//
// A field that is missing or null equals nothing but null. To order it (<, >) or to call a
// function of it (fields["x"].startsWith("y")) is an error, and so are a key that an object
// within a field doesn't have and an evaluation that costs more than MaxMatchCost.
type Match struct {
	text    string
	program cel.Program
	// traced makes the program that Explain needs, which keeps what every part came to.
	traced  func() (cel.Program, error)
	checked *cel.Ast
}

// Compile compiles an expression. The empty text is no expression: it gives a nil Match.
// The error is a *CompileError, which shows all mistakes with their places.
func Compile(text string) (*Match, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if len(text) > MaxMatchBytes {
		return nil, &CompileError{Text: text, Mistakes: []Mistake{{
			Message: fmt.Sprintf("must not be longer than %d bytes", MaxMatchBytes),
		}}}
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("prepare the expression language: %w", err)
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, compileError(text, issues.Errors())
	}
	if mistakes := prepare(text, parsed.NativeRep()); len(mistakes) > 0 {
		return nil, &CompileError{Text: text, Mistakes: mistakes}
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, compileError(text, issues.Errors())
	}
	if t := checked.OutputType(); !t.IsExactType(types.BoolType) && !t.IsExactType(types.DynType) {
		return nil, &CompileError{Text: text, Mistakes: []Mistake{{
			Message: fmt.Sprintf("must be true or false, but is %s", typeName(t.String())),
		}}}
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if !cheap(env, checked) {
		options = append(options, cel.CostLimit(MaxMatchCost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		return nil, &CompileError{Text: text, Mistakes: []Mistake{{Message: err.Error()}}}
	}
	return &Match{
		text:    text,
		program: program,
		checked: checked,
		traced: sync.OnceValues(func() (cel.Program, error) {
			return env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval), cel.CostLimit(MaxMatchCost))
		}),
	}, nil
}

// String returns the expression as it was written.
func (m *Match) String() string {
	if m == nil {
		return ""
	}
	return m.text
}

// Eval says whether m lets e pass. After an error it is for the caller to say; Decide
// delivers such an event.
func (m *Match) Eval(e *event.Event) (bool, error) {
	if m == nil {
		return true, nil
	}
	v := viewOf(e)
	defer v.release()
	result, _, err := m.program.Eval(v)
	if err != nil {
		return false, evalError(err)
	}
	pass, ok := result.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression came to %s, neither true nor false", typeName(result.Type().TypeName()))
	}
	return bool(pass), nil
}

// Passes reports whether m lets e pass. Where m cannot be evaluated e passes.
func (m *Match) Passes(e *event.Event) bool {
	pass, err := m.Eval(e)
	return pass || err != nil
}

// cheap reports whether no event can make the expression cost more than MaxMatchCost, so
// that nobody has to keep account of it, which takes longer than a short expression does.
func cheap(env *cel.Env, checked *cel.Ast) bool {
	estimate, err := env.EstimateCost(checked, sizes{})
	return err == nil && estimate.Max <= MaxMatchCost
}

// sizes knows how large the parts of an event can be.
type sizes struct{}

// EstimateSize returns the size of a variable, nil for what the estimator works out itself.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	text := cost.RangedSizeEstimate(0, event.MaxEventBytes)
	switch {
	case path[0] == "tags" && len(path) == 1:
		list := cost.ListSizeEstimate(cost.RangedSizeEstimate(0, event.MaxTags), text)
		return &list
	case path[0] == "fields" && len(path) == 1:
		fields := cost.MapSizeEstimate(cost.RangedSizeEstimate(0, event.MaxFields), text, text)
		return &fields
	}
	return &text
}

// EstimateCallCost returns nil: functions cost what their models say.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// evalError says in our words what an evaluation ended with.
func evalError(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "cost limit exceeded"):
		return errCost
	case strings.HasPrefix(text, "no such overload"), strings.HasPrefix(text, "got 'types."):
		return errType
	}
	return errors.New(shortened(text))
}

type constError string

func (e constError) Error() string { return string(e) }

const (
	errCost = constError("evaluating the expression costs too much for an event of this size")
	errType = constError(`a value that the expression needs is missing or of another type: field("name") is text in any case`)
)

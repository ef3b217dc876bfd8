package rules

import (
	"maps"
	"slices"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
	"github.com/saker-security/saker/sensor/rules/program"
)

// Rule is what a rule says of itself.
type Rule struct {
	Name     string
	Desc     string
	Source   string
	Priority event.Priority
	// Tags are sorted.
	Tags    []string
	Enabled bool
	// Condition is as it was written, with overrides; Expanded has its exceptions and lists
	// written out, its macros as names.
	Condition, Expanded string
	// Output is the template as it was written, with overrides.
	Output string
	// ConditionFields are the fields that the condition compares, those of its macros
	// included, as they are written; Fields those of the alert's output_fields. Both sorted.
	ConditionFields, Fields []string
	// Macros are the macros that the condition refers to, also through others, sorted.
	Macros []string
	// EventTypes are the names of the event types that the rule may match; nil for a source
	// without event types.
	EventTypes []string
	// Capture and CaptureMillis are read for completeness; nothing is captured.
	Capture       bool
	CaptureMillis uint64
	// Position is where the rule was last defined.
	Position Position
}

// compiledRule is a rule with what evaluates and prints it.
type compiledRule struct {
	Rule
	condition program.Ref
	output    *program.Output
	extra     []extraField
	expr      filter.Expr
}

// extraField is a member of output_fields that an Append adds: the value of the one field
// in output when raw is set, its text otherwise.
type extraField struct {
	name   string
	output *program.Output
	raw    bool
}

// Ruleset is a set of compiled rules. It is immutable and safe for concurrent use: another
// one may be loaded, and Evaluators of this one may run, all at the same time.
type Ruleset struct {
	// EngineVersion is the highest version of the engine that the files ask for; 0.0.0 when
	// they ask for none.
	EngineVersion string

	opts    Options
	rules   []*Rule
	engines map[string]*engine
	// macros are kept to explain conditions.
	macros map[string]*macroUnit
}

// engine holds the rules of one source.
type engine struct {
	reg     *fields.Registry
	builder *program.Builder
	program *program.Program
	rules   []*compiledRule
	// used are the names of the fields that enabled rules have.
	used map[string]bool
	// named are the event types that enabled rules name.
	named map[int]bool
}

func (rs *Ruleset) engine(source string, b *program.Builder) *engine {
	e := rs.engines[source]
	if e == nil {
		e = &engine{reg: b.Registry(), builder: b}
		rs.engines[source] = e
	}
	return e
}

// finish builds the program once all rules are there.
func (e *engine) finish() error {
	conditions := make([]program.Ref, len(e.rules))
	enabled := make([]bool, len(e.rules))
	for i, r := range e.rules {
		conditions[i], enabled[i] = r.condition, r.Enabled
		r.Fields = r.output.Names()
	}
	e.findFields()
	var err error
	if e.program, err = e.builder.Build(conditions, enabled); err != nil {
		return err
	}
	for i, r := range e.rules {
		if len(e.reg.EventTypes) == 0 {
			continue
		}
		r.EventTypes = []string{}
		for _, t := range e.program.EventTypes(i) {
			r.EventTypes = append(r.EventTypes, e.reg.EventTypes[t])
		}
		slices.Sort(r.EventTypes)
	}
	e.builder = nil // its indexes are needed no more
	return nil
}

// Rules returns all rules, also those that are not enabled, in the order in which they are
// tried.
func (rs *Ruleset) Rules() []*Rule { return rs.rules }

// Sources returns the sources that rules are for, sorted.
func (rs *Ruleset) Sources() []string { return slices.Sorted(maps.Keys(rs.engines)) }

// EventTypes returns the numbers of the event types of a source that an enabled rule may
// match, ascending. No other event can cause an alert.
func (rs *Ruleset) EventTypes(source string) []int {
	e := rs.engines[source]
	if e == nil {
		return nil
	}
	set := make(map[int]bool)
	for i, r := range e.rules {
		if !r.Enabled {
			continue
		}
		for _, t := range e.program.EventTypes(i) {
			set[t] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// NamesEventType says whether an enabled rule of the source names an event type, by its number
// in EventTypes: a comparison of evt.type or syscall.type with it, other than by !=, is in the
// rule's condition. Most rules that do not restrict evt.type may match a type without naming
// it.
func (rs *Ruleset) NamesEventType(source string, number int) bool {
	e := rs.engines[source]
	return e != nil && e.named[number]
}

// Bounds makes upper bounds of conditions in a domain of the caller's; see program.Bounds.
type Bounds[T any] = program.Bounds[T]

// Comparison is one comparison of a condition; see program.Comparison.
type Comparison = program.Comparison

// Bound returns an upper bound of the events of one type, a number of EventTypes, that can
// cause an alert. The proof obligation is that of who drops events by it: an event may be
// dropped only if the condition of every enabled rule is false for it, and that is so for
// each one outside of the bound if every function of b keeps to what it says.
func Bound[T any](rs *Ruleset, source string, eventType int, b Bounds[T]) T {
	e := rs.engines[source]
	if e == nil {
		return b.Any(nil)
	}
	return program.Bound(e.program, eventType, b)
}

// findFields notes which fields the rules have, and which event types they name.
func (e *engine) findFields() {
	e.used, e.named = make(map[string]bool), make(map[int]bool)
	seen, named := make(map[program.Ref]bool), make(map[program.Ref]bool)
	for _, r := range e.rules {
		if !r.Enabled {
			continue
		}
		e.builder.Fields(r.condition, e.used, seen)
		e.builder.NamedTypes(r.condition, e.named, named)
		e.builder.OutputFields(r.output, e.used)
		for _, x := range r.extra {
			e.builder.OutputFields(x.output, e.used)
		}
	}
}

// UsesField says whether the condition or the output of an enabled rule of the source has
// the named field, with whatever argument.
func (rs *Ruleset) UsesField(source, name string) bool {
	e := rs.engines[source]
	return e != nil && e.used[name]
}

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

// Ruleset is a set of compiled rules. It is immutable and safe for concurrent use.
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

// findFields notes which fields the rules have.
func (e *engine) findFields() {
	e.used = make(map[string]bool)
	seen := make(map[program.Ref]bool)
	for _, r := range e.rules {
		if !r.Enabled {
			continue
		}
		e.builder.Fields(r.condition, e.used, seen)
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

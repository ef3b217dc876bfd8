// Package interest derives from the rules what the kernel has to report.
//
//	rules ── From ──┬─> probe.Interest: kinds of call, and clauses that narrow them
//	                └─> Judge: the clauses that cannot hold for a process
//
// A rule's condition is bounded from above, comparison by comparison, by what the kernel can
// test; a comparison that it cannot test counts as true, and so does its negation. The bound
// of all rules is a disjunction of clauses for each type of event. The proof obligation is
// that a call may be dropped only if every rule's condition is false for it: so each
// comparison is pushed only as far as it is implied, with its nulls, which no comparison is
// true for and every negated one is. Whatever has no place in a clause, or too many clauses,
// widens the bound; nothing ever narrows it.
//
// Two kinds of call are kept beyond what rules match: those that the process table is made
// of, and those that tell the two ends of sockets to later calls.
package interest

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
	"github.com/saker-security/saker/sensor/rules"
)

// From derives the interest of a set of rules, and the Judge of processes that goes with its
// clauses.
func From(rs *rules.Ruleset) (probe.Interest, *Judge) {
	d := &derivation{algebra: algebra{newGuards()}, rules: rs, bounds: make(map[probe.Kind]condition)}
	in := d.interest()
	for _, k := range in.Kinds {
		d.conditions = append(d.conditions, kindCondition{k, d.condition(k)})
	}
	d.conditions = slices.DeleteFunc(d.conditions, func(c kindCondition) bool { return len(c.condition) == 0 })
	in.Kinds = in.Kinds[:0]
	for _, c := range d.conditions {
		in.Kinds = append(in.Kinds, c.kind)
	}
	clauses := d.clauses()
	judge := newJudge(d.guards, clauses)
	for _, c := range clauses {
		in.Clauses = append(in.Clauses, c.probe())
	}
	return in, judge
}

// derivation is the state of one From.
type derivation struct {
	algebra
	rules *rules.Ruleset
	// asked are the kinds that rules may match, bounds what is known of each.
	asked      []probe.Kind
	bounds     map[probe.Kind]condition
	conditions []kindCondition
}

type kindCondition struct {
	kind      probe.Kind
	condition condition
}

func (d *derivation) uses(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return d.rules.UsesField(syscalls.SourceName, name) })
}

// interest is the kinds and parts of records that are needed, without clauses. A rule that may
// match any type of event asks for the common ones only: the others come in floods, and are
// reported where a rule names them.
func (d *derivation) interest() probe.Interest {
	threads := false
	types := syscalls.EventTypes()
	for _, number := range d.rules.EventTypes(syscalls.SourceName) {
		named := d.rules.NamesEventType(syscalls.SourceName, number) || d.uses("evt.type.is."+types[number])
		for _, k := range syscalls.Kinds(number) {
			if named || k.Common() {
				d.asked = append(d.asked, k)
			}
			threads = threads || named && k == probe.KindFork
		}
	}
	kinds := slices.Concat(
		d.asked,
		syscalls.StateKinds(d.asked, func(name string) bool { return d.uses(name) }),
		process.Kinds(),
	)
	slices.Sort(kinds)
	// Fields that show every parameter of an event may show these.
	everything := d.uses("evt.args", "evt.arg", "evt.rawarg", "evt.info")
	return probe.Interest{
		Kinds:         slices.Compact(kinds),
		Threads:       threads,
		OmitEnv:       !everything && !d.uses("proc.env", "proc.aenv", "evt.arg.env", "evt.rawarg.env"),
		OmitData:      !everything && !d.uses("evt.buffer", "evt.buflen", "evt.arg.data", "evt.rawarg.data"),
		OmitOpenPaths: true, // fd.name of an open is the path as it was passed
	}
}

// condition is what has to be reported of a kind.
func (d *derivation) condition(k probe.Kind) condition {
	if k == probe.KindFork || k == probe.KindProcexit {
		return everything
	}
	needed := []condition{d.bound(k), d.state(k)}
	if k == probe.KindExecve {
		// The kernel does not tell a successful execveat from an execve.
		needed = append(needed, d.bound(probe.KindExecveat))
	}
	if k == probe.KindExecveat {
		needed = append(needed, d.bound(probe.KindExecve))
	}
	c := d.any(needed)
	if k == probe.KindConnect {
		c = d.connected(c)
	}
	for i := range c {
		c[i].ends = endsUnknown // the kernel cannot tell
	}
	return d.simplify(c)
}

// bound is the upper bound of what the rules match of a kind.
func (d *derivation) bound(k probe.Kind) condition {
	if !slices.Contains(d.asked, k) {
		return nil
	}
	c, ok := d.bounds[k]
	if !ok {
		c = rules.Bound(d.rules, syscalls.SourceName, int(k), rules.Bounds[condition]{
			Comparison: func(c rules.Comparison, result bool) condition { return d.comparison(k, c, result) },
			All:        d.all,
			Any:        d.any,
		})
		d.bounds[k] = c
	}
	return c
}

// comparison is the bound of one comparison for a kind.
func (d *derivation) comparison(k probe.Kind, c rules.Comparison, result bool) condition {
	f, _, ok := c.Field()
	if !ok {
		return everything
	}
	switch {
	case keptByProcess[f.Name] && k != probe.KindExecve && k != probe.KindExecveat:
		return condition{{guard: d.compare(c, result)}}
	case f.Name == "evt.res":
		return d.results(c, result)
	case f.Name == "evt.rawres":
		if out, ok := returned(c, result); ok {
			return out
		}
	case f.Name == "evt.arg.flags" && opensWithFlags(k):
		if out, ok := openFlags(c, result); ok {
			return out
		}
	case f.Name == "evt.arg.domain" && k == probe.KindSocket:
		return d.domains(c, result)
	}
	bound := everything
	if all := outcomes(f.Name, k); all != nil {
		bound = d.among(all, c, result)
	}
	if form := openPaths[f.Name]; result && form != noPath && isOpen(k) {
		if set, ok := paths(form, c); ok {
			bound = d.all([]condition{bound, {{paths: set}}})
		}
	}
	return bound
}

// keptByProcess are the fields whose value for a process the process table does not change
// until it executes another program.
var keptByProcess = map[string]bool{
	"proc.name": true, "proc.exe": true, "proc.exepath": true, "proc.args": true, "proc.cmdline": true,
	"proc.exeline": true, "proc.cmdnargs": true, "proc.cmdlenargs": true, "proc.env": true,
	"proc.pid": true, "proc.vpid": true, "proc.tty": true,
	"proc.is_exe_writable": true, "proc.is_exe_upper_layer": true, "proc.is_exe_lower_layer": true,
	"proc.is_exe_from_memfd": true, "proc.exe_ino": true, "proc.exe_ino.ctime": true, "proc.exe_ino.mtime": true,
	"container.id": true, "container.full_id": true,
	"user.loginuid": true,
}

// placed is a clause with the kinds that it is about.
type placed struct {
	clause
	kinds []probe.Kind
}

func (p placed) probe() probe.Clause {
	return probe.Clause{
		Kinds: p.kinds, Results: p.results, Values: p.values, Opens: p.opens, Paths: p.paths,
		Families: p.families, Protocols: p.protocols, Judged: p.guard != always,
	}
}

// clauses are those of all kinds, in the order of the kinds. A kind of which every call
// matters has none. Where there are too many, those of the kind that has most are made fewer.
func (d *derivation) clauses() []placed {
	for {
		all := d.place()
		if len(all) <= probe.MaxClauses {
			return all
		}
		d.widenMost()
	}
}

// widenMost makes the clauses of the kind that has most one fewer, the last one everything.
func (d *derivation) widenMost() {
	most := slices.MaxFunc(d.conditions, func(a, b kindCondition) int {
		return cmp.Compare(a.clauses(), b.clauses())
	})
	for i := range d.conditions {
		c := &d.conditions[i]
		switch {
		case c.clauses() < most.clauses():
			continue
		case len(c.condition) == 1:
			c.condition = everything
		default:
			c.condition = d.fit(c.condition, len(c.condition)-1)
		}
		return
	}
}

// clauses is how many clauses the kernel is told of the kind.
func (c kindCondition) clauses() int {
	if c.condition.isEverything() {
		return 0
	}
	return len(c.condition)
}

// place gives each distinct clause its kinds.
func (d *derivation) place() []placed {
	var all []placed
	for _, kc := range d.conditions {
		if kc.condition.isEverything() {
			continue
		}
		for _, c := range kc.condition {
			i := slices.IndexFunc(all, func(p placed) bool { return d.implies(p.clause, c) && d.implies(c, p.clause) })
			if i < 0 {
				i = len(all)
				all = append(all, placed{clause: c})
			}
			if !slices.Contains(all[i].kinds, kc.kind) {
				all[i].kinds = append(all[i].kinds, kc.kind)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.kinds[0], b.kinds[0]), cmp.Compare(bits.OnesCount8(uint8(a.opens)), bits.OnesCount8(uint8(b.opens))))
	})
	return all
}

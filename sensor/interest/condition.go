package interest

import (
	"slices"

	"github.com/saker-security/saker/sensor/probe"
)

// clause is a probe.Clause in the making: what all of its members say of a call is so. Its
// slices and sets are never changed.
type clause struct {
	results   probe.Results
	values    []int64 // sorted; nil for every value
	opens     probe.OpenClass
	paths     *probe.Paths
	families  uint64
	protocols probe.Protocols
	// ends says whether the fields know the two ends of the call's socket. The kernel does
	// not; it serves to find what cannot be.
	ends  ends
	guard guard
}

// ends is a fact about a socket.
type ends uint8

const (
	endsUnknown ends = 0
	endsKnown   ends = 1
	endsMissing ends = 2
)

// condition is a disjunction of clauses; one of none is never true.
type condition []clause

// everything is the condition that every call satisfies.
var everything = condition{{}}

func (c condition) isEverything() bool { return len(c) == 1 && c[0].isZero() }

func (c clause) isZero() bool {
	return c.results == 0 && c.values == nil && c.opens == 0 && c.paths == nil && c.families == 0 &&
		c.protocols == 0 && c.ends == endsUnknown && c.guard == always
}

// maxClauses is how many clauses a condition has at most while it is derived.
const maxClauses = 24

// maxProduct is how many clauses a conjunction is multiplied out to.
const maxProduct = 128

// algebra combines conditions.
type algebra struct{ *guards }

// any is the union of conditions.
func (a algebra) any(conditions []condition) condition {
	var out condition
	for _, c := range conditions {
		out = append(out, c...)
	}
	return a.fit(out, maxClauses)
}

// all is a condition that holds at least where all conditions do.
func (a algebra) all(conditions []condition) condition {
	out := everything
	for _, c := range conditions {
		if len(out)*len(c) > maxProduct {
			out, c = a.fit(out, maxProduct/8), a.fit(c, 8)
		}
		var product condition
		for _, x := range out {
			for _, y := range c {
				if z, ok := a.both(x, y); ok {
					product = append(product, z)
				}
			}
		}
		out = a.fit(product, maxClauses)
	}
	return out
}

// both is a clause that holds at least where x and y do; false if that cannot be.
func (a algebra) both(x, y clause) (clause, bool) {
	z := clause{paths: intersect(x.paths, y.paths), guard: a.guards.all(x.guard, y.guard)}
	ok := true
	z.results = narrowed(x.results, y.results, &ok)
	z.families = narrowed(x.families, y.families, &ok)
	z.protocols = narrowed(x.protocols, y.protocols, &ok)
	z.ends = narrowed(x.ends, y.ends, &ok)
	if z.paths != nil && size(z.paths) == 0 {
		ok = false
	}
	z.opens = stricter(x.opens, y.opens)
	switch {
	case x.values == nil:
		z.values = y.values
	case y.values == nil:
		z.values = x.values
	default:
		z.values = slices.DeleteFunc(slices.Clone(x.values), func(v int64) bool { return !slices.Contains(y.values, v) })
	}
	if z.values != nil {
		z.values = slices.DeleteFunc(slices.Clone(z.values), func(v int64) bool { return !isResult(z.results, v) })
		z.results = 0 // the values say it
		ok = ok && len(z.values) > 0
	}
	return z, ok
}

// isResult says that a call with one of the results may return v.
func isResult(r probe.Results, v int64) bool {
	return r == 0 || r&probe.Succeeded != 0 && v >= 0 || r&probe.Failed != 0 && v < 0
}

// narrowed is the intersection of two sets of bits of which zero is the whole; ok becomes
// false if they have nothing in common.
func narrowed[T ~uint8 | ~uint64](x, y T, ok *bool) T {
	switch {
	case x == 0:
		return y
	case y == 0:
		return x
	case x&y == 0:
		*ok = false
	}
	return x & y
}

// stricter picks one of two sets of classes: an open that asks for one of either set need not
// ask for one that is in both.
func stricter(x, y probe.OpenClass) probe.OpenClass {
	switch {
	case x == 0:
		return y
	case y == 0:
		return x
	case openShare(y) < openShare(x):
		return y
	}
	return x
}

func openShare(c probe.OpenClass) float64 {
	share := 0.0
	for _, s := range [...]struct {
		class probe.OpenClass
		share float64
	}{{probe.OpenReading, 0.85}, {probe.OpenWriting, 0.2}, {probe.OpenCreating, 0.1}} {
		if c&s.class != 0 {
			share += s.share
		}
	}
	return share
}

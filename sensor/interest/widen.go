package interest

import (
	"math"
	"math/bits"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// fit simplifies a condition, then widens it until it has at most limit clauses: those that
// cost least to make one are made one.
func (a algebra) fit(c condition, limit int) condition {
	c = a.simplify(c)
	for len(c) > limit {
		breadths := make([]float64, len(c))
		for i := range c {
			breadths[i] = breadth(c[i].paths)
		}
		first, second, least := 0, 1, math.Inf(1)
		for i := range c {
			own := c[i].share(breadths[i])
			for j := range i {
				// What both let through counts as if nothing of the paths were in common.
				extra := a.bits(c[i], c[j]).share(min(breadths[i]+breadths[j], 1)) - max(own, c[j].share(breadths[j]))
				if extra < least {
					first, second, least = j, i, extra
				}
			}
		}
		merged := a.widened(c[first], c[second])
		c = slices.Delete(slices.Clone(c), second, second+1)
		c = a.add(slices.Delete(c, first, first+1), merged)
	}
	return c
}

// simplify drops clauses that another one implies and makes one of two that differ in one
// thing only.
func (a algebra) simplify(c condition) condition {
	out := make(condition, 0, len(c))
	for _, x := range c {
		out = a.add(out, x)
	}
	return out
}

// add adds x to a simplified condition.
func (a algebra) add(c condition, x clause) condition {
	for {
		merged := false
		for i, y := range c {
			if a.implies(x, y) {
				return c
			}
			if z, ok := a.merge(x, y); ok {
				c = slices.Delete(c, i, i+1)
				x, merged = z, true
				break
			}
		}
		if !merged {
			break
		}
	}
	c = slices.DeleteFunc(c, func(y clause) bool { return a.implies(y, x) })
	return append(c, x)
}

// implies says that every call that satisfies x satisfies y.
func (a algebra) implies(x, y clause) bool {
	return outcomeWithin(x, y) && within(x.opens, y.opens) && within(x.families, y.families) &&
		within(x.protocols, y.protocols) && within(x.ends, y.ends) && a.guards.implies(x.guard, y.guard) &&
		subset(x.paths, y.paths)
}

func within[T ~uint8 | ~uint64](x, y T) bool { return y == 0 || x != 0 && x&^y == 0 }

func outcomeWithin(x, y clause) bool {
	switch {
	case y.values != nil:
		return x.values != nil && !slices.ContainsFunc(x.values, func(v int64) bool { return !slices.Contains(y.values, v) })
	case y.results == 0:
		return true
	case x.values != nil:
		return !slices.ContainsFunc(x.values, func(v int64) bool { return !isResult(y.results, v) })
	}
	return within(x.results, y.results)
}

// merge returns the union of two clauses; false if that is no clause.
func (a algebra) merge(x, y clause) (clause, bool) {
	differences := 0
	for _, same := range [...]bool{
		x.results == y.results && slices.Equal(x.values, y.values),
		x.opens == y.opens, x.families == y.families, x.protocols == y.protocols, x.ends == y.ends, x.guard == y.guard,
		samePaths(x.paths, y.paths),
	} {
		if !same {
			differences++
		}
	}
	// The union of results with values is no clause, nor that of too many values.
	if differences > 1 || (x.values == nil) != (y.values == nil) || len(x.values)+len(y.values) > maxValues && differences == 1 && !slices.Equal(x.values, y.values) {
		return x, false
	}
	return a.widened(x, y), true
}

// maxValues is how many values a probe.Clause may have.
const maxValues = 8

// widened is a clause that holds where x or y does.
func (a algebra) widened(x, y clause) clause {
	z := a.bits(x, y)
	z.paths, z.guard = union(x.paths, y.paths), a.guards.any(x.guard, y.guard)
	if len(x.values) > 0 && len(y.values) > 0 {
		values := slices.Concat(x.values, y.values)
		slices.Sort(values)
		if values = slices.Compact(values); len(values) <= maxValues {
			z.values, z.results = values, 0
		}
	}
	return z
}

// bits is widened without what takes time: the values count as what they are results of, the
// guard as one, the paths as all.
func (a algebra) bits(x, y clause) clause {
	z := clause{
		opens: joined(x.opens, y.opens), families: joined(x.families, y.families),
		protocols: joined(x.protocols, y.protocols), ends: joined(x.ends, y.ends),
		results: joined(x.outcomes(), y.outcomes()),
	}
	if z.opens&(probe.OpenReading|probe.OpenWriting) == probe.OpenReading|probe.OpenWriting {
		z.opens = 0 // every open is for one of the two
	}
	if z.ends == endsKnown|endsMissing {
		z.ends = endsUnknown
	}
	if z.results == probe.Succeeded|probe.Failed {
		z.results = 0
	}
	if x.guard != always && y.guard != always {
		z.guard = max(x.guard, y.guard)
	}
	return z
}

// outcomes are the results that the clause's values or results are of.
func (c clause) outcomes() probe.Results {
	r := c.results
	for _, v := range c.values {
		if v >= 0 {
			r |= probe.Succeeded
		} else {
			r |= probe.Failed
		}
	}
	return r
}

// joined is the union of two sets of bits of which zero is the whole.
func joined[T ~uint8 | ~uint64](x, y T) T {
	if x == 0 || y == 0 {
		return 0
	}
	return x | y
}

// share guesses how large a share of the calls of a kind satisfies the clause, given that of
// its paths.
func (c clause) share(s float64) float64 {
	switch {
	case c.values != nil:
		s *= 0.05 * float64(len(c.values))
	case c.results == probe.Succeeded:
		s *= 0.8
	case c.results == probe.Failed:
		s *= 0.2
	}
	if c.opens != 0 {
		s *= min(1, openShare(c.opens))
	}
	if c.families != 0 {
		s *= min(1, 0.3*float64(bits.OnesCount64(c.families)))
	}
	if c.protocols != 0 {
		s *= 0.4 * float64(bits.OnesCount8(uint8(c.protocols)))
	}
	if c.guard != always {
		s *= 0.5
	}
	return s
}

// connected takes out of a condition on connects what the probe keeps anyway: one that is in
// progress is both a success and a failure for it.
func (a algebra) connected(c condition) condition {
	out := slices.Clone(c)
	for i := range out {
		if slices.Contains(out[i].values, -int64(unix.EINPROGRESS)) && len(out[i].values) == 1 {
			out[i].values, out[i].results = nil, probe.Succeeded
			if slices.ContainsFunc(c, func(x clause) bool { return a.implies(out[i], x) }) {
				continue
			}
			out[i] = c[i]
		}
	}
	return a.simplify(out)
}

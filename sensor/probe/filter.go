package probe

import (
	"fmt"
	"slices"
)

const (
	maxClauseValues = 8
	maxValues       = len(bpfClauses{}.Values)
	maxFamilies     = len(bpfClauses{}.Families)
)

// everyClause are the bits of all clauses, whether there are so many or not.
const everyClause = ^uint64(0)

// clauses is what the programs are told of the clauses.
func (i Interest) clauses() (bpfClauses, error) {
	c := bpfClauses{Succeeded: everyClause, Failed: everyClause, NoSocket: everyClause}
	for _, list := range [][]uint64{c.Opens[:], c.Families[:], c.Protocols[:]} {
		for n := range list {
			list[n] = everyClause
		}
	}
	if len(i.Clauses) > MaxClauses {
		return c, fmt.Errorf("%d clauses are more than the %d that the kernel can tell apart", len(i.Clauses), MaxClauses)
	}
	for n, clause := range i.Clauses {
		if err := clause.check(); err != nil {
			return c, fmt.Errorf("clause %d: %w", n, err)
		}
		c.add(clause, 1<<n)
	}
	return c, nil
}

func (c Clause) check() error {
	if len(c.Kinds) == 0 {
		return fmt.Errorf("it is about no kind")
	}
	for _, k := range c.Kinds {
		if k == KindUnknown || k >= kindCount {
			return fmt.Errorf("kind of record %d is not known", k)
		}
	}
	if len(c.Values) > maxClauseValues {
		return fmt.Errorf("%d returned values are more than %d", len(c.Values), maxClauseValues)
	}
	return nil
}

// add takes the clause's bit out of everything that the clause rules out.
func (c *bpfClauses) add(clause Clause, bit uint64) {
	drop := func(from *uint64, rule bool) {
		if rule {
			*from &^= bit
		}
	}
	drop(&c.Succeeded, clause.Results == Failed)
	drop(&c.Failed, clause.Results == Succeeded)
	for classes := range c.Opens {
		drop(&c.Opens[classes], clause.Opens != 0 && clause.Opens&OpenClass(classes) == 0)
	}
	for f := range c.Families {
		drop(&c.Families[f], clause.Families != 0 && clause.Families>>f&1 == 0)
	}
	drop(&c.NoSocket, clause.Families != 0 || clause.Protocols != 0)
	for protocol, member := range map[bpfProtocol]Protocols{
		bpfProtocolPROTOCOL_TCP: TCP, bpfProtocolPROTOCOL_UDP: UDP,
		bpfProtocolPROTOCOL_OTHER: OtherProtocol, bpfProtocolPROTOCOL_NONE: 0,
	} {
		drop(&c.Protocols[protocol], clause.Protocols != 0 && clause.Protocols&member == 0)
	}
	if clause.Judged {
		c.Judged |= bit
	}
	if clause.narrowsPaths() {
		c.Pathed |= bit
	}
	c.addValues(clause.Values, bit)
}

// addValues notes the values that a clause is about. Where there is no room for them it
// counts as holding for all.
func (c *bpfClauses) addValues(values []int64, bit uint64) {
	if len(values) == 0 {
		return
	}
	list := slices.Clone(c.Values[:c.ValueCount])
	for _, v := range values {
		at := slices.IndexFunc(list, func(known bpfValue) bool { return known.Value == v })
		if at < 0 {
			at = len(list)
			list = append(list, bpfValue{Value: v})
		}
		list[at].Clauses |= bit
	}
	if len(list) > maxValues {
		return
	}
	copy(c.Values[:], list)
	c.ValueCount = uint64(len(list))
	c.Valued |= bit
}

// narrowsPaths says whether the clause rules out any path.
func (c Clause) narrowsPaths() bool {
	p := c.Paths
	return p != nil && !slices.Contains(p.Prefixes, "") && !slices.Contains(p.Suffixes, "") && !slices.Contains(p.Parts, "")
}

// automaton recognises the paths of the clauses.
func (i Interest) automaton() *automaton {
	sets := make([]*Paths, len(i.Clauses))
	for n, c := range i.Clauses {
		if c.narrowsPaths() {
			sets[n] = c.Paths
		}
	}
	return newAutomaton(sets)
}

// clausesOf are the clauses that are about a kind.
func (i Interest) clausesOf(k Kind) uint64 {
	var clauses uint64
	for n, c := range i.Clauses {
		if slices.Contains(c.Kinds, k) {
			clauses |= 1 << n
		}
	}
	return clauses
}

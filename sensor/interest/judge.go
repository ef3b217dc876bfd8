package interest

import (
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// Judge tells which clauses cannot hold for a process, whatever it does before it executes
// another program. It is used from one goroutine.
//
// The sensor asks it about the process of an event that led to no alert, once for each
// program that the process executes, and tells the probe (probe.Probe.Judge), which from then
// on drops calls that only these clauses would keep.
type Judge struct {
	// nodes are the guards that the clauses need, children before parents; holds is what
	// they are for the process that is being judged.
	nodes []guardNode
	holds []bool
	// clauses are the places in the Interest of the clauses that have a guard, with the
	// guard's place in nodes.
	clauses []judgedClause
	kinds   []bool
}

type judgedClause struct {
	bit  uint64
	node int
}

// newJudge keeps of the guards those that the clauses refer to.
func newJudge(g *guards, clauses []placed) *Judge {
	j := &Judge{}
	places := make(map[guard]int)
	var keep func(id guard) int
	keep = func(id guard) int {
		if at, ok := places[id]; ok {
			return at
		}
		n := g.nodes[id]
		children := n.children
		n.children = make([]guard, len(children))
		for i, c := range children {
			n.children[i] = guard(keep(c))
		}
		places[id] = len(j.nodes)
		j.nodes = append(j.nodes, n)
		return places[id]
	}
	for i, c := range clauses {
		if c.guard == always {
			continue
		}
		j.clauses = append(j.clauses, judgedClause{1 << i, keep(c.guard)})
		for _, k := range c.kinds {
			for int(k) >= len(j.kinds) {
				j.kinds = append(j.kinds, false)
			}
			j.kinds[k] = true
		}
	}
	j.holds = make([]bool, len(j.nodes))
	return j
}

// Concerns says that a verdict about the process can spare later events of this kind.
func (j *Judge) Concerns(k probe.Kind) bool { return int(k) < len(j.kinds) && j.kinds[k] }

// Cannot returns the clauses that cannot hold for the process of ev, as bits by their places
// in the Interest: the mask that probe.Probe.Judge takes. It is 0 for a process whose program
// is not known. It does not allocate, and takes as long as a few dozen comparisons.
func (j *Judge) Cannot(ev *syscalls.Event) uint64 {
	if !ev.Proc.Image.Known || ev.Proc.Exited() {
		return 0
	}
	for i := range j.nodes {
		n := &j.nodes[i]
		switch n.kind {
		case guardCompare:
			j.holds[i] = n.comparison.Holds(n.comparison.Value(ev)) == n.result
		case guardAll:
			j.holds[i] = true
			for _, c := range n.children {
				j.holds[i] = j.holds[i] && j.holds[c]
			}
		default:
			j.holds[i] = false
			for _, c := range n.children {
				j.holds[i] = j.holds[i] || j.holds[c]
			}
		}
	}
	var cannot uint64
	for _, c := range j.clauses {
		if !j.holds[c.node] {
			cannot |= c.bit
		}
	}
	return cannot
}

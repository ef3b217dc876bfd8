package process

import "iter"

// maxDepth bounds a walk towards the root, so that a loop of ids that were used again does
// not catch it. Real trees are at most a few dozen deep.
const maxDepth = 256

// Parent returns the parent of p, nil if there is none or it is not known.
//
// A process whose parent has ended has been given another one by the kernel, usually the
// first process of its pid namespace: that one is its parent from then on, as in Falco.
// While the process itself is gone too, the parent that ended stands in for its grace.
func (t *Table) Parent(p *Process) *Process {
	if p.PPID <= 0 {
		return nil
	}
	parent := t.procs[p.PPID]
	if parent != nil && parent.exited == 0 && !parent.younger(p) {
		return parent
	}
	if p.exited == 0 && !p.partial {
		if adopted := t.adopt(p); adopted != nil {
			return adopted
		}
	}
	if parent != nil && parent.younger(p) {
		return nil
	}
	return parent
}

// younger says that p cannot be the parent of child: its id was used again.
func (p *Process) younger(child *Process) bool {
	return child.StartTime != 0 && p.StartTime > child.StartTime+clockSlack
}

// adopt asks /proc for the present parent of p and remembers it.
func (t *Table) adopt(p *Process) *Process {
	if t.restored {
		return t.first(p)
	}
	if t.now < p.retryAt || !t.spend() {
		return nil
	}
	ppid, err := t.fs.ppid(p.PID)
	if err != nil || ppid <= 0 {
		p.retryAt = t.now + retryAfter
		return nil
	}
	p.PPID = ppid
	parent := t.procs[ppid]
	if parent == nil {
		parent = t.heal(ppid)
	}
	if parent == nil || parent.exited != 0 || parent.younger(p) {
		p.retryAt = t.now + retryAfter
		return nil
	}
	return parent
}

// Ancestor returns the n-th ancestor of p: 0 is p itself, 1 its parent. It is nil where the
// chain is shorter.
func (t *Table) Ancestor(p *Process, n int) *Process {
	if n < 0 || n > maxDepth {
		return nil
	}
	for ; n > 0 && p != nil; n-- {
		p = t.Parent(p)
	}
	return p
}

// Ancestors yields the ancestors of p from its parent upwards, at most 256.
func (t *Table) Ancestors(p *Process) iter.Seq[*Process] {
	return func(yield func(*Process) bool) {
		for range maxDepth {
			p = t.Parent(p)
			if p == nil || !yield(p) {
				return
			}
		}
	}
}

// SessionLeader returns the leader of p's session, and GroupLeader that of its process
// group. In a pid namespace, whose ids do not tell the leader's in the table, it is the
// eldest of the ancestors that follow one another with the same session or group. Either
// is nil if it is not known.
func (t *Table) SessionLeader(p *Process) *Process {
	return t.leader(p, p.SID, func(q *Process) int32 { return q.VSID })
}

// GroupLeader is described at SessionLeader.
func (t *Table) GroupLeader(p *Process) *Process {
	return t.leader(p, p.PGID, func(q *Process) int32 { return q.VPGID })
}

func (t *Table) leader(p *Process, id int32, virtual func(*Process) int32) *Process {
	if id > 0 {
		if q := t.procs[id]; q != nil && !q.younger(p) {
			return q
		}
	}
	if p.HostPidns || p.partial {
		return nil
	}
	eldest := p
	for q := range t.Ancestors(p) {
		if virtual(q) != virtual(p) || q.HostPidns || q.Container != p.Container {
			break
		}
		eldest = q
	}
	return eldest
}

package process_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/process"
)

// lineage is the names of p's ancestors, the parent first.
func lineage(table *process.Table, p *process.Process) string {
	var names []string
	for a := range table.Ancestors(p) {
		names = append(names, a.Comm)
	}
	return strings.Join(names, " ")
}

func TestAncestors(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 1, 0, "/sbin/systemd"))
	table.Apply(exec(boot+second, 10, 1, "/usr/sbin/sshd"))
	table.Apply(fork(boot+2*second, 10, 11))
	table.Apply(exec(boot+2*second, 11, 10, "/bin/bash"))
	p := table.Apply(exec(boot+3*second, 12, 11, "/bin/cat"))
	check(t, "ancestors", lineage(table, p), "bash sshd systemd")
	check(t, "itself", table.Ancestor(p, 0).Comm, "cat")
	check(t, "the second", table.Ancestor(p, 2).Comm, "sshd")
	if a := table.Ancestor(p, 4); a != nil {
		t.Errorf("the fourth is %q", a.Comm)
	}
	if a := table.Ancestor(p, -1); a != nil {
		t.Errorf("the one before is %q", a.Comm)
	}
}

func TestALoopOfIdsEndsTheWalk(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 11, "/bin/a"))
	p := table.Apply(exec(boot, 11, 10, "/bin/b"))
	n := 0
	for range table.Ancestors(p) {
		n++
	}
	if n == 0 || n > 256 {
		t.Errorf("%d ancestors", n)
	}
	if a := table.Ancestor(p, 1<<30); a != nil {
		t.Errorf("found %q", a.Comm)
	}
}

func TestAnOrphanHasTheParentThatAdoptedIt(t *testing.T) {
	table, f := newTable(t, process.Options{Grace: 5 * time.Second})
	table.Apply(exec(boot, 1, 0, "/sbin/systemd"))
	table.Apply(exec(boot, 10, 1, "/bin/sh"))
	p := table.Apply(exec(boot, 11, 10, "/bin/evil"))
	check(t, "parent", table.Parent(p).Comm, "sh")

	f.add(proc{pid: 11, ppid: 1, comm: "evil"})
	table.Apply(exit(boot+second, 10))
	check(t, "parent after the first one's end", table.Parent(p).Comm, "systemd")
	check(t, "PPID", p.PPID, 1)
}

func TestTheParentThatEndedStandsInForAChildThatIsGone(t *testing.T) {
	table, _ := newTable(t, process.Options{Grace: 5 * time.Second})
	table.Apply(exec(boot, 10, 1, "/bin/sh"))
	p := table.Apply(exec(boot, 11, 10, "/bin/evil"))
	table.Apply(exit(boot+second, 10))
	check(t, "parent", table.Parent(p).Comm, "sh")
}

func TestAParentThatWasDroppedIsReadAgain(t *testing.T) {
	table, f := newTable(t, process.Options{})
	f.add(proc{pid: 10, ppid: 1, comm: "cron", argv: []string{"cron"}})
	f.add(proc{pid: 11, ppid: 10, comm: "job"})
	p := table.Apply(exec(boot+second, 11, 10, "/bin/job"))
	check(t, "parent", table.Parent(p).Comm, "cron")
}

func TestAYoungerProcessIsNoParent(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(fork(boot+second, 10, 11))
	child := table.Apply(exec(boot+second, 11, 10, "/bin/job"))
	table.Apply(exit(boot+second, 10))
	table.Apply(fork(boot+60*second, 1, 10))
	if p := table.Parent(child); p != nil {
		t.Errorf("the parent is %q, which was forked later", p.Comm)
	}
}

func TestLeaders(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	p := exec(boot, 12, 10, "/bin/cat")
	p.Exec.SID, p.Exec.VSID, p.Exec.PGID, p.Exec.VPGID = 10, 10, 11, 11
	cat := table.Apply(p)
	check(t, "session", table.SessionLeader(cat).Comm, "bash")
	if g := table.GroupLeader(cat); g != nil {
		t.Errorf("the group's leader is %q, which is not known", g.Comm)
	}

	// In a container without ids of the host the eldest with the same session counts.
	shim := table.Apply(exec(boot, 20, 1, "/bin/shim"))
	check(t, "shim", shim.Comm, "shim")
	for _, c := range []struct {
		pid, ppid int32
		name      string
	}{{21, 20, "/bin/sh"}, {22, 21, "/bin/make"}, {23, 22, "/bin/cc"}} {
		rec := exec(boot, c.pid, c.ppid, c.name)
		rec.Exec.HostPidns, rec.Exec.Cgroup, rec.Exec.VSID = false, "/lxc/web", 1
		table.Apply(rec)
	}
	check(t, "session in a container", table.SessionLeader(table.Lookup(23)).Comm, "sh")
}

func TestManyOrphansDoNotReadProcWithoutEnd(t *testing.T) {
	table, f := newTable(t, process.Options{HealRate: 3})
	table.Apply(exec(boot, 10, 1, "/bin/sh"))
	for pid := int32(20); pid < 40; pid++ {
		f.add(proc{pid: int(pid), ppid: 1, comm: "p"})
		table.Apply(exec(boot, pid, 10, "/bin/p"))
	}
	table.Apply(exit(boot, 10))
	for pid := int32(20); pid < 40; pid++ {
		if p := table.Parent(table.Lookup(pid)); p == nil {
			t.Fatalf("process %d has no parent", pid)
		}
	}
	if s := table.Stats(); s.HealRefused == 0 {
		t.Errorf("nothing was refused: %s", fmt.Sprint(s))
	}
}

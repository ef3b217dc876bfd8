package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

func TestSeedReadsWhatIsRunning(t *testing.T) {
	table, f := newTable(t, process.Options{Env: true})
	f.add(proc{pid: 1, comm: "systemd", argv: []string{"/sbin/init"}, start: 1})
	f.add(proc{pid: 2, comm: "kthreadd"})
	f.add(proc{
		pid: 20, ppid: 1, comm: "we) (ird", argv: []string{"nginx: worker", "", ""}, env: []string{"A=b"},
		exe: "/usr/sbin/nginx (deleted)", cwd: "/srv", cgroup: "/lxc/web", start: 250,
		status: "Uid:\t1000\t1001\t1000\t1000\nGid:\t50\t51\t50\t50\nNSpid:\t20\t1\nNSpgid:\t20\t1\nNSsid:\t20\t1\n",
	})
	f.add(proc{pid: 21, ppid: 20, comm: "worker", argv: []string{"w"}, exe: "/memfd:x (deleted)", cgroup: "/lxc/web", start: 350, status: "NSpid:\t21\t7\n"})
	f.write(f.root, "uptime", "not a process")
	if err := table.Seed(); err != nil {
		t.Fatal(err)
	}
	check(t, "Processes", table.Stats().Processes, 4)

	p := table.Lookup(20)
	check(t, "Comm", p.Comm, "we) (ird")
	check(t, "Exeline", p.Image.Exeline, "nginx: worker")
	check(t, "Path", p.Image.Path, "/usr/sbin/nginx")
	check(t, "Cwd", p.Cwd, "/srv/")
	check(t, "Container", p.Container.Short(), "web")
	check(t, "ids", fmt.Sprint(p.UID, p.GID, p.LoginUID, p.TTY, p.VPID, p.VPGID, p.VSID, p.HostPidns), "1001 51 1000 34816 1 1 1 false")
	check(t, "StartTime", p.StartTime, boot+2*second+second/2)
	env, _ := p.Image.Getenv("A")
	check(t, "A", env, "b")

	worker := table.Lookup(21)
	check(t, "memfd", fmt.Sprintf("%s %t", worker.Image.Path, worker.Image.FromMemfd), "memfd:x true")
	check(t, "PidnsStart", worker.PidnsStart, p.StartTime)

	kernel := table.Lookup(2)
	check(t, "a thread of the kernel", fmt.Sprintf("%q %q %q", kernel.Image.Exe, kernel.Cmdline(), kernel.Image.Path), `"" "kthreadd" ""`)
}

func TestSeedSaysThatProcCannotBeRead(t *testing.T) {
	table := process.NewTable(process.Options{Proc: filepath.Join(t.TempDir(), "none"), BootTime: boot})
	if err := table.Seed(); err == nil || !strings.Contains(err.Error(), "read the running processes") {
		t.Errorf("got %v", err)
	}
}

func TestAnUnknownProcessIsReadFromProc(t *testing.T) {
	table, f := newTable(t, process.Options{})
	f.add(proc{pid: 30, ppid: 1, comm: "sshd", argv: []string{"sshd", "-D"}, exe: "/usr/sbin/sshd"})
	p := table.Apply(event(boot+second, 30))
	check(t, "Cmdline", p.Cmdline(), "sshd -D")
	check(t, "Healed", table.Stats().Healed, 1)
	table.Apply(event(boot+second, 30))
	check(t, "Healed once more", table.Stats().Healed, 1)
}

func TestAProcessThatIsGoneIsKnownByItsRecord(t *testing.T) {
	table, f := newTable(t, process.Options{})
	p := table.Apply(event(boot+second, 30))
	check(t, "Comm", p.Comm, "ghost")
	check(t, "ids", fmt.Sprint(p.UID, p.GID), "7 8")
	check(t, "Known", p.Image.Known, false)

	f.add(proc{pid: 30, comm: "late", argv: []string{"late"}})
	check(t, "Comm at once", table.Apply(event(boot+second+1, 30)).Comm, "ghost")
	check(t, "Comm a second later", table.Apply(event(boot+2*second+1, 30)).Comm, "late")
}

func TestReadingProcIsRateLimited(t *testing.T) {
	table, f := newTable(t, process.Options{HealRate: 2})
	for pid := 30; pid < 36; pid++ {
		f.add(proc{pid: pid, comm: "p", argv: []string{"p"}})
	}
	for pid := int32(30); pid < 34; pid++ {
		table.Apply(event(boot, pid))
	}
	s := table.Stats()
	check(t, "healed and refused", fmt.Sprint(s.Healed, s.HealRefused), "2 2")
	check(t, "a refused one", table.Lookup(33).Comm, "ghost")
	table.Apply(event(boot+second, 34))
	check(t, "healed a second later", table.Stats().Healed, 3)
}

func TestSeedOfTheRealProc(t *testing.T) {
	table := process.NewTable(process.Options{})
	if err := table.Seed(); err != nil {
		t.Skip(err)
	}
	self := table.Lookup(int32(os.Getpid()))
	if self == nil {
		t.Fatal("the test's own process is not there")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "Path", self.Image.Path, exe)
	check(t, "UID", self.UID, uint32(os.Geteuid()))
	check(t, "PPID", self.PPID, int32(os.Getppid()))
	check(t, "arguments", self.Image.Nargs(), len(os.Args)-1)
	if age := time.Since(time.Unix(0, int64(self.StartTime))); age < 0 || age > time.Hour {
		t.Errorf("started %v ago", age)
	}
}

func TestAnExecNeedsNoLookInProc(t *testing.T) {
	table, f := newTable(t, process.Options{})
	f.add(proc{pid: 30, comm: "another", argv: []string{"another"}})
	check(t, "Comm", table.Apply(exec(boot, 30, 1, "/bin/cat")).Comm, "cat")
	ghost := table.Apply(&probe.Record{Kind: probe.KindProcexit, PID: 30000, Comm: "gone", Time: boot})
	check(t, "Comm of one that is gone", ghost.Comm, "gone")
	s := table.Stats()
	check(t, "healed and missed", fmt.Sprint(s.Healed, s.HealMissed), "0 0")
}

func TestEnvironmentsAreKeptOnlyWhenAsked(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	rec := exec(boot, 10, 1, "/bin/cat")
	rec.Exec.Env = []byte(block("A=b"))
	check(t, "environment", table.Apply(rec).Image.RawEnv(), "")
	table.KeepEnv(true)
	check(t, "environment when asked", table.Apply(rec).Image.RawEnv(), block("A=b"))
}

func TestDescriptorsAreReadFromProc(t *testing.T) {
	table, f := newTable(t, process.Options{HealRate: 3})
	p := table.Apply(exec(boot, 10, 1, "/bin/cat"))
	dir := filepath.Join(f.root, "10", "fd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	link, ok := table.Descriptor(p, 0)
	check(t, "descriptor 0", fmt.Sprintf("%s %t", link, ok), "/dev/null true")
	_, ok = table.Descriptor(p, 1)
	check(t, "descriptor 1", ok, false)
	n := 0
	for range table.Descriptors(p) {
		n++
	}
	check(t, "descriptors", n, 1)
	_, ok = table.Descriptor(p, 0)
	check(t, "one look too many", ok, false)
}

// A record with another exec's number than the one that the table knows tells that an exec was
// lost.
func TestAProcessWhoseExecWasLostIsReadFromProc(t *testing.T) {
	table, f := newTable(t, process.Options{})
	started := exec(boot+second, 30, 1, "/bin/sh")
	started.ExecID = 5
	table.Apply(started)
	same := event(boot+second, 30)
	same.ExecID = 5
	check(t, "Cmdline", table.Apply(same).Cmdline(), "sh")
	check(t, "Healed", table.Stats().Healed, 0)

	f.add(proc{pid: 30, ppid: 1, comm: "nc", argv: []string{"nc", "-l"}, exe: "/usr/bin/nc"})
	other := event(boot+2*second, 30)
	other.ExecID = 6
	p := table.Apply(other)
	check(t, "Cmdline", p.Cmdline(), "nc -l")
	check(t, "ExecID", p.ExecID, 6)
	table.Apply(other)
	check(t, "Healed", table.Stats().Healed, 1)
}

func TestARunningProcessTakesTheExecIDOfItsFirstRecord(t *testing.T) {
	table, f := newTable(t, process.Options{})
	f.add(proc{pid: 20, ppid: 1, comm: "nginx", argv: []string{"nginx"}})
	if err := table.Seed(); err != nil {
		t.Fatal(err)
	}
	first := event(boot+second, 20)
	first.ExecID = 9
	check(t, "ExecID", table.Apply(first).ExecID, 9)
	forked := fork(boot+second, 20, 21)
	forked.ExecID, forked.Fork.ExecID = 9, 9
	table.Apply(forked)
	child := event(boot+second, 21)
	child.ExecID = 9
	check(t, "the child's ExecID", table.Apply(child).ExecID, 9)
	check(t, "Healed", table.Stats().Healed, 0)
}

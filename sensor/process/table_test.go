package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

const second = uint64(time.Second)

// fakeProc is a folder in the form of /proc.
type fakeProc struct {
	t    *testing.T
	root string
}

func newFakeProc(t *testing.T) fakeProc { return fakeProc{t, t.TempDir()} }

// proc is one process of a fakeProc.
type proc struct {
	pid, ppid      int
	comm           string
	argv, env      []string
	exe, cwd       string
	cgroup, status string
	start          int // hundredths of a second after boot
}

func (f fakeProc) add(p proc) {
	f.t.Helper()
	dir := filepath.Join(f.root, fmt.Sprint(p.pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (%s) S %d %d %d 34816 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 123 4\n", p.pid, p.comm, p.ppid, p.pid, p.pid, p.start)
	f.write(dir, "stat", stat)
	if p.status == "" {
		p.status = "Name:\t" + p.comm + "\nUid:\t1000\t1001\t1000\t1000\nGid:\t50\t51\t50\t50\n"
	}
	f.write(dir, "status", p.status)
	f.write(dir, "cmdline", block(p.argv...))
	f.write(dir, "environ", block(p.env...))
	f.write(dir, "cgroup", "0::"+p.cgroup+"\n")
	f.write(dir, "loginuid", "1000")
	for name, target := range map[string]string{"exe": p.exe, "cwd": p.cwd} {
		if target == "" {
			continue
		}
		_ = os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f fakeProc) write(dir, name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// block ends every string with a NUL.
func block(ss ...string) string {
	var b strings.Builder
	for _, s := range ss {
		b.WriteString(s)
		b.WriteByte(0)
	}
	return b.String()
}

const boot = 1_700_000_000 * second

func newTable(t *testing.T, opt process.Options) (*process.Table, fakeProc) {
	t.Helper()
	f := newFakeProc(t)
	opt.Proc, opt.BootTime = f.root, boot
	return process.NewTable(opt), f
}

func fork(at uint64, parent, child int32) *probe.Record {
	return &probe.Record{Kind: probe.KindFork, Time: at, PID: parent, TID: parent, Comm: "sh", Fork: &probe.Fork{
		ChildPID: child, ChildTID: child, Comm: "sh",
		Facts: probe.Facts{PPID: parent, StartTime: at, VPID: child, VTID: child, HostPidns: true},
	}}
}

func exec(at uint64, pid, ppid int32, argv ...string) *probe.Record {
	comm := filepath.Base(argv[0])
	return &probe.Record{
		Kind: probe.KindExecve, Time: at, PID: pid, TID: pid, Comm: comm[:min(15, len(comm))],
		Path: argv[0], PathValid: true,
		Exec: &probe.Exec{
			Argv: []byte(block(argv...)), ExePath: "/usr/bin/" + comm, Cwd: "/root",
			Facts: probe.Facts{PPID: ppid, VPID: pid, HostPidns: true},
		},
	}
}

func exit(at uint64, pid int32) *probe.Record {
	return &probe.Record{Kind: probe.KindProcexit, Time: at, PID: pid, TID: pid}
}

func event(at uint64, pid int32) *probe.Record {
	return &probe.Record{Kind: probe.KindOpenat, Time: at, PID: pid, TID: pid, Comm: "ghost", UID: 7, GID: 8}
}

func TestAnExecGivesTheProcessItsProgram(t *testing.T) {
	table, _ := newTable(t, process.Options{Env: true})
	table.Apply(fork(boot+second, 1, 10))
	rec := exec(boot+2*second, 10, 1, "/bin/ls", "-l", "a b", "")
	rec.UID, rec.GID, rec.UpperLayer = 5, 6, true
	rec.Exec.Env = []byte(block("PATH=/bin", "EMPTY="))
	rec.Exec.Cgroup = "/system.slice/cron.service"
	rec.Exec.LoginUID, rec.Exec.TTY, rec.Exec.SID, rec.Exec.VSID = 1000, 34816, 3, 4
	rec.Exec.FromMemfd, rec.Exec.Inode = true, 99
	p := table.Apply(rec)

	check(t, "Comm", p.Comm, "ls")
	check(t, "Exe", p.Image.Exe, "/bin/ls")
	check(t, "Args", p.Image.Args(), "-l a b ")
	check(t, "Cmdline", p.Cmdline(), "ls -l a b ")
	check(t, "Exeline", p.Image.Exeline, "/bin/ls -l a b ")
	check(t, "Path", p.Image.Path, "/usr/bin/ls")
	check(t, "Nargs", p.Image.Nargs(), 3)
	check(t, "Argv", fmt.Sprintf("%q", slices.Collect(p.Image.Argv())), `["/bin/ls" "-l" "a b" ""]`)
	check(t, "Cwd", p.Cwd, "/root/")
	check(t, "Cgroup", p.Cgroup, "/system.slice/cron.service")
	check(t, "StartTime", p.StartTime, boot+second)
	check(t, "ExecTime", p.ExecTime, boot+2*second)
	check(t, "ids", fmt.Sprint(p.UID, p.GID, p.LoginUID, p.TTY, p.SID, p.VSID), "5 6 1000 34816 3 4")
	check(t, "layers", fmt.Sprint(p.Image.UpperLayer, p.Image.LowerLayer, p.Image.FromMemfd, p.Image.Inode), "true false true 99")
	path, ok := p.Image.Getenv("PATH")
	check(t, "PATH", fmt.Sprintf("%s %t", path, ok), "/bin true")
	empty, ok := p.Image.Getenv("EMPTY")
	check(t, "EMPTY", fmt.Sprintf("%s %t", empty, ok), " true")
	_, ok = p.Image.Getenv("PAT")
	check(t, "a variable of which only the beginning is asked for", ok, false)
	arg, ok := p.Image.Arg(1)
	check(t, "second argument", fmt.Sprintf("%s %t", arg, ok), "a b true")
	_, ok = p.Image.Arg(3)
	check(t, "an argument too many", ok, false)
}

func TestCommandLines(t *testing.T) {
	for _, c := range []struct {
		name, comm                  string
		argv                        string
		exe, args, cmdline, exeline string
		nargs                       int
	}{
		{"no arguments", "ls", block("ls"), "ls", "", "ls", "ls", 0},
		{"another name than the file's", "busybox", block("sh", "-c", "id"), "sh", "-c id", "busybox -c id", "sh -c id", 2},
		{"a login shell", "bash", block("-bash"), "-bash", "", "bash", "-bash", 0},
		{"a name that was cut", "a-very-long-nam", block("/x/a-very-long-name", "y"), "/x/a-very-long-name", "y", "a-very-long-nam y", "/x/a-very-long-name y", 1},
		{"an empty first argument", "pkexec", block(""), "", "", "pkexec", "", 0},
		{"an empty first argument and a second", "pkexec", block("", "x"), "", "x", "pkexec x", " x", 1},
		{"no arguments at all", "pkexec", "", "", "", "pkexec", "", 0},
		{"an argument that was cut", "cat", "cat\x00/etc/pas", "cat", "/etc/pas", "cat /etc/pas", "cat /etc/pas", 1},
		{"two empty arguments", "cat", block("cat", "", ""), "cat", " ", "cat  ", "cat  ", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, _ := newTable(t, process.Options{})
			rec := exec(boot, 10, 1, "x")
			rec.Comm, rec.Exec.Argv = c.comm, []byte(c.argv)
			p := table.Apply(rec)
			check(t, "Exe", p.Image.Exe, c.exe)
			check(t, "Args", p.Image.Args(), c.args)
			check(t, "Cmdline", p.Cmdline(), c.cmdline)
			check(t, "Exeline", p.Image.Exeline, c.exeline)
			check(t, "Nargs", p.Image.Nargs(), c.nargs)
		})
	}
}

func TestNothingOfARecordIsKept(t *testing.T) {
	table, _ := newTable(t, process.Options{Env: true})
	argv := []byte(block("/bin/cat", "/etc/shadow"))
	rec := exec(boot, 10, 1, "x")
	rec.Comm, rec.Exec.Argv = "cat", argv
	cgroup := []byte("/lxc/web")
	rec.Exec.Cgroup = string(cgroup)
	p := table.Apply(rec)
	for i := range argv {
		argv[i] = '!'
	}
	check(t, "Cmdline", p.Cmdline(), "cat /etc/shadow")
	check(t, "Container", p.Container.Short(), "web")
}

func TestAFailedExecChangesNothing(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	failed := exec(boot+second, 10, 1, "/bin/nothing")
	failed.Ret, failed.Comm = -2, "bash"
	check(t, "Cmdline", table.Apply(failed).Cmdline(), "bash")
}

func TestAChildSharesItsParentsProgram(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	parent := table.Apply(exec(boot, 10, 1, "/bin/bash", "-l"))
	rec := fork(boot+second, 10, 11)
	rec.Fork.Comm = "renamed"
	table.Apply(rec)
	child := table.Lookup(11)
	if child.Image != parent.Image {
		t.Error("the program was copied")
	}
	check(t, "Comm", child.Comm, "renamed")
	check(t, "Cmdline", child.Cmdline(), "renamed -l")
	check(t, "Cwd", child.Cwd, "/root/")
	check(t, "StartTime", child.StartTime, boot+second)

	table.Apply(exec(boot+2*second, 10, 1, "/bin/zsh"))
	check(t, "Exe after the parent's exec", child.Image.Exe, "/bin/bash")
}

func TestAThreadIsNoProcess(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	rec := fork(boot+second, 10, 10)
	rec.Fork.ChildTID = 11
	table.Apply(rec)
	if table.Lookup(11) != nil || table.Stats().Processes != 1 {
		t.Error("a thread was added")
	}
}

func TestTheWorkingDirectoryIsFollowed(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	for _, c := range []struct {
		name, want string
		rec        probe.Record
	}{
		{"as the kernel names it", "/srv/real/", probe.Record{Kind: probe.KindChdir, Path: "link", PathValid: true, File: probe.File{Path: "/srv/real"}}},
		{"relative", "/srv/a/", probe.Record{Kind: probe.KindChdir, Path: "../a", PathValid: true}},
		{"absolute", "/tmp/", probe.Record{Kind: probe.KindChdir, Path: "/tmp/", PathValid: true}},
		{"by descriptor", "/", probe.Record{Kind: probe.KindFchdir, File: probe.File{Path: "/"}}},
		{"not when it failed", "/", probe.Record{Kind: probe.KindChdir, Path: "/x", PathValid: true, Ret: -2}},
	} {
		c.rec.PID, c.rec.Time = 10, boot
		check(t, c.name, table.Apply(&c.rec).Cwd, c.want)
	}
}

func TestSetsidMakesASessionAtOnce(t *testing.T) {
	table, _ := newTable(t, process.Options{})
	rec := exec(boot, 10, 1, "/bin/bash")
	rec.Exec.SID, rec.Exec.VSID, rec.Exec.VPID = 3, 2, 5
	table.Apply(rec)
	p := table.Apply(&probe.Record{Kind: probe.KindSetsid, PID: 10, Time: boot, Ret: 5})
	check(t, "SID", p.SID, 10)
	check(t, "VSID", p.VSID, 5)
}

func TestTheTableKeepsToItsLimit(t *testing.T) {
	table, _ := newTable(t, process.Options{Limit: 3})
	for pid := int32(10); pid < 13; pid++ {
		table.Apply(exec(boot, pid, 1, "/bin/sleep"))
	}
	table.Apply(event(boot, 10))
	table.Apply(exec(boot, 13, 1, "/bin/sleep"))
	if table.Lookup(11) != nil || table.Lookup(10) == nil {
		t.Error("the one without a record for longest did not make room")
	}
	table.Apply(exit(boot, 13))
	table.Apply(exec(boot, 14, 1, "/bin/sleep"))
	if table.Lookup(13) != nil || table.Lookup(12) == nil {
		t.Error("the one that ended did not make room first")
	}
	s := table.Stats()
	check(t, "kept and evicted", fmt.Sprint(s.Processes, s.Evicted), "3 2")
}

func TestTheTableKeepsToItsBytes(t *testing.T) {
	table, _ := newTable(t, process.Options{Bytes: 20 << 10})
	long := strings.Repeat("x", 4000)
	for pid := int32(10); pid < 30; pid++ {
		table.Apply(exec(boot, pid, 1, "/bin/echo", long))
		if b := table.Stats().Bytes; b > 20<<10 {
			t.Fatalf("%d bytes kept", b)
		}
	}
	if table.Stats().Processes == 0 || table.Lookup(29) == nil {
		t.Error("the last one is not there")
	}
	for pid := int32(10); pid < 30; pid++ {
		table.Apply(exit(boot, pid))
	}
	table.Apply(event(boot+60*second, 1))
	check(t, "bytes after all have ended", table.Stats().Bytes, 0)
}

func TestAProcessThatEndedStaysForItsGrace(t *testing.T) {
	table, _ := newTable(t, process.Options{Grace: 5 * time.Second})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	table.Apply(exit(boot+second, 10))
	p := table.Apply(event(boot+5*second, 10))
	check(t, "Comm within the grace", p.Comm, "bash")
	check(t, "Exited", p.Exited(), true)
	check(t, "Comm after the grace", table.Apply(event(boot+6*second, 10)).Comm, "ghost")
}

func TestAnIdThatIsUsedAgainIsANewProcess(t *testing.T) {
	table, _ := newTable(t, process.Options{Grace: 5 * time.Second})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	table.Apply(exit(boot+second, 10))
	table.Apply(exec(boot+second, 20, 1, "/bin/zsh"))
	table.Apply(fork(boot+2*second, 20, 10))
	check(t, "Exe", table.Lookup(10).Image.Exe, "/bin/zsh")
	table.Apply(event(boot+20*second, 20))
	if table.Lookup(10) == nil {
		t.Error("the end of the first one took the second one away")
	}
}

func TestVTID(t *testing.T) {
	table, f := newTable(t, process.Options{})
	table.Apply(exec(boot, 10, 1, "/bin/bash"))
	vtid, ok := table.VTID(table.Lookup(10), 11)
	check(t, "on the host", fmt.Sprint(vtid, ok), "11 true")

	rec := exec(boot, 20, 1, "/bin/bash")
	rec.Exec.HostPidns, rec.Exec.VPID = false, 3
	p := table.Apply(rec)
	vtid, ok = table.VTID(p, 20)
	check(t, "first thread", fmt.Sprint(vtid, ok), "3 true")
	dir := filepath.Join(f.root, "20", "task", "21")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f.write(dir, "status", "NSpid:\t21\t4\n")
	vtid, ok = table.VTID(p, 21)
	check(t, "second thread", fmt.Sprint(vtid, ok), "4 true")
	_, ok = table.VTID(p, 22)
	check(t, "a thread that is gone", ok, false)
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func BenchmarkForkExecExit(b *testing.B) {
	table := process.NewTable(process.Options{Proc: b.TempDir(), BootTime: boot})
	table.Apply(exec(boot, 1, 0, "/sbin/init"))
	fork, exec, exit := fork(boot, 1, 10), exec(boot, 10, 1, "/usr/bin/grep", "-r", "--include=*.go", "pattern", "/usr/src"), exit(boot, 10)
	fork.Fork.Cgroup, exec.Exec.Cgroup = "/system.slice/cron.service", "/system.slice/cron.service"
	now := boot
	b.ReportAllocs()
	for b.Loop() {
		now += second / 1000
		fork.Time, exec.Time, exit.Time = now, now, now
		fork.Fork.StartTime = now
		table.Apply(fork)
		table.Apply(exec)
		table.Apply(exit)
	}
}

func BenchmarkApplyToAKnownProcess(b *testing.B) {
	table := process.NewTable(process.Options{Proc: b.TempDir(), BootTime: boot})
	for pid := int32(1); pid < 1000; pid++ {
		table.Apply(exec(boot, pid, 0, "/sbin/init"))
	}
	rec := event(boot, 1)
	b.ReportAllocs()
	for b.Loop() {
		rec.PID = rec.PID%999 + 1
		table.Apply(rec)
	}
}

package probe

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var nothing = action("nothing", func() error { return nil })

func TestAProcessIsForkedExecutedAndExits(t *testing.T) {
	before := uint64(time.Now().UnixNano())
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve}})
	dir := tempDir(t)
	records := w.run(t, nothing, dir, "SAKER_PROBE_VARIABLE=значение")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	r := only(t, records, KindExecve, anyRecord)
	e := r.Exec
	check(t, "Path", r.Path, self)
	check(t, "Dir of an absolute path", r.Dir, "")
	check(t, "Comm", r.Comm, "probe.test")
	check(t, "Argv", string(e.Argv), self+"\x00")
	check(t, "Env has the variable", bytes.Contains(e.Env, []byte("\x00SAKER_PROBE_VARIABLE=значение\x00")), true)
	check(t, "ExePath", e.ExePath, self)
	check(t, "Cwd", e.Cwd, dir)
	check(t, "Cgroup", e.Cgroup, ownCgroup(t))
	check(t, "PPID", e.PPID, int32(os.Getpid()))
	check(t, "LoginUID", e.LoginUID, number(t, "/proc/self/loginuid"))
	check(t, "SID", e.SID, int32(must(unix.Getsid(0))))
	check(t, "PGID", e.PGID, int32(unix.Getpgrp()))
	check(t, "VPID", e.VPID, r.PID)
	check(t, "VTID", e.VTID, r.TID)
	check(t, "HostPidns", e.HostPidns, true)
	check(t, "capabilities", r.CapEffective, ownCapabilities(t))
	check(t, "FromMemfd", e.FromMemfd, false)
	var st unix.Stat_t
	if err := unix.Stat(self, &st); err != nil {
		t.Fatal(err)
	}
	check(t, "Inode", e.Inode, st.Ino)
	check(t, "Mtime", int64(e.Mtime), st.Mtim.Nano())
	check(t, "Ctime", int64(e.Ctime), st.Ctim.Nano())
	after := uint64(time.Now().UnixNano())
	check(t, "time is present", before <= e.StartTime && e.StartTime <= r.Time && r.Time <= after, true)

	parent := w.sofar(int32(os.Getpid()))
	fork := only(t, parent, KindFork, func(f *Record) bool { return f.Fork.ChildPID == r.PID })
	check(t, "child's start", fork.Fork.StartTime, e.StartTime)
	check(t, "child's thread", fork.Fork.ChildTID, r.PID)
	check(t, "child's parent", fork.Fork.PPID, int32(os.Getpid()))
	check(t, "child's cgroup", fork.Fork.Cgroup, e.Cgroup)
	check(t, "child's name", fork.Fork.Comm, "probe.test")

	exit := only(t, records, KindProcexit, anyRecord)
	check(t, "exit status", exit.Args[0], 0)
}

// sofar returns the records of a process that may go on.
func (w *watch) sofar(pid int32) []*Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.records[pid]
}

func TestTheExitStatusIsThatOfWait(t *testing.T) {
	w := startWatch(t, Interest{})
	for script, want := range map[string]uint64{"exit 7": 7 << 8, "kill -9 $$": 9} {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		_ = cmd.Run()
		r := only(t, w.of(t, int32(cmd.Process.Pid)), KindProcexit, anyRecord)
		check(t, script, r.Args[0], want)
	}
}

func TestAnExecByARelativePathHasItsFolder(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve}})
	dir := tempDir(t)
	if err := os.Symlink("/bin/true", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/true", "with spaces", "", "end")
	cmd.Path, cmd.Dir = "./link", dir
	r := only(t, w.command(t, cmd), KindExecve, anyRecord)
	check(t, "Path", r.Path, "./link")
	check(t, "Dir", r.Dir, dir)
	check(t, "Comm", r.Comm, "link")
	check(t, "Argv", string(r.Exec.Argv), "/bin/true\x00with spaces\x00\x00end\x00")
	check(t, "ExePath", r.Exec.ExePath, must(filepath.EvalSymlinks("/bin/true")))
}

func TestArgumentsAndEnvironmentAreCutAt4096Bytes(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve}})
	long := strings.Repeat("a", 5000)
	cmd := exec.CommandContext(t.Context(), "/bin/true", long)
	cmd.Env = []string{"LONG=" + long}
	r := only(t, w.command(t, cmd), KindExecve, anyRecord)
	check(t, "Argv", string(r.Exec.Argv), ("/bin/true\x00" + long)[:4096])
	check(t, "Env", string(r.Exec.Env), ("LONG=" + long)[:4096])
}

var failedExecs = action("failed execs", func() error {
	env := []string{"A=1", "B=2"}
	_ = unix.Exec("missing", []string{"zero", "one", "two words"}, env)
	argv := must(syscall.SlicePtrFromStrings([]string{"x"}))
	_ = call1(unix.SYS_EXECVEAT, uintptr(openDir(".")), ptr("absent"), address(argv), 0, 0)
	return nil
})

func TestAFailedExecHasWhatWasAttempted(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve, KindExecveat}})
	dir := tempDir(t)
	records := w.run(t, failedExecs, dir)
	r := only(t, records, KindExecve, func(r *Record) bool { return r.Ret < 0 })
	check(t, "Ret", r.Ret, -int64(unix.ENOENT))
	check(t, "Path", r.Path, "missing")
	check(t, "Dir", r.Dir, dir)
	check(t, "Argv", string(r.Exec.Argv), "zero\x00one\x00two words\x00")
	check(t, "Env", string(r.Exec.Env), "A=1\x00B=2\x00")
	check(t, "ExePath", r.Exec.ExePath, "")
	at := only(t, records, KindExecveat, anyRecord)
	check(t, "execveat's Path", at.Path, "absent")
	check(t, "execveat's Dir", at.Dir, dir)
	check(t, "execveat's Argv", string(at.Exec.Argv), "x\x00")
}

var memfdExec = action("exec of a memfd", func() error {
	fd := must(unix.MemfdCreate("payload", 0))
	program := must(os.ReadFile("/bin/true"))
	if _, err := unix.Write(fd, program); err != nil {
		return err
	}
	argv := must(syscall.SlicePtrFromStrings([]string{"hidden"}))
	return call1(unix.SYS_EXECVEAT, uintptr(fd), ptr(""), address(argv), 0, unix.AT_EMPTY_PATH)
})

func TestAnExecFromAMemfdIsSeen(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve}})
	r := only(t, w.run(t, memfdExec, tempDir(t)), KindExecve, func(r *Record) bool { return r.Exec.FromMemfd })
	check(t, "ExePath", r.Exec.ExePath, "memfd:payload")
	check(t, "Argv", string(r.Exec.Argv), "hidden\x00")
	check(t, "Path begins /dev/fd/", strings.HasPrefix(r.Path, "/dev/fd/"), true)
}

var credentials = action("credentials", func() error {
	runtime.LockOSThread()
	return errors.Join(
		call1(unix.SYS_SETRESGID, 65533, 65533, 65533),
		call1(unix.SYS_SETUID, 65534),
	)
})

func TestACallHasTheCredentialsThatItLeaves(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindSetuid, KindSetresgid}})
	records := w.run(t, credentials, tempDir(t))
	r := only(t, records, KindSetuid, anyRecord)
	check(t, "argument", r.Args[0], 65534)
	check(t, "UID", r.UID, 65534)
	check(t, "GID", r.GID, 65533)
	check(t, "CapEffective", r.CapEffective, 0)
	group := only(t, records, KindSetresgid, anyRecord)
	check(t, "GID before setuid", group.GID, 65533)
	check(t, "capabilities before setuid", group.CapEffective, ownCapabilities(t))
}

var namespaces = action("namespaces", func() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWPID); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := errors.Join(unix.Mkdir("m", 0o700), unix.Mount("scratch", "m", "tmpfs", 0, "")); err != nil {
		return err
	}
	if _, err := unix.Open("m/inside", unix.O_CREAT, 0o600); err != nil {
		return err
	}
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
	if err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		return err
	}
	if err := unix.Setns(must(unix.Open("/proc/self/ns/uts", 0, 0)), unix.CLONE_NEWUTS); err != nil {
		return err
	}
	_ = call1(unix.SYS_PTRACE, unix.PTRACE_TRACEME)
	return errors.Join(unix.Unmount("m", unix.MNT_DETACH), unix.Chroot("."), nil)
})

func TestNamespacesAreSeenAndPathsCrossMounts(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{
		KindUnshare, KindMount, KindUmount2, KindSetns, KindPtrace, KindChroot, KindOpenat, KindExecve,
	}})
	dir := tempDir(t)
	records := w.run(t, namespaces, dir)
	unshare := only(t, records, KindUnshare, anyRecord)
	check(t, "unshare's flags", unshare.Args[0], unix.CLONE_NEWNS|unix.CLONE_NEWPID)
	mount := only(t, records, KindMount, pathIs("scratch"))
	check(t, "mount's target", mount.Path2, "m")
	check(t, "mount's folder", mount.Dir2, dir)
	check(t, "mount's type", string(mount.Data), "tmpfs")
	check(t, "mount's result", mount.Ret, 0)
	open := only(t, records, KindOpenat, pathIs("m/inside"))
	check(t, "path in a mount", open.File.Path, dir+"/m/inside")
	check(t, "umount's path", only(t, records, KindUmount2, anyRecord).Path, "m")
	setns := only(t, records, KindSetns, anyRecord)
	check(t, "setns' type", setns.Args[1], unix.CLONE_NEWUTS)
	check(t, "setns' descriptor", setns.File.Num, int32(setns.Args[0]))
	check(t, "ptrace's request", only(t, records, KindPtrace, anyRecord).Args[0], unix.PTRACE_TRACEME)
	check(t, "chroot's path", only(t, records, KindChroot, anyRecord).Path, ".")

	fork := only(t, records, KindFork, func(r *Record) bool { return !r.Fork.HostPidns })
	check(t, "pid in the new namespace", fork.Fork.VPID, 1)
	check(t, "namespace's start", fork.Fork.PidnsStart, fork.Fork.StartTime)
	inner := only(t, w.of(t, fork.Fork.ChildPID), KindExecve, anyRecord)
	check(t, "host's pid", inner.PID, fork.Fork.ChildPID)
	check(t, "own pid", inner.Exec.VPID, 1)
	check(t, "session outside the namespace", inner.Exec.VSID, 0)
}

var inContainer = action("in a new root", func() error {
	if err := errors.Join(unix.Chroot("."), unix.Chdir("/inner")); err != nil {
		return err
	}
	_, err := unix.Open("file", unix.O_CREAT, 0o600)
	return err
})

func TestPathsAreSeenFromTheProcessesRoot(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindOpenat, KindExecve}})
	root := tempDir(t)
	if err := os.MkdirAll(filepath.Join(root, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := only(t, w.run(t, inContainer, root), KindOpenat, pathIs("file"))
	check(t, "Dir", r.Dir, "/inner")
	check(t, "File.Path", r.File.Path, "/inner/file")
}

var overlay = action("overlay", func() error {
	runtime.LockOSThread()
	if err := errors.Join(
		unix.Unshare(unix.CLONE_NEWNS),
		unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work"),
	); err != nil {
		return err
	}
	for _, name := range []string{"merged/old", "merged/new"} {
		if _, err := unix.Open(name, unix.O_CREAT, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile("merged/dropped", must(os.ReadFile("/bin/true")), 0o700); err != nil {
		return err
	}
	return errors.Join(exec.Command("merged/shipped").Run(), exec.Command("merged/dropped").Run())
})

func TestLayersOfAnOverlayAreToldApart(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindOpenat, KindExecve}})
	dir := tempDir(t)
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"old": nil, "shipped": program} {
		if err := os.WriteFile(filepath.Join(dir, "lower", name), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	records := w.run(t, overlay, dir)
	layers := func(r *Record) [2]bool { return [2]bool{r.UpperLayer, r.LowerLayer} }
	upper, lower := [2]bool{true, false}, [2]bool{false, true}
	check(t, "file of the image", layers(only(t, records, KindOpenat, pathIs("merged/old"))), lower)
	check(t, "new file", layers(only(t, records, KindOpenat, pathIs("merged/new"))), upper)
	found := 0
	for _, fork := range records {
		if fork.Kind != KindFork {
			continue
		}
		for _, r := range w.of(t, fork.Fork.ChildPID) {
			switch {
			case r.Kind != KindExecve:
			case r.Exec.ExePath == dir+"/merged/shipped":
				check(t, "program of the image", layers(r), lower)
				found++
			case r.Exec.ExePath == dir+"/merged/dropped":
				check(t, "new program", layers(r), upper)
				found++
			}
		}
	}
	check(t, "programs seen", found, 2)
}

func ownCapabilities(t *testing.T) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	caps, err := effectiveCapabilities(string(status))
	if err != nil {
		t.Fatal(err)
	}
	return caps
}

// ownCgroup is the path of this process's cgroup: version 2, or the first of version 1
// that is not at its root, in the order of the controllers' hierarchies in the kernel.
func ownCgroup(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if parts[0] == "0" && parts[2] != "/" {
			return parts[2]
		}
		if parts[2] != "/" && !strings.HasPrefix(parts[1], "name=") {
			found = append(found, parts[2])
		}
	}
	if len(found) > 1 {
		t.Skip("the cgroups of several controllers differ")
	}
	if len(found) == 1 {
		return found[0]
	}
	return "/"
}

func number(t *testing.T, file string) uint32 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

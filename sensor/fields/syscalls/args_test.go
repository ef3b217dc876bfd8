package syscalls_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

func TestParameters(t *testing.T) {
	w := newWorld(t)
	w.Event(exec(20, 1, "/bin/victim"))
	path := func(k probe.Kind, p string) probe.Record { return probe.Record{Kind: k, Path: p, PathValid: true} }
	with := func(r probe.Record, change func(*probe.Record)) *probe.Record {
		change(&r)
		return &r
	}
	args := func(k probe.Kind, a ...uint64) *probe.Record {
		r := &probe.Record{Kind: k}
		copy(r.Args[:], a)
		return r
	}
	for _, c := range []struct {
		name string
		rec  *probe.Record
		want want
	}{
		{"chmod", with(path(probe.KindChmod, "/x"), func(r *probe.Record) { r.Mode = 0o4755 }), want{
			"evt.arg.filename", `"/x"`, "evt.arg.mode", `"S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"`,
			"evt.args", `"res=0 filename=/x mode=04755(S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID)"`, "fs.path.name", `"/x"`,
		}},
		{"chmod to nothing", with(path(probe.KindChmod, "/x"), func(r *probe.Record) { r.Mode = 0 }), want{"evt.arg.mode", `"0"`}},
		{"fchmod", with(path(probe.KindFchmod, ""), func(r *probe.Record) {
			r.Mode, r.File, r.Args[0] = unix.S_ISUID, probe.File{Kind: probe.FileRegular, Path: "/x"}, 3
		}), want{"evt.arg.fd", `"<f>/x"`, "evt.arg.mode", `"S_ISUID"`, "fs.path.name", `"/x"`, "fd.name", `"/x"`}},
		{"mkdir", with(path(probe.KindMkdir, "/x"), func(r *probe.Record) { r.Mode = 0o755 }), want{"evt.arg.path", `"/x"`, "evt.arg.mode", `"1ED"`}},
		{"mkdirat", with(path(probe.KindMkdirat, "/x"), func(r *probe.Record) { r.Mode, r.Args[0] = 0o777, atFDCWD }), want{"evt.arg.mode", `"1FF"`, "evt.arg.dirfd", `"AT_FDCWD"`}},
		{"chown", with(path(probe.KindChown, "/x"), func(r *probe.Record) { r.Args[1], r.Args[2] = 33, 50 }), want{"evt.arg.uid", `"33"`, "evt.arg.gid", `"50"`}},
		{"ptrace attach", args(probe.KindPtrace, 16, 20), want{
			"evt.arg.request", `"PTRACE_ATTACH"`, "evt.arg.pid", `"victim"`, "evt.arg[4]", `"victim"`, "evt.rawarg.pid", "20",
		}},
		{"ptrace seize", args(probe.KindPtrace, 0x4206, 99), want{"evt.arg.request", `"PTRACE_SEIZE"`, "evt.arg.pid", `"99"`}},
		{"ptrace traceme", args(probe.KindPtrace, 0), want{"evt.arg.request", `"PTRACE_TRACEME"`}},
		{"ptrace something", args(probe.KindPtrace, 0x9999), want{"evt.arg.request", `"PTRACE_UNKNOWN"`}},
		{"socket packet", args(probe.KindSocket, 17, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 3), want{
			"evt.arg.domain", `"AF_PACKET"`, "evt.arg.type", `"3"`, "evt.arg.proto", `"3"`, "evt.arg.flags", `"O_CLOEXEC"`,
			"evt.args", `"fd=0 domain=17(AF_PACKET) type=3 proto=3 flags=4096(O_CLOEXEC)"`,
		}},
		{"socket unix", args(probe.KindSocket, 1), want{"evt.arg.domain", `"AF_LOCAL|AF_UNIX"`, "evt.arg.flags", `"O_NONE"`}},
		{"socket of no family", args(probe.KindSocket, 99), want{"evt.arg.domain", `"99"`}},
		{"bpf", args(probe.KindBpf, 5), want{"evt.arg.cmd", `"BPF_PROG_LOAD"`}},
		{"bpf run", args(probe.KindBpf, 10), want{"evt.arg.cmd", `"BPF_PROG_TEST_RUN|BPF_PROG_RUN"`}},
		{"bpf something", args(probe.KindBpf, 999), want{"evt.arg.cmd", `"999"`}},
		{"setuid", args(probe.KindSetuid, 33), want{"evt.arg.uid", `"web"`, "evt.args", `"res=0 uid=33(web)"`}},
		{"setuid to a user without name", args(probe.KindSetuid, 77), want{"evt.arg.uid", `"<NA>"`}},
		{"setresuid", args(probe.KindSetresuid, 0, ^uint64(0), 33), want{"evt.arg.ruid", `"root"`, "evt.arg.euid", `"<NONE>"`, "evt.arg.suid", `"web"`, "evt.args", `"res=0 ruid=0(root) euid=-1(<NONE>) suid=33(web)"`}},
		{"setgid", args(probe.KindSetgid, 50), want{"evt.arg.gid", `"staff"`}},
		{"unshare", args(probe.KindUnshare, unix.CLONE_NEWNS|unix.CLONE_NEWUSER), want{"evt.arg.flags", `"CLONE_NEWNS|CLONE_NEWUSER"`}},
		{"setns", args(probe.KindSetns, 3, unix.CLONE_NEWNET), want{"evt.arg.nstype", `"CLONE_NEWNET"`, "fd.num", "3"}},
		{"setns of any kind", args(probe.KindSetns, 3, 0), want{"evt.arg.nstype", `"0"`}},
		{"mount", with(path(probe.KindMount, "proc"), func(r *probe.Record) {
			r.Path2, r.Path2Valid, r.Data, r.Args[3] = "/mnt", true, []byte("proc"), unix.MS_RDONLY|unix.MS_NOSUID
		}), want{"evt.arg.dev", `"proc"`, "evt.arg.dir", `"/mnt"`, "evt.arg.type", `"proc"`, "evt.arg.flags", `"RDONLY|NOSUID"`, "evt.buffer", "null"}},
		{"finit_module", with(path(probe.KindFinitModule, ""), func(r *probe.Record) {
			r.Args, r.Data, r.File = [6]uint64{4, 0, 2}, []byte("a=1"), probe.File{Kind: probe.FileRegular, Path: "/m.ko"}
		}), want{"evt.arg.uargs", `"a=1"`, "evt.arg.fd", `"<f>/m.ko"`, "evt.arg.flags", `"MODULE_INIT_IGNORE_VERMAGIC"`, "fd.name", `"/m.ko"`}},
		{"init_module", args(probe.KindInitModule, 0, 4096), want{"evt.arg.length", `"4096"`, "evt.arg.img", `"NULL"`}},
		{"kill", args(probe.KindKill, 20, 9), want{"evt.arg.pid", `"victim"`, "evt.arg.sig", `"SIGKILL"`}},
		{"prctl", args(probe.KindPrctl, 15), want{"evt.arg.option", `"PR_SET_NAME"`}},
		{"capset", with(path(probe.KindCapset, ""), func(r *probe.Record) { r.CapEffective = 0xab }), want{"evt.arg.cap_effective", `"AB"`}},
		{"procexit", args(probe.KindProcexit, 3<<8), want{"evt.arg.status", `"768"`, "evt.arg.ret", `"3"`, "evt.arg.sig", `"0"`, "evt.arg.res", "null"}},
		{"procexit by a signal", args(probe.KindProcexit, 11|0x80), want{"evt.arg.sig", `"SIGSEGV"`, "evt.arg.core", `"1"`}},
		{"a number that there is not", args(probe.KindSetuid, 33), want{"evt.arg[0]", `"0"`, "evt.arg[1]", `"web"`, "evt.arg[2]", "null", "evt.arg[200]", "null"}},
		{"a parameter of another event", args(probe.KindSetuid, 33), want{"evt.arg.flags", "null", "evt.rawarg.flags", "null"}},
		{"a path that cannot be read", args(probe.KindUnlink), want{"evt.arg.path", `"<NA>"`, "evt.rawarg.path", "null", "fs.path.name", "null", "evt.abspath", "null"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := w
			w.t = t
			w.check(c.rec, c.want)
		})
	}
}

func TestParametersOfAnExec(t *testing.T) {
	w := newWorld(t)
	rec := exec(10, 1, "/bin/cat", "a b", "c\n")
	rec.UpperLayer, rec.Exec.Writable, rec.Exec.FromMemfd = true, true, true
	rec.Exec.LoginUID, rec.Exec.TTY = 33, 34816
	w.check(rec, want{
		"evt.arg.res", `"0"`, "evt.arg.exe", `"/bin/cat"`, "evt.arg.args", `"a b.c."`, "evt.arg.comm", `"cat"`, "evt.arg.tid", `"cat"`,
		"evt.arg.flags", `"EXE_WRITABLE|EXE_UPPER_LAYER|EXE_FROM_MEMFD"`, "evt.arg.filename", `"/bin/cat"`, "evt.arg.trusted_exepath", `"/usr/bin/cat"`,
		"evt.arg.loginuid", `"web"`, "evt.arg.tty", `"34816"`, "evt.arg.uid", `"root"`, "evt.arg.cwd", `""`, "evt.arg.vm_size", `"<NA>"`,
	})
	lower := exec(10, 1, "/bin/cat")
	lower.LowerLayer = true
	w.check(lower, want{"evt.arg.flags", `"EXE_LOWER_LAYER"`})
}

func TestAFork(t *testing.T) {
	w := newWorld(t)
	w.Event(exec(10, 1, "/bin/bash", "-l"))
	w.check(&probe.Record{Kind: probe.KindFork, Fork: &probe.Fork{ChildPID: 11, ChildTID: 11, Comm: "bash", Facts: probe.Facts{VTID: 11, VPID: 11}}}, want{
		"evt.type", `"clone"`, "evt.rawres", "11", "evt.res", `"SUCCESS"`, "proc.name", `"bash"`, "evt.arg.exe", `"/bin/bash"`, "evt.arg.args", `"-l"`,
		"evt.arg.vtid", `"11"`, "evt.arg.res", `"bash"`,
	})
}

func TestASuccessfulExecveatIsAnExecve(t *testing.T) {
	w := newWorld(t)
	rec := exec(10, 1, "prog")
	rec.Path = "/dev/fd/3/prog"
	w.check(rec, want{"evt.type", `"execve"`, "evt.arg.filename", `"/dev/fd/3/prog"`, "evt.res", `"SUCCESS"`})
	rec.Path = "/dev/fd/3"
	w.check(rec, want{"evt.type", `"execve"`, "evt.arg.filename", `"/dev/fd/3"`})
}

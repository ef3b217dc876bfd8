package syscalls_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

func TestForksAreNamedByTheirSystemCall(t *testing.T) {
	w := newWorld(t)
	for call, name := range map[probe.ForkCall]string{
		probe.ForkByClone: `"clone"`, probe.ForkByFork: `"fork"`, probe.ForkByVfork: `"vfork"`, probe.ForkByClone3: `"clone3"`, 77: `"clone"`,
	} {
		fork := &probe.Fork{Call: call, ChildPID: 20, ChildTID: 20, Flags: unix.CLONE_VM | unix.CLONE_VFORK}
		w.check(&probe.Record{Kind: probe.KindFork, Fork: fork}, want{
			"evt.type", name, "syscall.type", name, "evt.rawres", "20", "evt.arg.flags", `"CLONE_VM|CLONE_VFORK"`,
		})
	}
}

func TestParametersOfUncommonCalls(t *testing.T) {
	w := newWorld(t)
	file := probe.File{Kind: probe.FileRegular, Path: "/etc/hosts", Num: 3}
	for _, c := range []struct {
		rec  probe.Record
		want want
	}{
		{
			probe.Record{Kind: probe.KindRead, Ret: 2, Args: [6]uint64{3, 0, 80}, File: file, Data: []byte("hi")},
			want{"evt.type", `"read"`, "fd.name", `"/etc/hosts"`, "fd.num", "3", "evt.buffer", `"hi"`, "evt.buflen", "2", "evt.category", `"file"`, "evt.is_io_read", "true", "evt.arg.size", `"80"`},
		},
		{
			probe.Record{Kind: probe.KindMmap, Ret: 0x7f00, Args: [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE, 3, 0}, File: file},
			want{"evt.arg.res", `"7F00"`, "evt.arg.prot", `"PROT_READ|PROT_EXEC"`, "evt.arg.flags", `"MAP_PRIVATE"`, "fd.name", `"/etc/hosts"`, "evt.arg.length", `"4096"`},
		},
		{probe.Record{Kind: probe.KindMmap, Ret: -12}, want{"evt.arg.res", `"ENOMEM"`, "evt.rawarg.res", "-12", "evt.arg.prot", `"PROT_NONE"`}},
		{probe.Record{Kind: probe.KindMprotect, Args: [6]uint64{0xabc0, 1, 7}}, want{"evt.args", `"res=0 addr=ABC0 length=1 prot=7(PROT_READ|PROT_WRITE|PROT_EXEC)"`}},
		{
			probe.Record{Kind: probe.KindMknod, Path: "x", PathValid: true, Dir: "/dev", Args: [6]uint64{0, unix.S_IFBLK | 0o600, 5}},
			want{"evt.arg.path", `"/dev/x"`, "evt.arg.mode", `"S_IWUSR|S_IRUSR|S_IFBLK"`, "evt.arg.dev", `"5"`, "fd.name", "null"},
		},
		{
			probe.Record{Kind: probe.KindFchmodat2, Path: "x", PathValid: true, Dir: "/srv", Mode: 0o4000, Args: [6]uint64{5}},
			want{"evt.type", `"fchmodat2"`, "evt.arg.ID", `"fchmodat2"`, "evt.arg.nativeID", `"452"`, "evt.arg.filename", `"/srv/x"`, "evt.arg.mode", `"S_ISUID"`},
		},
		{probe.Record{Kind: probe.KindFcntl, Args: [6]uint64{3, unix.F_DUPFD_CLOEXEC}, Ret: 9, File: file}, want{"evt.arg.cmd", `"F_DUPFD_CLOEXEC"`, "fd.num", "3"}},
		{probe.Record{Kind: probe.KindKeyctl, Args: [6]uint64{11, 7}}, want{"evt.arg.operation", `"KEYCTL_READ"`, "evt.arg.arg2", `"7"`, "evt.category", `"other"`}},
		{probe.Record{Kind: probe.KindDeleteModule, Path: "kvm", PathValid: true, Args: [6]uint64{0, unix.O_NONBLOCK}, Ret: -2}, want{"evt.arg.name", `"kvm"`, "evt.arg.flags", `"O_NONBLOCK"`, "evt.res", `"ENOENT"`}},
		{probe.Record{Kind: probe.KindPivotRoot, Path: "/n", PathValid: true, Path2: "/o", Path2Valid: true}, want{"evt.arg.new_root", `"/n"`, "evt.arg.put_old", `"/o"`, "evt.arg[0]", `"pivot_root"`}},
		{probe.Record{Kind: probe.KindOpenByHandleAt, Ret: 3, Args: [6]uint64{4, 0, unix.O_WRONLY}, File: file}, want{"fd.name", `"/etc/hosts"`, "evt.is_open_write", "true", "evt.is_open_read", "false", "evt.arg.path", `"/etc/hosts"`}},
		{probe.Record{Kind: probe.KindNanosleep}, want{"evt.is_wait", "true", "evt.category", `"sleep"`, "fd.num", "null"}},
	} {
		w.check(&c.rec, c.want)
	}
}

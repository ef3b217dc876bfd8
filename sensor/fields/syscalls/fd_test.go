package syscalls_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

const atFDCWD = ^uint64(99) // -100

// opened is an openat from the working directory /root.
func opened(path string, flags int, ret int64) *probe.Record {
	rec := &probe.Record{
		Kind: probe.KindOpenat, Ret: ret, Path: path, PathValid: true, Args: [6]uint64{atFDCWD},
		OpenFlags: uint32(flags), Dir: "/root",
	}
	if ret >= 0 {
		rec.File = probe.File{Kind: probe.FileRegular, Num: int32(ret), Path: "/resolved" + path, Inode: 42, Dev: 0x803}
	}
	return rec
}

func TestOpenedFiles(t *testing.T) {
	w := newWorld(t)
	rec := opened("/etc//./x/../shadow", unix.O_RDONLY|unix.O_CLOEXEC, 3)
	rec.UpperLayer = true
	w.check(rec, want{
		"fd.num", "3", "fd.type", `"file"`, "fd.typechar", `"f"`, "fd.name", `"/etc/shadow"`, "fd.nameraw", `"/etc/./x/../shadow"`,
		"fd.directory", `"/etc"`, "fd.filename", `"shadow"`, "fd.dev.major", "8", "fd.dev.minor", "3", "fd.ino", "42",
		"fd.is_upper_layer", "true", "fd.is_lower_layer", "false", "fd.containername", `"host:/etc/shadow"`, "fd.containerdirectory", `"host:/etc"`,
		"fd.ip", "null", "fd.sip", "null", "fd.l4proto", `"<NA>"`, "fd.sockfamily", "null", "fd.connected", "false", "fd.name_changed", "true",
		"evt.is_open_read", "true", "evt.is_open_write", "false",
		"evt.arg.name", `"/etc//./x/../shadow"`, "evt.arg.fd", `"<f>/etc/shadow"`, "evt.arg.dirfd", `"AT_FDCWD"`,
		"evt.arg.flags", `"O_RDONLY|O_CLOEXEC|FD_UPPER_LAYER"`, "evt.arg.mode", `"0"`, "evt.arg.ino", `"42"`, "evt.arg.dev", `"803"`,
		"fs.path.name", `"/etc/shadow"`, "fs.path.nameraw", `"/etc//./x/../shadow"`, "fs.path.source", "null",
		"evt.abspath", `"/etc/shadow"`,
	})
	w.check(opened("../tmp/a", unix.O_RDWR, 4), want{
		"fd.name", `"/tmp/a"`, "evt.arg.name", `"/tmp/a"`, "fd.nameraw", `"../tmp/a"`,
		"evt.is_open_read", "true", "evt.is_open_write", "true", "evt.arg.flags", `"O_RDWR"`,
	})
	w.check(opened("/vmlinuz", unix.O_RDONLY, 4), want{"fd.directory", `"/"`, "fd.filename", `"vmlinuz"`})
	w.check(opened("/", unix.O_RDONLY, 4), want{"fd.name", `"/"`, "fd.directory", `"/"`, "fd.filename", `"/"`})
	w.check(opened("/etc", unix.O_RDONLY|unix.O_DIRECTORY, 4), want{
		"fd.type", `"directory"`, "fd.typechar", `"d"`, "fd.directory", `"/etc"`, "fd.filename", "null",
		"evt.arg.flags", `"O_DIRECTORY|O_RDONLY"`, "evt.is_open_exec", "false",
	})
}

func TestFailedOpens(t *testing.T) {
	w := newWorld(t)
	w.check(opened("a/../b", unix.O_WRONLY, -2), want{
		"fd.num", "-1", "fd.type", "null", "fd.typechar", `"f"`, "fd.name", `"/root/b"`, "fd.directory", `"/root"`, "fd.filename", "null",
		"evt.is_open_write", "true", "evt.arg.fd", `"ENOENT"`, "evt.res", `"ENOENT"`,
	})
	plain := opened("/etc/../none", unix.O_RDONLY, -2)
	plain.Kind = probe.KindOpen
	w.check(plain, want{"fd.typechar", `"o"`, "fd.name", `"/etc/../none"`, "fd.directory", `"/etc/.."`})
	w.check(opened("", unix.O_RDONLY, -2), want{"fd.name", `""`, "fd.directory", `"/"`})

	unknown := opened("rel", unix.O_RDONLY, -9)
	unknown.Args[0], unknown.Dir = 99, ""
	w.check(unknown, want{"fd.name", `"<UNKNOWN>rel"`, "fd.directory", `"/"`, "evt.arg.name", `"rel"`, "evt.arg.dirfd", `"99"`})

	fault := opened("", unix.O_RDONLY, -14)
	fault.PathValid = false
	w.check(fault, want{"fd.name", "null", "fd.nameraw", "null", "fd.directory", "null", "evt.arg.name", `"<NA>"`})
	fault.Kind = probe.KindOpen
	w.check(fault, want{"fd.name", `"<NA>"`})
}

func TestThePathOfTheWorkingDirectoryIsKnownWithoutTheKernel(t *testing.T) {
	w := newWorld(t)
	w.Event(exec(10, 1, "/bin/cat"))
	rec := opened("x", unix.O_RDONLY, 3)
	rec.Dir = ""
	w.check(rec, want{"fd.name", `"/root/x"`})
}

func TestOpenFlags(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		flags       int
		text        string
		read, write string
	}{
		{unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC, `"O_TRUNC|O_CREAT|O_WRONLY"`, "false", "true"},
		{unix.O_RDWR | unix.O_EXCL | unix.O_CREAT | unix.O_APPEND | unix.O_NONBLOCK, `"O_NONBLOCK|O_EXCL|O_APPEND|O_CREAT|O_RDWR"`, "true", "true"},
		{unix.O_SYNC, `"O_SYNC|O_DSYNC|O_RDONLY"`, "true", "false"},
		{unix.O_DSYNC, `"O_SYNC|O_DSYNC|O_RDONLY"`, "true", "false"},
		{unix.O_PATH, `"O_RDONLY"`, "true", "false"},
		{unix.O_TMPFILE | unix.O_RDWR, `"O_DIRECTORY|O_RDWR|O_TMPFILE"`, "true", "true"},
		{unix.O_DIRECT, `"O_DIRECT|O_RDONLY"`, "true", "false"},
	} {
		w.check(opened("/x", c.flags, 3), want{"evt.arg.flags", c.text, "evt.is_open_read", c.read, "evt.is_open_write", c.write})
	}
}

func TestMadeFiles(t *testing.T) {
	w := newWorld(t)
	rec := opened("/x", unix.O_CREAT|unix.O_WRONLY, 3)
	rec.Mode, rec.Created = 0o755, true
	w.check(rec, want{
		"evt.is_open_exec", "true", "evt.is_open_create", "true", "evt.arg.mode", `"0755"`,
		"evt.arg.flags", `"O_CREAT|O_WRONLY|O_F_CREATED"`,
		"evt.args", `"fd=3(<f>/x) dirfd=-100(AT_FDCWD) name=/x flags=16390(O_CREAT|O_WRONLY|O_F_CREATED) mode=0755 dev=803 ino=42"`,
	})
	rec.Mode = 0o640
	w.check(rec, want{"evt.is_open_exec", "false"})
	rec.OpenFlags = unix.O_WRONLY
	w.check(rec, want{"evt.arg.mode", `"0"`, "evt.is_open_exec", "false"})

	creat := opened("x", unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, 3)
	creat.Kind, creat.Mode = probe.KindCreat, 0o700
	w.check(creat, want{
		"evt.is_open_write", "false", "evt.is_open_exec", "true", "evt.is_open_create", "false", "fd.name", `"/root/x"`,
		"evt.arg.mode", `"0700"`, "evt.arg.creat_flags", `"0"`, "evt.arg.flags", "null",
	})
}

func TestEventsWithoutDescriptor(t *testing.T) {
	w := newWorld(t)
	for _, k := range []probe.Kind{
		probe.KindExecve, probe.KindUnlink, probe.KindRename, probe.KindRenameat2, probe.KindLinkat, probe.KindMkdir,
		probe.KindChmod, probe.KindPtrace, probe.KindSetuid, probe.KindProcexit, probe.KindFork, probe.KindMount,
	} {
		w.check(&probe.Record{Kind: k, Path: "/x", PathValid: true}, want{
			"fd.num", "null", "fd.name", "null", "fd.nameraw", "null", "fd.type", "null", "fd.typechar", "null",
			"fd.directory", "null", "fd.filename", "null", "fd.ip", "null", "fd.l4proto", "null", "fd.uid", "null",
		})
	}
}

func TestDescriptorsOfFolders(t *testing.T) {
	w := newWorld(t)
	rec := &probe.Record{
		Kind: probe.KindUnlinkat, Path: "../x", PathValid: true, Dir: "/srv/a", Args: [6]uint64{5, 0, unix.AT_REMOVEDIR},
		File: probe.File{Kind: probe.FileDirectory, Num: 5, Path: "/srv/a"},
	}
	w.check(rec, want{
		"fd.num", "5", "fd.name", `"/srv/a"`, "fd.type", `"directory"`, "fd.directory", `"/srv/a"`,
		"evt.arg.dirfd", `"<d>/srv/a"`, "evt.arg.name", `"/srv/x"`, "evt.arg.flags", `"AT_REMOVEDIR"`, "fs.path.name", `"/srv/x"`,
	})
	rec.Args, rec.File, rec.Dir = [6]uint64{atFDCWD}, probe.File{}, "/root"
	w.check(rec, want{
		"fd.num", "-100", "fd.name", `""`, "fd.type", "null", "fd.typechar", `"o"`, "evt.arg.dirfd", `"AT_FDCWD"`,
		"evt.arg.name", `"/x"`, "evt.arg.flags", `"0"`, "fs.path.name", `"/x"`,
	})
	rec.Ret = -2
	w.check(rec, want{"fs.path.name", "null", "evt.arg.name", `"/x"`})
}

func TestDescriptorsThatAreCopied(t *testing.T) {
	w := newWorld(t)
	rec := &probe.Record{
		Kind: probe.KindDup2, Ret: 1, Args: [6]uint64{4, 1},
		File: probe.File{Kind: probe.FileRegular, Num: 1, Path: "/tmp/log"},
	}
	w.check(rec, want{
		"fd.num", "1", "fd.name", `"/tmp/log"`, "fd.nameraw", `""`, "fd.filename", `"log"`, "evt.rawres", "1",
		"evt.arg.res", `"<f>/tmp/log"`, "evt.arg.oldfd", `"4"`, "evt.arg.newfd", `"<f>/tmp/log"`,
	})
	rec.Ret, rec.File = -9, probe.File{}
	w.check(rec, want{"fd.num", "4", "fd.name", `""`, "fd.typechar", `"o"`, "evt.arg.res", `"EBADF"`})
}

func TestDescriptorsOfOtherKinds(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		kind       probe.FileKind
		path       string
		name, char string
	}{
		{probe.FilePipe, "pipe:[7]", `"pipe"`, `"p"`},
		{probe.FileEventfd, "[eventfd]", `"event"`, `"e"`},
		{probe.FileSignalfd, "[signalfd]", `"signalfd"`, `"s"`},
		{probe.FileEventpoll, "[eventpoll]", `"eventpoll"`, `"l"`},
		{probe.FileInotify, "[inotify]", `"inotify"`, `"i"`},
		{probe.FileTimerfd, "[timerfd]", `"timerfd"`, `"t"`},
		{probe.FileNetlink, "", `"netlink"`, `"n"`},
		{probe.FileBPF, "bpf-map", `"bpf"`, `"b"`},
		{probe.FileUserfaultfd, "[userfaultfd]", `"userfaultfd"`, `"u"`},
		{probe.FileIOUring, "[io_uring]", `"io_uring"`, `"r"`},
		{probe.FileMemfd, "memfd:x", `"memfd"`, `"m"`},
		{probe.FilePidfd, "[pidfd]", `"pidfd"`, `"P"`},
		{probe.FileDirectory, "/srv", `"directory"`, `"d"`},
		{probe.FileSocket, "", `"<NA>"`, `"o"`},
		{probe.FileOther, "/dev/tty", `"<NA>"`, `"o"`},
	} {
		w.check(&probe.Record{
			Kind: probe.KindDup, Ret: 1, File: probe.File{Kind: c.kind, Num: 1, Path: c.path},
		}, want{"fd.type", c.name, "fd.typechar", c.char})
	}
}

func TestPipesAndMemoryFiles(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindPipe2, File: probe.File{Kind: probe.FilePipe, Num: 6, Path: "pipe:[7]"}}, want{
		"fd.num", "6", "fd.name", `""`, "fd.type", `"pipe"`, "fd.typechar", `"p"`, "evt.arg.fd2", `"<p>"`,
	})
	w.check(&probe.Record{Kind: probe.KindPipe, Ret: -24}, want{"fd.num", "-1", "fd.typechar", `"p"`, "fd.type", "null"})
	w.check(&probe.Record{Kind: probe.KindSocketpair, Ret: -24}, want{"fd.num", "-1", "fd.typechar", `"o"`})
	memfd := &probe.Record{
		Kind: probe.KindMemfdCreate, Ret: 4, Path: "x", PathValid: true, Args: [6]uint64{0, 3},
		File: probe.File{Kind: probe.FileMemfd, Num: 4, Path: "memfd:x"},
	}
	w.check(memfd, want{
		"fd.num", "4", "fd.name", `"x"`, "fd.type", `"memfd"`, "fd.typechar", `"m"`,
		"evt.arg.name", `"x"`, "evt.arg.flags", `"MFD_CLOEXEC|MFD_ALLOW_SEALING"`,
	})
	memfd.Ret, memfd.File = -22, probe.File{}
	w.check(memfd, want{"fd.num", "-22", "fd.type", `"<NA>"`, "fd.typechar", `"?"`})
}

func TestPathsOfLinksAndRenames(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{
		Kind: probe.KindSymlink, Path: "../etc/shadow", PathValid: true, Path2: "d/link", Path2Valid: true, Dir2: "/srv",
	}, want{
		"evt.arg.target", `"../etc/shadow"`, "evt.arg.linkpath", `"/srv/d/link"`,
		"fs.path.source", `"/srv/d/link"`, "fs.path.sourceraw", `"d/link"`, "fs.path.target", `"/srv/etc/shadow"`, "fs.path.targetraw", `"../etc/shadow"`,
		"fs.path.name", "null",
	})
	w.check(&probe.Record{
		Kind: probe.KindSymlinkat, Path: "/etc/shadow", PathValid: true, Path2: "/tmp/l", Path2Valid: true, Args: [6]uint64{0, atFDCWD},
	}, want{"evt.arg.target", `"/etc/shadow"`, "fs.path.target", `"/etc/shadow"`, "fs.path.source", `"/tmp/l"`, "fd.num", "-100", "evt.arg.linkdirfd", `"AT_FDCWD"`})
	w.check(&probe.Record{
		Kind: probe.KindLink, Path: "old", PathValid: true, Dir: "/a", Path2: "new", Path2Valid: true, Dir2: "/b",
	}, want{
		"evt.arg.oldpath", `"/a/old"`, "evt.arg.newpath", `"/b/new"`, "fs.path.source", `"/b/new"`, "fs.path.target", `"/a/old"`,
	})
	w.check(&probe.Record{
		Kind: probe.KindRenameat2, Path: "old", PathValid: true, Dir: "/a", Path2: "/new", Path2Valid: true, Args: [6]uint64{5, 0, atFDCWD, 0, 2},
	}, want{
		"evt.arg.olddirfd", `"<d>/a"`, "evt.arg.oldpath", `"/a/old"`, "evt.arg.newdirfd", `"AT_FDCWD"`, "evt.arg.newpath", `"/new"`,
		"evt.arg.flags", `"RENAME_EXCHANGE"`, "fs.path.source", `"/a/old"`, "fs.path.target", `"/new"`,
		"evt.abspath.src", `"/a/old"`, "evt.abspath.dst", `"/new"`,
	})
	w.check(&probe.Record{Kind: probe.KindRename, Ret: -13, Path: "/a", PathValid: true, Path2: "/b", Path2Valid: true}, want{
		"fs.path.source", "null", "evt.arg.oldpath", `"/a"`,
	})
}

func TestNormalisedPaths(t *testing.T) {
	w := newWorld(t)
	for path, clean := range map[string]string{
		"/a/b": `"/a/b"`, "/": `"/"`, "//": `"/"`, "/..": `"/"`, "/../..": `"/"`, "/a/..": `"/"`, "/a/../../b": `"/b"`,
		"/a/./b/": `"/a/b"`, "/a//b": `"/a/b"`, "/a/b/../c": `"/a/c"`, "/...": `"/..."`, "/a/.": `"/a"`, ".": `"/root"`, "..": `"/"`, "./a": `"/root/a"`,
	} {
		w.check(opened(path, unix.O_RDONLY, 3), want{"fd.name", clean})
	}
}

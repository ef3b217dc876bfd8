package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fileCase does something in a folder of its own and says what the one record of a kind
// and path must be. Fields that are empty in want are not compared, but for Ret.
type fileCase struct {
	name string
	kind Kind
	do   func() error
	// want may depend on the folder.
	want func(dir string) Record
}

// ignore is for calls that are meant to fail.
func ignore(error) error { return nil }

func write(name string) error { return os.WriteFile(name, nil, 0o600) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func call1(trap uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	return nil
}

// pinned keeps what system calls were given by address.
var pinned []any

func pin[T any](p *T) uintptr {
	pinned = append(pinned, p)
	return uintptr(unsafe.Pointer(p))
}

func ptr(s string) uintptr { return pin(must(unix.BytePtrFromString(s))) }

// address is where an array of strings, as for an exec, lies.
func address(array []*byte) uintptr { return pin(&array[0]) }

func openDir(name string) int {
	return must(unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0))
}

var longName = strings.Repeat("n", 255)

// longPath is relative and has 4095 bytes, the most that the kernel takes.
var longPath = strings.Repeat("./", 2045) + "found"

var fileCases = []fileCase{
	{
		"a relative open starts from the working directory", KindOpenat,
		func() error {
			_, err := unix.Openat(unix.AT_FDCWD, "new", unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o640)
			return err
		},
		func(dir string) Record {
			return Record{
				Path: "new", Dir: dir, Ret: newFD, Created: true, Mode: 0o640,
				OpenFlags: unix.O_CREAT | unix.O_WRONLY | unix.O_EXCL,
				File:      File{Kind: FileRegular, Path: dir + "/new"},
			}
		},
	},
	{
		"a relative open starts from the folder descriptor", KindOpenat,
		func() error {
			_ = os.Mkdir("sub", 0o700)
			_ = write("sub/file")
			_, err := unix.Openat(openDir("sub"), "file", unix.O_RDWR, 0)
			return err
		},
		func(dir string) Record {
			return Record{Path: "file", Dir: dir + "/sub", Ret: newFD, File: File{Kind: FileRegular, Path: dir + "/sub/file"}}
		},
	},
	{
		"an absolute open has no folder", KindOpenat,
		func() error {
			_, err := unix.Openat(unix.AT_FDCWD, "/dev/null", 0, 0)
			return err
		},
		func(string) Record {
			return Record{Path: "/dev/null", Ret: newFD, File: File{Kind: FileRegular, Path: "/dev/null"}}
		},
	},
	{
		"a symlink shows as passed and as resolved", KindOpenat,
		func() error {
			_ = write("target")
			_ = os.Symlink("target", "link")
			_, err := unix.Openat(unix.AT_FDCWD, "link", 0, 0)
			return err
		},
		func(dir string) Record {
			return Record{Path: "link", Dir: dir, Ret: newFD, File: File{Kind: FileRegular, Path: dir + "/target"}}
		},
	},
	{
		"a path in unicode is kept", KindOpenat,
		func() error {
			_, err := unix.Openat(unix.AT_FDCWD, "ключ-鍵-🔑", unix.O_CREAT, 0o600)
			return err
		},
		func(dir string) Record {
			return Record{Path: "ключ-鍵-🔑", Dir: dir, Created: true, Ret: newFD, File: File{Kind: FileRegular, Path: dir + "/ключ-鍵-🔑"}}
		},
	},
	{
		"the longest path is kept whole", KindOpenat,
		func() error {
			_, err := unix.Openat(unix.AT_FDCWD, longPath, unix.O_CREAT, 0o600)
			return err
		},
		func(dir string) Record {
			return Record{Path: longPath, Dir: dir, Created: true, Ret: newFD, File: File{Path: dir + "/found"}}
		},
	},
	{
		"the longest name is kept whole", KindOpenat,
		func() error {
			_, err := unix.Openat(unix.AT_FDCWD, longName, unix.O_CREAT, 0o600)
			return err
		},
		func(dir string) Record {
			return Record{Path: longName, Dir: dir, Created: true, Ret: newFD, File: File{Path: dir + "/" + longName}}
		},
	},
	{
		"a failed open has its path and no file", KindOpenat,
		func() error { return ignore(call1(unix.SYS_OPENAT, 0xffffff9c, ptr("missing"), unix.O_RDONLY)) },
		func(dir string) Record {
			return Record{Path: "missing", Dir: dir, Ret: -int64(unix.ENOENT), File: File{Num: -int32(unix.ENOENT)}}
		},
	},
	{
		"an unknown folder descriptor leaves the folder empty", KindOpenat,
		func() error { return ignore(call1(unix.SYS_OPENAT, 99, ptr("lost"), unix.O_RDONLY)) },
		func(string) Record { return Record{Path: "lost", Ret: -int64(unix.EBADF)} },
	},
	{
		"an openat2 has the flags of its struct", KindOpenat2,
		func() error {
			_, err := unix.Openat2(unix.AT_FDCWD, "two", &unix.OpenHow{Flags: unix.O_CREAT | unix.O_RDWR, Mode: 0o604})
			return err
		},
		func(dir string) Record {
			return Record{
				Path: "two", Dir: dir, Ret: newFD, Created: true, Mode: 0o604, OpenFlags: unix.O_CREAT | unix.O_RDWR,
				File: File{Kind: FileRegular, Path: dir + "/two"},
			}
		},
	},
	{
		"a folder's kind is directory", KindOpenat,
		func() error { _, err := unix.Openat(unix.AT_FDCWD, ".", unix.O_DIRECTORY, 0); return err },
		func(dir string) Record {
			return Record{Path: ".", Dir: dir, Ret: newFD, File: File{Kind: FileDirectory, Path: dir}}
		},
	},
	{
		"an unlinkat has folder and name", KindUnlinkat,
		func() error { _ = write("gone"); return unix.Unlinkat(openDir("."), "gone", 0) },
		func(dir string) Record {
			return Record{Path: "gone", Dir: dir, File: File{Kind: FileDirectory, Path: dir}}
		},
	},
	{
		"a renameat2 has both paths from both folders", KindRenameat2,
		func() error {
			_ = os.Mkdir("a", 0o700)
			_ = os.Mkdir("b", 0o700)
			_ = write("a/x")
			return unix.Renameat2(openDir("a"), "x", openDir("b"), "y", unix.RENAME_NOREPLACE)
		},
		func(dir string) Record {
			return Record{Path: "x", Dir: dir + "/a", Path2: "y", Dir2: dir + "/b"}
		},
	},
	{
		"a linkat has both paths", KindLinkat,
		func() error { _ = write("old"); return unix.Linkat(unix.AT_FDCWD, "old", openDir("."), "hard", 0) },
		func(dir string) Record { return Record{Path: "old", Dir: dir, Path2: "hard", Dir2: dir} },
	},
	{
		"a symlinkat's target is text and its link has a folder", KindSymlinkat,
		func() error { return unix.Symlinkat("../etc/shadow", unix.AT_FDCWD, "soft") },
		func(dir string) Record { return Record{Path: "../etc/shadow", Path2: "soft", Dir2: dir} },
	},
	{
		"a mkdirat has its mode", KindMkdirat,
		func() error { return unix.Mkdirat(unix.AT_FDCWD, "made", 0o2755) },
		func(dir string) Record { return Record{Path: "made", Dir: dir, Mode: 0o2755} },
	},
	{
		"a fchmodat has its mode", KindFchmodat,
		func() error {
			_ = write("m")
			return call1(unix.SYS_FCHMODAT, 0xffffff9c, ptr("m"), 0o4755)
		},
		func(dir string) Record { return Record{Path: "m", Dir: dir, Mode: 0o4755} },
	},
	{
		"a fchmod has the file of its descriptor", KindFchmod,
		func() error {
			return unix.Fchmod(must(unix.Open("f", unix.O_CREAT|unix.O_RDWR, 0o600)), 0o755)
		},
		func(dir string) Record {
			return Record{Mode: 0o755, File: File{Kind: FileRegular, Path: dir + "/f"}}
		},
	},
	{
		"a fchownat has its path", KindFchownat,
		func() error { _ = write("o"); return unix.Fchownat(unix.AT_FDCWD, "o", 0, 0, 0) },
		func(dir string) Record { return Record{Path: "o", Dir: dir} },
	},
	{
		"a dup has the file of the new descriptor", KindDup,
		func() error { _, err := unix.Dup(must(unix.Open("d", unix.O_CREAT, 0o600))); return err },
		func(dir string) Record {
			return Record{Ret: newFD, File: File{Kind: FileRegular, Path: dir + "/d"}}
		},
	},
	{
		"a memfd has its name", KindMemfdCreate,
		func() error { _, err := unix.MemfdCreate("payload", 0); return err },
		func(string) Record {
			return Record{Path: "payload", Ret: newFD, File: File{Kind: FileMemfd, Path: "memfd:payload"}}
		},
	},
	{
		"a successful chdir has the new folder", KindChdir,
		func() error { _ = os.Mkdir("in", 0o700); return unix.Chdir("in") },
		func(dir string) Record { return Record{Path: "in", File: File{Kind: FileDirectory, Path: dir + "/in"}} },
	},
	{
		"a failed chdir has the old folder", KindChdir,
		func() error { return ignore(unix.Chdir("nowhere")) },
		func(dir string) Record { return Record{Path: "nowhere", Dir: dir, Ret: -int64(unix.ENOENT)} },
	},
	{
		"a fchdir has the new folder", KindFchdir,
		func() error { _ = os.Mkdir("in", 0o700); return unix.Fchdir(openDir("in")) },
		func(dir string) Record { return Record{File: File{Kind: FileDirectory, Path: dir + "/in"}} },
	},
	{
		"a failed mount has source, target and type", KindMount,
		func() error { return ignore(unix.Mount("none", "missing", "tmpfs", 0, "")) },
		func(dir string) Record {
			return Record{Path: "none", Path2: "missing", Dir2: dir, Data: []byte("tmpfs"), Ret: -int64(unix.ENOENT)}
		},
	},
	{
		"a finit_module has the module's file and parameters", KindFinitModule,
		func() error {
			fd := must(unix.Open("evil.ko", unix.O_CREAT|unix.O_RDONLY, 0o600))
			return ignore(unix.FinitModule(fd, "debug=1", 0))
		},
		func(dir string) Record {
			return Record{
				Data: []byte("debug=1"), Ret: failed,
				File: File{Kind: FileRegular, Path: dir + "/evil.ko"},
			}
		},
	},
}

func init() {
	for _, c := range fileCases {
		action(c.name, c.do)
	}
}

func TestFileCalls(t *testing.T) {
	var kinds []Kind
	for _, c := range fileCases {
		kinds = append(kinds, c.kind)
	}
	w := startWatch(t, Interest{Kinds: kinds})
	for _, c := range fileCases {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			want := c.want(dir)
			want.Kind = c.kind
			same := func(r *Record) bool { return r.Path == want.Path && sameResult(r.Ret, want.Ret) }
			compare(t, only(t, w.run(t, c.name, dir), c.kind, same), want)
		})
	}
}

// newFD stands for whatever descriptor was free, failed for any error.
const newFD, failed = 1, -1000

func sameResult(got, want int64) bool {
	return got == want || want == newFD && got > 2 || want == failed && got < 0
}

// compare checks the fields of want, of File only those that are not empty.
func compare(t *testing.T, got *Record, want Record) {
	t.Helper()
	if want.Ret == newFD {
		check(t, "File.Num", int64(got.File.Num), got.Ret)
	}
	check(t, "PathValid", got.PathValid, want.Path != "")
	check(t, "Path2Valid", got.Path2Valid, want.Path2 != "")
	check(t, "Path", got.Path, want.Path)
	check(t, "Path2", got.Path2, want.Path2)
	check(t, "Dir", got.Dir, want.Dir)
	check(t, "Dir2", got.Dir2, want.Dir2)
	check(t, "Created", got.Created, want.Created)
	check(t, "Data", string(got.Data), string(want.Data))
	if want.OpenFlags != 0 {
		check(t, "OpenFlags", got.OpenFlags&^unix.O_LARGEFILE, want.OpenFlags)
	}
	if want.Mode != 0 {
		check(t, "Mode", got.Mode, want.Mode)
	}
	check(t, "File.Path", got.File.Path, want.File.Path)
	if want.File.Kind != NoFile {
		check(t, "File.Kind", got.File.Kind, want.File.Kind)
	}
	if want.File.Num != 0 {
		check(t, "File.Num", got.File.Num, want.File.Num)
	}
}

var pipe = action("a pipe", func() error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK); err != nil {
		return err
	}
	return unix.Dup3(p[1], 200, 0)
})

func TestAPipeIsItsSecondDescriptor(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindPipe2, KindDup3}})
	records := w.run(t, pipe, tempDir(t))
	dup := only(t, records, KindDup3, func(r *Record) bool { return r.Ret == 200 })
	r := only(t, records, KindPipe2, func(r *Record) bool { return r.File.Num == int32(dup.Args[0]) })
	check(t, "File.Kind", r.File.Kind, FilePipe)
	check(t, "File.Inode", r.File.Inode, dup.File.Inode)
}

var anonymous = action("anonymous files", func() error {
	fds := []int{
		must(unix.Eventfd(0, 0)),
		must(unix.EpollCreate1(0)),
		must(unix.InotifyInit1(0)),
		must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)),
		must(unix.Signalfd(-1, &unix.Sigset_t{}, 0)),
		must(unix.PidfdOpen(os.Getpid(), 0)),
		must(unix.Open("/proc/self/exe", 0, 0)),
	}
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return err
		}
		if err := unix.Dup3(fd, 100+fd, 0); err != nil {
			return err
		}
	}
	return nil
})

func TestFilesWithoutAPathAreToldApart(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindDup3}})
	var got []FileKind
	for _, r := range w.run(t, anonymous, tempDir(t)) {
		if r.Kind == KindDup3 && r.Ret > 100 {
			got = append(got, r.File.Kind)
		}
	}
	want := []FileKind{FileEventfd, FileEventpoll, FileInotify, FileTimerfd, FileSignalfd, FilePidfd, FileRegular}
	if len(got) != len(want) {
		t.Fatalf("%d descriptors were seen, want %d", len(got), len(want))
	}
	for i := range want {
		check(t, "kind", got[i], want[i])
	}
}

var deep = action("deep folders", func() error {
	for range 300 {
		if err := errors.Join(unix.Mkdir("d", 0o700), unix.Chdir("d")); err != nil {
			return err
		}
		_, _ = unix.Openat(unix.AT_FDCWD, "no", 0, 0)
	}
	return nil
})

func TestAFolderThatIsTooDeepIsUnknownRatherThanWrong(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindOpenat}})
	dir := tempDir(t)
	known, unknown := 0, 0
	for _, r := range w.run(t, deep, dir) {
		if r.Path != "no" {
			continue
		}
		if r.Dir == "" {
			unknown++
			continue
		}
		if unknown > 0 || r.Dir != dir+strings.Repeat("/d", known+1) {
			t.Fatalf("folder %d is %q", known, r.Dir)
		}
		known++
	}
	if known < 200 || unknown == 0 {
		t.Errorf("%d folders were known and %d not", known, unknown)
	}
}

var identity = action("identity", func() error {
	_, err := unix.Open("me", unix.O_CREAT, 0o600)
	return err
})

func TestAFileIsIdentifiedAsByStat(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindOpenat, KindOpen}})
	dir := tempDir(t)
	r := only(t, w.run(t, identity, dir), KindOpenat, pathIs("me"))
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "me"), &st); err != nil {
		t.Fatal(err)
	}
	check(t, "Inode", r.File.Inode, st.Ino)
	check(t, "Dev", uint64(r.File.Dev), st.Dev)
	check(t, "UID", r.UID, uint32(os.Geteuid()))
	check(t, "TID within PID", r.TID >= r.PID, true)
}

package syscalls_test

import (
	"context"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

// trapVariable makes the test program the child whose calls the test looks at.
const trapVariable = "SAKER_FIELDS_CHILD"

// The child acts in init, on its first thread, whose name and ids are the process's.
func init() {
	if os.Getenv(trapVariable) == "" {
		return
	}
	_, _ = io.ReadAll(os.Stdin) // until the test watches this process
	runtime.LockOSThread()
	actOut()
	os.Exit(0)
}

// kept are the strings that the kernel is given by address.
var kept []*byte

func cstring(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

// actOut does what the test names, in a folder of its own. What fails is to fail.
func actOut() {
	_, _, _ = unix.Syscall6(unix.SYS_OPENAT, ^uintptr(99), cstring("missing-openat"), 0, 0, 0, 0)
	legacyOpen("missing-open")
	_ = unix.Mkdir("made", 0o755)
	_, _ = unix.Open("made", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	_, _ = unix.Open("file", unix.O_CREAT|unix.O_WRONLY, 0o640)
	_, _ = unix.Open(".//made/../file", unix.O_PATH, 0)
	_ = unix.Linkat(unix.AT_FDCWD, "file", unix.AT_FDCWD, "linked", 0)
	_ = unix.Unlinkat(unix.AT_FDCWD, "linked", 0)
	_ = unix.Unlinkat(unix.AT_FDCWD, "absent", 0)
	_ = unix.Dup2(99, 98)

	listener, _ := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	_ = unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	_ = unix.Listen(listener, 1)
	if name, err := unix.Getsockname(listener); err == nil {
		client, _ := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		_ = unix.Connect(client, name)
		_, _, _ = unix.Accept(listener)
		_ = unix.Close(listener)
		refused, _ := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		_ = unix.Connect(refused, name)
	}

	_ = unix.Setpgid(0, 0)
	name := [...]byte{'r', 'e', 'n', 'a', 'm', 'e', 'd', 0}
	_, _, _ = unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0)
	_, _ = unix.Open("after-prctl", unix.O_RDONLY, 0)
	// The child of a fork tries to execute something, and ends.
	_, _ = syscall.ForkExec("/absent/program", []string{"argv0", "one", "two"}, &syscall.ProcAttr{})

	_ = unix.Chroot("made")
	_, _ = unix.Open("file", unix.O_RDONLY, 0)
}

// seen are the fields of one event that the tests ask for.
type seen map[string]string

// watchedFields are those of every event.
var watchedFields = []string{
	"evt.type", "evt.res", "evt.rawres", "evt.arg.name", "evt.arg.path", "evt.arg.mode", "evt.arg.flags", "evt.arg.exe", "evt.arg.filename",
	"evt.is_open_exec", "evt.is_open_read", "fd.num", "fd.name", "fd.nameraw", "fd.directory", "fd.filename", "fd.type", "fd.typechar",
	"fd.sip", "fd.sport", "fd.cip", "fd.lport", "fd.rport", "fd.l4proto", "fd.is_server", "fs.path.name", "fs.path.source", "fs.path.target",
	"proc.name", "proc.is_vpgid_leader", "proc.exe", "proc.exe_ino.ctime",
}

// watchChild runs the child in dir and returns what its and its children's calls look like.
func watchChild(t *testing.T, dir string) []seen {
	t.Helper()
	p, err := probe.Open(probe.Options{Interest: probe.Interest{Kinds: []probe.Kind{
		probe.KindExecve, probe.KindExecveat, probe.KindFork, probe.KindProcexit, probe.KindOpen, probe.KindOpenat, probe.KindMkdir,
		probe.KindMkdirat, probe.KindLinkat, probe.KindUnlinkat, probe.KindDup2, probe.KindDup3, probe.KindSocket, probe.KindBind,
		probe.KindListen, probe.KindConnect, probe.KindAccept, probe.KindAccept4, probe.KindSetpgid, probe.KindPrctl, probe.KindChroot,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := world{t: t, Source: syscalls.New(syscalls.Options{Processes: process.NewTable(process.Options{})})}

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), self)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), trapVariable+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var events []seen
	family := map[int32]bool{int32(cmd.Process.Pid): true}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func(rec *probe.Record) {
			ev := w.Event(rec)
			if !family[rec.PID] {
				return
			}
			if rec.Kind == probe.KindFork {
				family[rec.Fork.ChildPID] = true
			}
			one := seen{}
			for _, field := range watchedFields {
				one[field] = w.get(ev, field)
			}
			events = append(events, one)
			if rec.Kind == probe.KindProcexit && rec.PID == int32(cmd.Process.Pid) {
				cancel()
			}
		})
	}()
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return events
}

// only returns the one event with these values.
func only(t *testing.T, events []seen, with seen) seen {
	t.Helper()
	var found []seen
	for _, e := range events {
		fits := true
		for field, value := range with {
			fits = fits && e[field] == value
		}
		if fits {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d events have %v", len(found), with)
	}
	return found[0]
}

func (e seen) check(t *testing.T, expected want) {
	t.Helper()
	for i := 0; i < len(expected); i += 2 {
		if got := e[expected[i]]; got != expected[i+1] {
			t.Errorf("%s is %s, want %s", expected[i], got, expected[i+1])
		}
	}
}

func TestTheKernelsCallsLookAsRulesForFalcoExpect(t *testing.T) {
	if err := probe.Check(); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	events := watchChild(t, dir)
	in := func(name string) string { return strconv.Quote(filepath.Join(dir, name)) }
	comm := strconv.Quote(filepath.Base(os.Args[0])[:min(15, len(filepath.Base(os.Args[0])))])
	is := func(t *testing.T, with seen, expected want) { t.Helper(); only(t, events, with).check(t, expected) }

	t.Run("a failed openat is a file and has a folder, a failed open is of unknown type", func(t *testing.T) {
		is(t, seen{"evt.type": `"openat"`, "evt.arg.name": in("missing-openat")}, want{
			"fd.typechar", `"f"`, "fd.type", "null", "fd.num", "-1", "fd.name", in("missing-openat"), "fd.directory", strconv.Quote(dir),
			"fd.filename", "null", "evt.res", `"ENOENT"`,
		})
		if hasLegacyOpen {
			is(t, seen{"evt.type": `"open"`, "evt.arg.name": in("missing-open")}, want{"fd.typechar", `"o"`, "fd.type", "null", "fd.num", "-1"})
		}
	})
	t.Run("a folder is one only when it was opened as such", func(t *testing.T) {
		is(t, seen{"fd.name": in("made"), "fd.type": `"directory"`}, want{
			"evt.arg.flags", `"O_DIRECTORY|O_RDONLY|O_CLOEXEC"`, "fd.directory", in("made"), "fd.filename", "null", "evt.is_open_exec", "false", "evt.arg.mode", `"0"`,
		})
	})
	t.Run("the mode of an open is octal, that of mkdir hexadecimal", func(t *testing.T) {
		is(t, seen{"fd.name": in("file"), "fd.nameraw": `"file"`, "evt.arg.mode": `"0640"`}, want{"evt.arg.flags", `"O_CREAT|O_WRONLY|O_F_CREATED"`})
		is(t, seen{"evt.arg.path": in("made"), "evt.arg.mode": `"1ED"`}, want{"evt.res", `"SUCCESS"`, "fs.path.name", in("made")})
	})
	t.Run("O_PATH counts as reading, and fd.name is normalised", func(t *testing.T) {
		is(t, seen{"fd.nameraw": `"./made/../file"`}, want{"evt.is_open_read", "true", "evt.arg.flags", `"O_RDONLY"`, "fd.name", in("file")})
	})
	t.Run("linkat has no descriptor, unlinkat that of its folder", func(t *testing.T) {
		is(t, seen{"evt.type": `"linkat"`}, want{"fd.num", "null", "fd.name", "null", "fs.path.source", in("linked"), "fs.path.target", in("file")})
		is(t, seen{"evt.type": `"unlinkat"`, "evt.res": `"SUCCESS"`}, want{"fd.num", "-100", "fd.name", `""`, "fs.path.name", in("linked")})
	})
	t.Run("paths of calls that failed are null", func(t *testing.T) {
		is(t, seen{"evt.type": `"unlinkat"`, "evt.res": `"ENOENT"`}, want{"fs.path.name", "null", "evt.arg.name", in("absent")})
	})
	t.Run("a failed dup shows the old descriptor", func(t *testing.T) {
		for _, e := range events {
			if e["fd.num"] == "99" {
				e.check(t, want{"fd.name", `""`, "fd.typechar", `"o"`, "evt.res", `"EBADF"`})
				return
			}
		}
		t.Error("there is no such event")
	})
	t.Run("a bind to any port has no server's address", func(t *testing.T) {
		is(t, seen{"evt.type": `"bind"`}, want{"fd.name", `"127.0.0.1:0"`, "fd.sip", "null", "fd.l4proto", `"<NA>"`, "fd.is_server", "false"})
	})
	t.Run("both ends of a connection on loopback see the server as local", func(t *testing.T) {
		connected := only(t, events, seen{"evt.type": `"connect"`, "evt.res": `"SUCCESS"`})
		for _, e := range events {
			if e["evt.type"] == `"accept"` || e["evt.type"] == `"accept4"` {
				for _, field := range []string{"fd.name", "fd.sip", "fd.sport", "fd.lport", "fd.rport"} {
					if e[field] != connected[field] || e[field] == "null" {
						t.Errorf("%s is %s for the server, %s for the client", field, e[field], connected[field])
					}
				}
				if e["fd.lport"] != e["fd.sport"] {
					t.Errorf("fd.lport is %s, fd.sport %s", e["fd.lport"], e["fd.sport"])
				}
				return
			}
		}
		t.Error("there is no accept")
	})
	t.Run("a refused connection keeps its type and has no name", func(t *testing.T) {
		is(t, seen{"evt.type": `"connect"`, "evt.res": `"ECONNREFUSED"`}, want{"fd.name", `""`, "fd.type", `"ipv4"`, "fd.sip", "null", "fd.l4proto", `"<NA>"`})
	})
	t.Run("a process keeps its name until it executes, and its group", func(t *testing.T) {
		is(t, seen{"evt.arg.name": in("after-prctl")}, want{"proc.name", comm, "proc.is_vpgid_leader", "false"})
	})
	t.Run("a child has its parent's new name, and a failed exec shows who tried", func(t *testing.T) {
		is(t, seen{"evt.type": `"execve"`, "evt.res": `"ENOENT"`}, want{
			"proc.name", `"renamed"`, "evt.arg.exe", `"argv0"`, "evt.arg.filename", `"/absent/program"`, "proc.exe", strconv.Quote(os.Args[0]),
		})
	})
	t.Run("after chroot a relative path still starts from the old working directory", func(t *testing.T) {
		i := slices.IndexFunc(events, func(e seen) bool { return e["evt.type"] == `"chroot"` })
		if i < 0 {
			t.Fatal("there is no chroot")
		}
		only(t, events[i:], seen{"fd.nameraw": `"file"`}).check(t, want{"fd.name", in("file"), "evt.res", `"SUCCESS"`})
	})
	t.Run("the end of a process has no result", func(t *testing.T) {
		for _, e := range events {
			if e["evt.type"] == `"procexit"` {
				e.check(t, want{"evt.res", "null", "evt.rawres", "null"})
			}
		}
	})
}

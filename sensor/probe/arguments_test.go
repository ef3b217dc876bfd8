package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Calls that have only numbers. Each is made with arguments that find it again.
var numbered = []struct {
	kind   Kind
	number uintptr
	args   [6]uintptr
}{
	{KindKill, unix.SYS_KILL, [6]uintptr{0x3ffffff1, 0}},
	{KindTkill, unix.SYS_TKILL, [6]uintptr{0x3ffffff2, 0}},
	{KindTgkill, unix.SYS_TGKILL, [6]uintptr{0x3ffffff3, 0x3ffffff3, 0}},
	{KindSetpgid, unix.SYS_SETPGID, [6]uintptr{0x3ffffff4, 1}},
	{KindSetgid, unix.SYS_SETGID, [6]uintptr{0xffffffff}},
	{KindSetreuid, unix.SYS_SETREUID, [6]uintptr{0xffffffff, 0xffffffff}},
	{KindSetregid, unix.SYS_SETREGID, [6]uintptr{0xffffffff, 0xffffffff}},
	{KindSetresuid, unix.SYS_SETRESUID, [6]uintptr{0xffffffff, 0xffffffff, 0xffffffff}},
	{KindPrctl, unix.SYS_PRCTL, [6]uintptr{0x7ffffff5, 1, 2, 3, 4}},
	{KindBpf, unix.SYS_BPF, [6]uintptr{0x7ff6, 0, 0}},
	{KindInitModule, unix.SYS_INIT_MODULE, [6]uintptr{0, 7, 0}},
	{KindCapset, unix.SYS_CAPSET, [6]uintptr{0x1ff8, 0}},
	{KindClose, unix.SYS_CLOSE, [6]uintptr{0x7ffffff9}},
	{KindPtrace, unix.SYS_PTRACE, [6]uintptr{unix.PTRACE_ATTACH, 0x3ffffffa, 3, 4}},
	{KindUnshare, unix.SYS_UNSHARE, [6]uintptr{0x40}},
	{KindUserfaultfd, unix.SYS_USERFAULTFD, [6]uintptr{0x7ffffffb}},
	{KindListen, unix.SYS_LISTEN, [6]uintptr{0x7ffffffc, 5}},
	{KindFchown, unix.SYS_FCHOWN, [6]uintptr{0x7ffffffd, 1, 2}},
}

var numberedCalls = action("calls with numbers", func() error {
	runtime.LockOSThread()
	for _, c := range numbered {
		a := c.args
		_, _, _ = unix.RawSyscall6(c.number, a[0], a[1], a[2], a[3], a[4], a[5])
	}
	return nil
})

func TestCallsHaveTheirArguments(t *testing.T) {
	var kinds []Kind
	for _, c := range numbered {
		kinds = append(kinds, c.kind)
	}
	w := startWatch(t, Interest{Kinds: kinds})
	records := w.run(t, numberedCalls, tempDir(t))
	for _, c := range numbered {
		t.Run(c.kind.String(), func(t *testing.T) {
			r := only(t, records, c.kind, func(r *Record) bool {
				for i, a := range c.args {
					if a != 0 && r.Args[i] != uint64(a) {
						return false
					}
				}
				return true
			})
			check(t, "thread", r.TID != 0, true)
			if c.kind == KindClose || c.kind == KindListen || c.kind == KindFchown {
				check(t, "File.Num", int64(r.File.Num), int64(c.args[0]))
				check(t, "File.Kind", r.File.Kind, NoFile)
			}
		})
	}
}

var badPointers = action("bad pointers", func() error {
	runtime.LockOSThread()
	_ = call1(unix.SYS_OPENAT, 0xffffff9c, 1, 0)
	_ = call1(unix.SYS_RENAMEAT2, 0xffffff9c, 2, 0xffffff9c, 3, 0)
	_ = call1(unix.SYS_EXECVE, 4, 5, 6)
	_ = call1(unix.SYS_SENDMSG, uintptr(must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))), 7, 0)
	_ = call1(unix.SYS_CONNECT, uintptr(must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))), 8, 16)
	_ = call1(unix.SYS_OPENAT2, 0xffffff9c, ptr("how"), 9, 24)
	return nil
})

func TestUnreadableArgumentsAreMissing(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{
		KindOpenat, KindOpenat2, KindRenameat2, KindExecve, KindSendmsg, KindConnect,
	}})
	records := w.run(t, badPointers, tempDir(t))
	second := func(pointer uint64) func(*Record) bool {
		return func(r *Record) bool { return r.Args[1] == pointer }
	}
	check(t, "openat's PathValid", only(t, records, KindOpenat, second(1)).PathValid, false)
	rename := only(t, records, KindRenameat2, second(2))
	check(t, "renameat2's PathValid", rename.PathValid || rename.Path2Valid, false)
	exec := only(t, records, KindExecve, second(5))
	check(t, "execve's PathValid", exec.PathValid, false)
	check(t, "execve's Argv", len(exec.Exec.Argv)+len(exec.Exec.Env), 0)
	check(t, "sendmsg's Data", len(only(t, records, KindSendmsg, second(7)).Data), 0)
	check(t, "connect's Addr", only(t, records, KindConnect, second(8)).Addr.IsValid(), false)
	how := only(t, records, KindOpenat2, pathIs("how"))
	check(t, "openat2's OpenFlags", how.OpenFlags, 0)
	check(t, "openat2's Ret", how.Ret, -int64(unix.EFAULT))
}

// A setuid program must show with the credentials that it got, not those it was started
// with.
func TestASetuidProgramRunsWithItsOwnersRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a setuid program of root's")
	}
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve}})
	dir := tempDir(t)
	program := dir + "/setuid"
	if err := os.WriteFile(program, must(os.ReadFile("/bin/true")), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.SysProcAttr = asNobody()
	r := only(t, w.command(t, cmd), KindExecve, anyRecord)
	check(t, "UID", r.UID, 0)
	check(t, "GID", r.GID, 65534)
	check(t, "Writable", r.Exec.Writable, true)

	cmd = exec.CommandContext(t.Context(), "/bin/true")
	cmd.SysProcAttr = asNobody()
	r = only(t, w.command(t, cmd), KindExecve, anyRecord)
	check(t, "UID", r.UID, 65534)
	check(t, "CapPermitted", r.CapPermitted, 0)
	check(t, "Writable", r.Exec.Writable, false)
}

func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

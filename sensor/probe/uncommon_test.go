package probe

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uncommonCalls makes one call of each of several kinds that are reported only when asked for.
var uncommonCalls = action("uncommon calls", func() error {
	path := filepath.Join(os.Getenv(folderVariable), "file")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	name := must(unix.BytePtrFromString(path))
	if _, err := unix.Write(fd, []byte("written")); err != nil {
		return err
	}
	if _, err := unix.Pread(fd, make([]byte, 7), 0); err != nil {
		return err
	}
	if _, err := unix.Writev(fd, [][]byte{[]byte("in "), []byte("two")}); err != nil {
		return err
	}
	mapped, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	if err := unix.Munmap(mapped); err != nil {
		return err
	}
	if err := unix.Mknodat(unix.AT_FDCWD, path+".fifo", unix.S_IFIFO|0o600, 0); err != nil {
		return err
	}
	// What these return does not matter.
	_, _ = unix.IoctlGetInt(fd, 0x5413)
	_, _ = unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 0, 0, 0)
	_, _, _ = unix.Syscall6(unix.SYS_FCHMODAT2, ^uintptr(99), uintptr(unsafe.Pointer(name)), 0o640, 0, 0, 0)
	_ = unix.DeleteModule("saker_no_such_module", unix.O_NONBLOCK)
	_, _, _ = unix.Syscall(unix.SYS_PIVOT_ROOT, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(name)), 0)
	_, _, _ = unix.Syscall6(unix.SYS_PROCESS_VM_WRITEV, 1<<22, 0, 0, 0, 0, 0)
	_, _, _ = unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
	return unix.Close(fd)
})

const folderVariable = "SAKER_PROBE_TEST_FOLDER"

func TestUncommonCallsAreReportedWhenTheyAreAskedFor(t *testing.T) {
	kinds := []Kind{
		KindWrite, KindPread, KindWritev, KindMmap, KindMunmap, KindMknodat, KindIoctl, KindKeyctl, KindFchmodat2,
		KindDeleteModule, KindPivotRoot, KindProcessVMWritev, KindIoUringSetup, KindClose,
	}
	w := startWatch(t, Interest{Kinds: kinds})
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	records := w.run(t, uncommonCalls, dir, folderVariable+"="+dir)
	ofFile := func(r *Record) bool { return r.File.Path == path }
	returns := func(e unix.Errno) func(*Record) bool {
		return func(r *Record) bool { return r.Ret == -int64(e) }
	}

	r := only(t, records, KindWrite, ofFile)
	check(t, "written data", string(r.Data), "written")
	check(t, "written bytes", r.Ret, 7)
	r = only(t, records, KindPread, ofFile)
	check(t, "read data", string(r.Data), "written")
	r = only(t, records, KindWritev, ofFile)
	check(t, "data of a vector", string(r.Data), "in two")
	r = only(t, records, KindMmap, ofFile)
	check(t, "mapped length", r.Args[1], 4096)
	check(t, "ioctl", only(t, records, KindIoctl, ofFile).Args[1], 0x5413)
	check(t, "keyctl", len(slices.DeleteFunc(slices.Clone(records), func(r *Record) bool { return r.Kind != KindKeyctl })), 1)
	only(t, records, KindMknodat, pathIs(path+".fifo"))
	check(t, "mode", only(t, records, KindFchmodat2, pathIs(path)).Mode, 0o640)
	only(t, records, KindDeleteModule, pathIs("saker_no_such_module"))
	check(t, "second path", only(t, records, KindPivotRoot, pathIs(path)).Path2, path)
	only(t, records, KindProcessVMWritev, anyRecord)
	only(t, records, KindIoUringSetup, returns(unix.EFAULT))
}

func TestAnFchmodat2CountsAsFchmodatUnlessItIsAskedFor(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindFchmodat}})
	dir := t.TempDir()
	records := w.run(t, uncommonCalls, dir, folderVariable+"="+dir)
	check(t, "mode", only(t, records, KindFchmodat, anyRecord).Mode, 0o640)
}

func TestReadsAndWritesAreNarrowedByTheirDescriptor(t *testing.T) {
	w := startWatch(t, Interest{
		Kinds:   []Kind{KindWrite, KindPread},
		Clauses: []Clause{{Kinds: []Kind{KindWrite}, Families: 1 << unix.AF_INET}},
	})
	dir := t.TempDir()
	records := w.run(t, uncommonCalls, dir, folderVariable+"="+dir)
	only(t, records, KindPread, func(r *Record) bool { return r.File.Path == filepath.Join(dir, "file") })
	for _, r := range records {
		if r.Kind == KindWrite && r.File.Kind == FileRegular {
			t.Errorf("a write to %q is reported", r.File.Path)
		}
	}
}

var forks = action("forks", func() error {
	clone3 := [11]uint64{unix.CLONE_FS, 4: uint64(unix.SIGCHLD)}
	for _, call := range [][3]uintptr{
		{unix.SYS_CLONE, unix.CLONE_FILES | uintptr(unix.SIGCHLD), 0},
		{unix.SYS_CLONE3, uintptr(unsafe.Pointer(&clone3)), unsafe.Sizeof(clone3)},
	} {
		// The child has a copy of this thread and its memory, and ends at once.
		pid, _, errno := unix.RawSyscall6(call[0], call[1], call[2], 0, 0, 0, 0)
		if pid == 0 && errno == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if errno != 0 {
			return errno
		}
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != nil {
			return err
		}
	}
	return nil
})

func TestAForkTellsItsSystemCall(t *testing.T) {
	w := startWatch(t, Interest{Threads: true})
	records := w.run(t, forks, t.TempDir())
	var found []Fork
	threads := 0
	for _, r := range records {
		switch {
		case r.Kind != KindFork || r.PID == int32(os.Getpid()):
		case r.Fork.ChildTID == r.Fork.ChildPID:
			found = append(found, *r.Fork)
		default:
			threads++
			check(t, "flag of a thread", r.Fork.Flags&unix.CLONE_THREAD, unix.CLONE_THREAD)
		}
	}
	if len(found) != 2 || threads == 0 {
		t.Fatalf("%d processes and %d threads were made, want 2 and some", len(found), threads)
	}
	check(t, "first call", found[0].Call, ForkByClone)
	check(t, "its flag", found[0].Flags&unix.CLONE_FILES, unix.CLONE_FILES)
	check(t, "second call", found[1].Call, ForkByClone3)
	check(t, "its flags", found[1].Flags, unix.CLONE_FS)
}

// TestEveryNumberIsThatOfTheCallOfItsName reads the tables of all architectures.
func TestEveryNumberIsThatOfTheCallOfItsName(t *testing.T) {
	other := map[string]string{"pread": "PREAD64", "pwrite": "PWRITE64", "prlimit": "PRLIMIT64"}
	for _, file := range []string{"numbers_amd64.go", "numbers_arm64.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(parsed, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, ok := kv.Key.(*ast.Ident)
			list, isList := kv.Value.(*ast.CompositeLit)
			if !ok || !isList || len(list.Elts) != 1 {
				return true
			}
			found++
			constant := list.Elts[0].(*ast.SelectorExpr).Sel.Name
			name := strings.ToLower(strings.TrimPrefix(key.Name, "Kind"))
			for of, is := range other {
				if constant == "SYS_"+is {
					constant = "SYS_" + of
				}
			}
			if got := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(constant, "SYS_"), "_", "")); got != name {
				t.Errorf("%s: %s is %s", file, key.Name, constant)
			}
			return true
		})
		if found < 300 {
			t.Errorf("%s has %d calls", file, found)
		}
	}
}

// TestEveryCallOfTheMachineIsAKind leaves out those that never return and those of forks.
func TestEveryCallOfTheMachineIsAKind(t *testing.T) {
	known := make(map[uint32]bool)
	for _, list := range numbers {
		for _, nr := range list {
			known[nr] = true
		}
	}
	for nr := range forkCalls {
		known[nr] = true
	}
	for _, nr := range []uint32{unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN} {
		known[nr] = true
	}
	var missing []string
	for nr := uint32(424); nr <= unix.SYS_RSEQ_SLICE_YIELD; nr++ { // numbers that all machines share
		if !known[nr] {
			missing = append(missing, fmt.Sprint(nr))
		}
	}
	if len(missing) > 0 {
		t.Errorf("no kind has the calls %s", strings.Join(missing, " "))
	}
}

package interest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// workloadEnv makes the test's program do the workload of that seed instead.
const workloadEnv = "SAKER_INTEREST_WORKLOAD"

func TestMain(m *testing.M) {
	if s := os.Getenv(workloadEnv); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err == nil {
			err = workload(seed)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// workload makes calls of all kinds that clauses are about, at random but the same for each
// seed. It writes below the folder that holds its program only, and speaks to this machine
// only.
func workload(seed uint64) error {
	runtime.LockOSThread()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w := &worker{rng: rand.New(rand.NewPCG(seed, 1)), root: filepath.Dir(filepath.Dir(self))}
	w.dirfd, err = unix.Open(filepath.Join(w.root, "etc"), unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	for range 500 {
		switch w.rng.IntN(8) {
		case 0:
			w.socket()
		case 1:
			w.name()
		case 2:
			w.duplicate()
		default:
			w.open()
		}
	}
	w.pair()
	return w.execute()
}

type worker struct {
	rng   *rand.Rand
	root  string
	dirfd int
	names int
}

// path is one below the worker's own folder, in all the ways that paths are written.
func (w *worker) path() string {
	p := pick(w.rng, []string{
		"passwd", "shadow", "sub/x", ".ssh/id_rsa", "../u/.ssh/a", "./passwd", "..", ".", "log/", "etc//passwd", "new", "release_agent",
		"../../etc/passwd", "../../etc/sub/../passwd", "id_rsa", "none/none", "",
	})
	switch w.rng.IntN(3) {
	case 0:
		return filepath.Join(w.root, "etc") + "/" + p
	case 1:
		return w.root + pick(w.rng, []string{"/etc/passwd", "/home/u/.ssh/id_rsa", "//etc/passwd", "/etc/./sub", "/home/../etc/passwd", "/etc/"})
	}
	return p
}

// others are files of the machine, which are only read.
var others = []string{
	"/etc/passwd", "/etc/shadow", "/etc/hosts", "/proc/self/environ", "/proc/1/environ", "/usr/bin/ssh", "/etc/../etc/shadow",
	"/etc/pam.d/none", "/root/.ssh/id_rsa", "/etc//passwd", "/", "/etc", "/nonexistent", "/dev/null",
}

func (w *worker) open() {
	path, flags := w.path(), pick(w.rng, []int{
		unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_TRUNC, unix.O_WRONLY | unix.O_CREAT, unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC,
		unix.O_RDONLY | unix.O_CREAT | unix.O_EXCL, unix.O_DIRECTORY, unix.O_TMPFILE | unix.O_RDWR, unix.O_WRONLY | unix.O_APPEND, unix.O_PATH, 3,
	})
	if w.rng.IntN(2) == 0 {
		path, flags = pick(w.rng, others), pick(w.rng, []int{unix.O_RDONLY, unix.O_DIRECTORY, unix.O_RDONLY | unix.O_NOFOLLOW})
	}
	dirfd := pick(w.rng, []int{unix.AT_FDCWD, unix.AT_FDCWD, w.dirfd, 999})
	mode := pick(w.rng, []uint32{0o600, 0o755})
	var fd int
	var err error
	switch w.rng.IntN(4) {
	case 0:
		fd, err = plainOpen(path, flags, mode)
	case 1:
		fd, err = unix.Openat2(dirfd, path, &unix.OpenHow{Flags: uint64(flags &^ 3 & ^unix.O_TRUNC), Mode: 0})
	default:
		fd, err = unix.Openat(dirfd, path, flags, mode)
	}
	if err == nil {
		unix.Close(fd)
	}
}

func (w *worker) socket() {
	family := pick(w.rng, []int{unix.AF_INET, unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_NETLINK, unix.AF_PACKET, 99})
	kind := pick(w.rng, []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW})
	fd, err := unix.Socket(family, kind, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if kind == unix.SOCK_RAW {
		return
	}
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}
	switch family {
	case unix.AF_INET6:
		to = &unix.SockaddrInet6{Port: 9, Addr: [16]byte{15: 1}}
	case unix.AF_UNIX:
		to = &unix.SockaddrUnix{Name: filepath.Join(w.root, "none")}
	case unix.AF_INET:
	default:
		return
	}
	if w.rng.IntN(2) == 0 {
		_ = unix.SetNonblock(fd, true)
		_ = unix.Connect(fd, to)
	} else if kind == unix.SOCK_DGRAM {
		_ = unix.Sendto(fd, []byte("hello"), unix.MSG_DONTWAIT, to)
	}
	_, _, _ = unix.Recvfrom(fd, make([]byte, 8), unix.MSG_DONTWAIT)
	w.onto(fd)
}

// onto puts a copy of a descriptor into one of the first places and back.
func (w *worker) onto(fd int) {
	place := w.rng.IntN(4)
	saved, err := unix.Dup(place)
	if err != nil {
		return
	}
	_ = unix.Dup3(fd, place, 0)
	_ = unix.Dup3(saved, place, 0)
	unix.Close(saved)
}

func (w *worker) duplicate() {
	fd := pick(w.rng, []int{0, 1, 2, w.dirfd, 999})
	if copied, err := unix.Dup(fd); err == nil {
		unix.Close(copied)
	}
}

func (w *worker) name() {
	w.names++
	a, b := filepath.Join(w.root, fmt.Sprint("n", w.names)), filepath.Join(w.root, fmt.Sprint("m", w.names))
	switch w.rng.IntN(5) {
	case 0:
		_ = unix.Rename(a, b)
	case 1:
		_ = unix.Symlink("/etc/shadow", a)
		if fd, err := unix.Open(a, unix.O_RDONLY, 0); err == nil {
			unix.Close(fd)
		}
		_ = unix.Unlink(a)
	case 2:
		_ = unix.Mkdir(a, 0o755)
		_ = unix.Chmod(a, 0o4755)
		_ = unix.Rmdir(a)
	case 3:
		_ = unix.Chdir(pick(w.rng, []string{filepath.Join(w.root, "etc"), filepath.Join(w.root, "home/u"), w.root, "/none"}))
	case 4:
		_ = unix.Unlink(b)
	}
}

// pair connects two sockets of this machine over loopback.
func (w *worker) pair() {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return
	}
	defer unix.Close(listener)
	if unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) != nil || unix.Listen(listener, 1) != nil {
		return
	}
	address, err := unix.Getsockname(listener)
	if err != nil {
		return
	}
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return
	}
	defer unix.Close(client)
	if unix.Connect(client, address) != nil {
		return
	}
	if server, _, err := unix.Accept(listener); err == nil {
		w.onto(server)
		_ = unix.Sendto(server, []byte("x"), unix.MSG_NOSIGNAL, nil)
		unix.Close(server)
	}
	w.onto(client)
}

// execute runs programs: one that is there, one that is not, and this one under another name
// with a shorter life.
func (w *worker) execute() error {
	_ = exec.Command(filepath.Join(w.root, "bin/none")).Run()
	_ = exec.Command("/bin/true", "ssh").Run()
	if os.Getenv("A") == "nested" {
		return nil
	}
	cmd := exec.Command(filepath.Join(w.root, "bin", "ssh"), "-test.run=none")
	cmd.Env = []string{fmt.Sprintf("%s=%d", workloadEnv, w.rng.Uint64()), "A=nested"}
	cmd.Dir = w.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// plainOpen is the call open, which the C library and Go no longer make.
func plainOpen(path string, flags int, mode uint32) (int, error) {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	fd, _, errno := unix.Syscall(sysOpen, uintptr(unsafe.Pointer(p)), uintptr(flags), uintptr(mode))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// Program trigger does, once and for real, what security rules look for, so that the
// whole-product tests can wait for the alert. It is built static, so that it also runs in
// a container that holds nothing else.
//
// It stands outside the product: it is the attacker of the tests.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// actions are the things that can be done, by name. Each takes the arguments that follow.
var actions = map[string]func(args []string) error{
	"noop":              func([]string) error { return nil },
	"read":              read,
	"read-later":        readLater,
	"write":             write,
	"truncate":          truncate,
	"rename":            func(a []string) error { return os.Rename(a[0], a[1]) },
	"delete":            func(a []string) error { return os.Remove(a[0]) },
	"spawn":             spawn,
	"spawn-as":          spawnAs,
	"copy-and-run":      copyAndRun,
	"packet-socket":     packetSocket,
	"redirect":          redirect,
	"serve-and-connect": serveAndConnect,
	"load-module":       loadModule,
	"attach":            attach,
	"trace-me":          traceMe,
	"memfd":             memfd,
	"enter":             enter,
	"unshare":           func([]string) error { return unix.Unshare(unix.CLONE_NEWUTS) },
	"wait":              func([]string) error { var b [1]byte; _, _ = os.Stdin.Read(b[:]); return nil },
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: trigger ACTION [ARGUMENT ...]")
		os.Exit(2)
	}
	do, ok := actions[os.Args[1]]
	if !ok {
		fmt.Fprintf(os.Stderr, "trigger: no action %q\n", os.Args[1])
		os.Exit(2)
	}
	if err := do(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "trigger %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func read(a []string) error {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// readLater reads the file a[1] once the program has run for the time a[0].
func readLater(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return err
	}
	time.Sleep(d)
	return read(a[1:])
}

func write(a []string) error {
	fd, err := unix.Open(a[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func truncate(a []string) error {
	fd, err := unix.Open(a[0], unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// spawn runs a program and waits for it; what it answers does not matter.
func spawn(a []string) error {
	err := exec.Command(a[0], a[1:]...).Run()
	if _, ended := err.(*exec.ExitError); ended { //nolint:errorlint // exec returns it bare
		return nil
	}
	return err
}

// spawnAs runs a program as the user a[0].
func spawnAs(a []string) error {
	u, err := user.Lookup(a[0])
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	cmd := exec.Command(a[1], a[2:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	err = cmd.Run()
	if _, ended := err.(*exec.ExitError); ended { //nolint:errorlint // exec returns it bare
		return nil
	}
	return err
}

// copyAndRun writes this program to the path a[0] and runs the copy.
func copyAndRun(a []string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(a[0], self, 0o755); err != nil {
		return err
	}
	return spawn([]string{a[0], "noop"})
}

func packetSocket([]string) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// redirect makes a connection over loopback its standard input.
func redirect([]string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	return unix.Dup3(int(f.Fd()), 0, 0)
}

// serveAndConnect listens on a[0], connects to it and accepts the connection.
func serveAndConnect(a []string) error {
	l, err := net.Listen("tcp4", a[0])
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", a[0])
	if err != nil {
		return err
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		return err
	}
	return accepted.Close()
}

// enter joins the namespace that it is in already.
func enter([]string) error {
	fd, err := unix.Open("/proc/self/ns/uts", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWUTS)
}

// loadModule asks the kernel to load a module from no file at all.
func loadModule([]string) error {
	_ = unix.FinitModule(-1, "", 0)
	return nil
}

// attach traces a child. The kernel may stop the child for one signal or another, so that
// only killing it ends it for sure.
func attach([]string) error {
	runtime.LockOSThread()
	child := exec.Command("/proc/self/exe", "wait")
	if _, err := child.StdinPipe(); err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	err := unix.PtraceAttach(child.Process.Pid)
	return errors.Join(err, end(child))
}

// traceMe starts a child that asks to be traced.
func traceMe([]string) error {
	runtime.LockOSThread()
	child := exec.Command("/proc/self/exe", "wait")
	child.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := child.Start(); err != nil {
		return err
	}
	return end(child)
}

// end kills a child and waits for it.
func end(child *exec.Cmd) error {
	if err := child.Process.Kill(); err != nil {
		return err
	}
	_, err := child.Process.Wait()
	return err
}

// memfd runs this program from a file that exists in memory only.
func memfd([]string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("payload", 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "payload")
	if _, err := f.Write(self); err != nil {
		return err
	}
	return spawn([]string{"/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(fd), "noop"})
}

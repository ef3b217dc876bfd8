package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ended drops the error of a program that ran: what it answered does not matter.
func ended(err error) error {
	if _, ran := errors.AsType[*exec.ExitError](err); ran {
		return nil
	}
	return err
}

// spawn runs a program and waits for it.
func spawn(a []string) error {
	return ended(exec.Command(a[0], a[1:]...).Run())
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
	return ended(cmd.Run())
}

// spawnInTerminal runs a program in a terminal of its own, as its session's leader.
func spawnInTerminal(a []string) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer slave.Close()
	cmd := exec.Command(a[0], a[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return ended(cmd.Run())
}

// spawnLogin runs a program whose login user is the one with the id a[0].
func spawnLogin(a []string) error {
	runtime.LockOSThread() // a thread may set its own only, and its children inherit it
	if err := os.WriteFile("/proc/thread-self/loginuid", []byte(a[0]), 0); err != nil {
		return err
	}
	return spawn(a[1:])
}

// execLater becomes another program after the time a[0].
func execLater(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return err
	}
	time.Sleep(d)
	return unix.Exec(a[1], a[1:], os.Environ())
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

// setuid asks to become the user with the id a[0], by the call itself: Go's asks for each
// of its threads. That it is refused does not matter.
func setuid(a []string) error {
	id, err := strconv.Atoi(a[0])
	if err != nil {
		return err
	}
	_, _, _ = unix.RawSyscall(unix.SYS_SETUID, uintptr(id), 0, 0)
	return nil
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

// loadBPF asks the kernel to load a program that is none.
func loadBPF([]string) error {
	var attributes [128]byte
	_, _, _ = unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	return nil
}

// handleFaults asks for the page faults of this process, as anybody may.
func handleFaults([]string) error {
	const userModeOnly = 1
	_, _, _ = unix.Syscall(unix.SYS_USERFAULTFD, userModeOnly, 0, 0)
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

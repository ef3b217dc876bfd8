package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loadCommand makes this program one of the loads.
const loadCommand = "load"

// result is what a load says of itself when it ends.
type result struct {
	Operations int           `json:"operations"`
	Took       time.Duration `json:"took"`
}

// batches is how many times a second a load that keeps a rate catches up with it.
const batches = 1000

// runLoad makes the load NAME for LENGTH at RATE operations a second, 0 for as many as it
// can, and prints the result.
func runLoad(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: load NAME LENGTH RATE [ARGUMENT]")
	}
	length, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	operation, err := operations[args[0]](args[3:])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(repeat(length, rate, operation))
}

var operations = map[string]func([]string) (func(), error){
	"open":    openClose,
	"exec":    execTrue,
	"connect": connectLoop,
}

func repeat(length time.Duration, rate int, operation func()) result {
	start := time.Now()
	done := 0
	for {
		took := time.Since(start)
		if took >= length {
			return result{Operations: done, Took: took}
		}
		// At no rate, the clock is read once in a while only.
		due := done + 256
		if rate > 0 {
			due = int(took.Seconds() * float64(rate))
		}
		for ; done < due; done++ {
			operation()
		}
		if rate > 0 {
			next := unix.NsecToTimespec(int64(time.Second / batches))
			_ = unix.Nanosleep(&next, nil)
		}
	}
}

func openClose(args []string) (func(), error) {
	path, err := unix.BytePtrFromString(args[0])
	if err != nil {
		return nil, err
	}
	return func() {
		if fd := open(path); fd >= 0 {
			_ = unix.Close(fd)
		}
	}, nil
}

func execTrue([]string) (func(), error) {
	attributes := &syscall.ProcAttr{Env: []string{"PATH=/usr/bin:/bin"}}
	return func() {
		pid, err := syscall.ForkExec("/bin/true", []string{"/bin/true"}, attributes)
		if err == nil {
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	}, nil
}

// connectLoop connects to a listener of its own over loopback and closes both ends.
func connectLoop([]string) (func(), error) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(listener, address); err != nil {
		return nil, err
	}
	if err := unix.Listen(listener, 128); err != nil {
		return nil, err
	}
	bound, err := unix.Getsockname(listener)
	if err != nil {
		return nil, err
	}
	linger := &unix.Linger{Onoff: 1} // no port is left waiting
	return func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return
		}
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, linger)
		if unix.Connect(fd, bound) == nil {
			if peer, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC); err == nil {
				_ = unix.Close(peer)
			}
		}
		_ = unix.Close(fd)
	}, nil
}

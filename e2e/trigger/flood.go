package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floodStep is how many opens a flood makes between two lines of output.
const floodStep = 100_000

// openFlood opens the file a[0] from a[1] threads as fast as they can until standard input
// ends, and prints a line at each step.
func openFlood(a []string) error {
	path, threads, err := pathAndNumber(a)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	var opened atomic.Uint64
	var flood sync.WaitGroup
	for range threads {
		flood.Go(func() {
			runtime.LockOSThread()
			for !stop.Load() {
				openOnce(path)
				if n := opened.Add(1); n%floodStep == 0 {
					fmt.Println(n)
				}
			}
		})
	}
	var b [1]byte
	_, _ = os.Stdin.Read(b[:])
	stop.Store(true)
	flood.Wait()
	return nil
}

// openTimes opens the file a[0] a[1] times.
func openTimes(a []string) error {
	path, times, err := pathAndNumber(a)
	if err != nil {
		return err
	}
	for range times {
		openOnce(path)
	}
	return nil
}

func pathAndNumber(a []string) (*byte, int, error) {
	path, err := unix.BytePtrFromString(a[0])
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.Atoi(a[1])
	return path, n, err
}

func openOnce(path *byte) {
	dir := unix.AT_FDCWD
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(path)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno == 0 {
		_ = unix.Close(int(fd))
	}
}

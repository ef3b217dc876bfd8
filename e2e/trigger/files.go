package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func openAndClose(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags, mode)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func read(a []string) error { return openAndClose(a[0], unix.O_RDONLY, 0) }

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
	return openAndClose(a[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
}

func truncate(a []string) error {
	return openAndClose(a[0], unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
}

// create makes the file a[1] with the mode a[0], which is octal.
func create(a []string) error {
	mode, err := strconv.ParseUint(a[0], 8, 12)
	if err != nil {
		return err
	}
	return openAndClose(a[1], unix.O_WRONLY|unix.O_CREAT, uint32(mode))
}

// writeToFD opens the file a[0], and opens it once more through /proc for writing.
func writeToFD(a []string) error {
	const number = 42
	fd, err := unix.Open(a[0], unix.O_RDONLY|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	if err := unix.Dup3(fd, number, 0); err != nil {
		return err
	}
	return openAndClose(fmt.Sprintf("/proc/self/fd/%d", number), unix.O_WRONLY, 0)
}

// link makes a[1] another name of the file a[0], if both are on one file system.
func link(a []string) error {
	err := unix.Link(a[0], a[1])
	if errors.Is(err, unix.EXDEV) {
		return nil
	}
	return err
}

// chmod gives the file a[2] the mode a[1], which is octal, by the system call a[0].
func chmod(a []string) error {
	mode, err := strconv.ParseUint(a[1], 8, 12)
	if err != nil {
		return err
	}
	switch a[0] {
	case "chmod":
		return unix.Chmod(a[2], uint32(mode))
	case "fchmodat":
		return unix.Fchmodat(unix.AT_FDCWD, a[2], uint32(mode), 0)
	case "fchmod":
		f, err := os.Open(a[2])
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fchmod(int(f.Fd()), uint32(mode))
	}
	return fmt.Errorf("no call %q", a[0])
}

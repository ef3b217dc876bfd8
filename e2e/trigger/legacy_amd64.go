package main

import (
	"fmt"
	"maps"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Newer architectures do not have these calls, and Go does not make them.
func init() {
	maps.Copy(actions, map[string]func([]string) error{
		"legacy-open":     func(a []string) error { return call(unix.SYS_OPEN, a[0], "", unix.O_WRONLY|unix.O_CREAT, 0o644) },
		"legacy-unlink":   func(a []string) error { return call(unix.SYS_UNLINK, a[0], "", 0, 0) },
		"legacy-rmdir":    func(a []string) error { return call(unix.SYS_RMDIR, a[0], "", 0, 0) },
		"legacy-mkdir":    func(a []string) error { return call(unix.SYS_MKDIR, a[0], "", 0o755, 0) },
		"legacy-rename":   func(a []string) error { return call(unix.SYS_RENAME, a[0], a[1], 0, 0) },
		"legacy-link":     func(a []string) error { _ = call(unix.SYS_LINK, a[0], a[1], 0, 0); return nil },
		"legacy-symlink":  func(a []string) error { return call(unix.SYS_SYMLINK, a[0], a[1], 0, 0) },
		"legacy-chmod":    func(a []string) error { return withMode(unix.SYS_CHMOD, a) },
		"legacy-creat":    func(a []string) error { return withMode(unix.SYS_CREAT, a) },
		"legacy-redirect": func(a []string) error { return redirectBy(a, dup2) },
	})
}

func dup2(from, to int) error {
	if _, _, errno := unix.Syscall(unix.SYS_DUP2, uintptr(from), uintptr(to), 0); errno != 0 {
		return errno
	}
	return nil
}

// call makes a system call on one or two paths, which further arguments follow.
func call(number uintptr, first, second string, third, fourth uintptr) error {
	p, err := unix.BytePtrFromString(first)
	if err != nil {
		return err
	}
	q, err := unix.BytePtrFromString(second)
	if err != nil {
		return err
	}
	var errno unix.Errno
	if second == "" {
		_, _, errno = unix.Syscall(number, uintptr(unsafe.Pointer(p)), third, fourth)
	} else {
		_, _, errno = unix.Syscall(number, uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(q)), third)
	}
	if errno != 0 {
		return fmt.Errorf("system call %d on %q: %w", number, first, errno)
	}
	return nil
}

// withMode makes a system call on the path a[1] with the mode a[0], which is octal.
func withMode(number uintptr, a []string) error {
	mode, err := strconv.ParseUint(a[0], 8, 12)
	if err != nil {
		return err
	}
	return call(number, a[1], "", uintptr(mode), 0)
}

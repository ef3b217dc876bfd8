package syscalls_test

import "golang.org/x/sys/unix"

// hasLegacyOpen says that the architecture has open besides openat.
const hasLegacyOpen = true

func legacyOpen(path string) { _, _, _ = unix.Syscall(unix.SYS_OPEN, cstring(path), 0, 0) }

//go:build !amd64

package syscalls_test

// hasLegacyOpen says that the architecture has open besides openat.
const hasLegacyOpen = false

func legacyOpen(string) {}

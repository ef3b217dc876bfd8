//go:build !amd64

package probe

// legacyOpen makes one of the old opens, which are not here.
func (c *caller) legacyOpen(func(uintptr, ...uintptr), uintptr) bool { return false }

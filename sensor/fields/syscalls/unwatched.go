package syscalls

import "strings"

// unwatched are further names that evt.type may be compared with, although no event ever has
// them. Rules written for Falco name them.
var unwatched = func() map[string]bool {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(neverReturning + otherNames + noCalls) {
		known[name] = true
	}
	return known
}()

const (
	// neverReturning are system calls that have no end to be seen. The end of a process is
	// procexit.
	neverReturning = `exit exit_group rt_sigreturn `

	// otherNames are system calls whose events have another name, which is Falco's: pread,
	// pwrite and prlimit, and those that 32-bit programs share with others, such as stat.
	otherNames = `
		pread64 pwrite64 prlimit64 fstat64 llseek lstat64 mmap2 stat64 umount `

	// noCalls are Falco's events that are no system calls.
	noCalls = `
		asyncevent container cpu_hotplug drop groupadded groupdeleted infra k8s mesos
		notification page_fault pluginevent procinfo scapevent signaldeliver switch syscall
		tracer useradded userdeleted userevent
	`
)

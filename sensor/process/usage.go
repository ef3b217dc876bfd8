package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Usage is what a process takes of the machine at the moment it is asked for.
type Usage struct {
	// Threads is the number of its threads.
	Threads uint64
	// VMSize, VMRSS and VMSwap are its virtual, resident and swapped memory in KiB, 0 for a
	// thread of the kernel.
	VMSize, VMRSS, VMSwap uint64
}

// Usage reads what p uses from /proc. It is false for a process that is gone.
func (t *Table) Usage(p *Process) (Usage, bool) {
	if p.Exited() {
		return Usage{}, false
	}
	raw, err := t.fs.read(p.PID, "status", 8192)
	if err != nil {
		return Usage{}, false
	}
	return parseUsage(raw), true
}

// parseUsage reads /proc/<pid>/status; what is missing stays zero.
func parseUsage(b []byte) Usage {
	var u Usage
	to := map[string]*uint64{"Threads": &u.Threads, "VmSize": &u.VMSize, "VmRSS": &u.VMRSS, "VmSwap": &u.VMSwap}
	for line := range bytes.Lines(b) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		if n := to[string(key)]; n != nil {
			*n, _ = strconv.ParseUint(firstWord(string(value)), 10, 64)
		}
	}
	return u
}

func firstWord(s string) string {
	for word := range strings.FieldsSeq(s) {
		return word
	}
	return ""
}

// DescriptorLimit returns how many descriptors p may have open, -1 for any number. It is
// false for a process that is gone.
func (t *Table) DescriptorLimit(p *Process) (int64, bool) {
	if p.Exited() {
		return 0, false
	}
	raw, err := t.fs.read(p.PID, "limits", 4096)
	if err != nil {
		return 0, false
	}
	return parseDescriptorLimit(raw)
}

// parseDescriptorLimit reads the soft limit from /proc/<pid>/limits.
func parseDescriptorLimit(b []byte) (int64, bool) {
	for line := range bytes.Lines(b) {
		value, ok := bytes.CutPrefix(line, []byte("Max open files"))
		if !ok {
			continue
		}
		word := firstWord(string(value))
		if word == "unlimited" {
			return -1, true
		}
		n, err := strconv.ParseInt(word, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// countLimit bounds what is counted on kernels before 6.2, which do not keep the count.
const countLimit = 65536

// DescriptorCount returns how many descriptors p has open. It is false for a process that
// is gone.
func (t *Table) DescriptorCount(p *Process) (uint64, bool) {
	if p.Exited() {
		return 0, false
	}
	info, err := os.Stat(t.fs.path(p.PID, "fd"))
	if err != nil {
		return 0, false
	}
	if n := info.Size(); n > 0 {
		return uint64(n), true
	}
	return uint64(len(t.fs.descriptors(p.PID, countLimit))), true
}

// PageFaults returns how often the thread tid of p had to wait for a page, and how often one
// was at hand. It is false for a thread that is gone.
func (t *Table) PageFaults(p *Process, tid int32) (major, minor uint64, ok bool) {
	if p.Exited() {
		return 0, 0, false
	}
	raw, err := t.fs.read(p.PID, filepath.Join("task", strconv.Itoa(int(tid)), "stat"), 4096)
	if err != nil {
		return 0, 0, false
	}
	return parseFaults(raw)
}

// parseFaults reads the counts from /proc/<pid>/task/<tid>/stat.
func parseFaults(b []byte) (major, minor uint64, ok bool) {
	const atMinor, atMajor = 7, 9 // counted from the state, which follows the name
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) <= atMajor {
		return 0, 0, false
	}
	minor, errMinor := strconv.ParseUint(string(f[atMinor]), 10, 64)
	major, errMajor := strconv.ParseUint(string(f[atMajor]), 10, 64)
	return major, minor, errMinor == nil && errMajor == nil
}

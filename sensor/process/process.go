// Package process keeps the processes of the machine in user space: who started whom, from
// which program, as whom, in which container.
//
// It stands behind the probe: the probe's exec, fork and exit records change the Table, all
// other records are joined with the process they belong to, and fields/syscalls reads from
// it what rules ask. What was already running, and what a lost record left out, is read
// from /proc.
//
//	probe.Record ── Table.Apply ──> *Process ──> fields
//	                   │    ▲
//	           exec, fork,  └ /proc (start, healing, new parents of orphans)
//	           exit, chdir
//
// Threads are folded into their process, whose id is the thread group's. Facts that differ
// from thread to thread (effective ids, capabilities) come with each record and are not
// kept here.
//
// Memory is bounded by a number of processes and a number of bytes, see Options.
package process

import (
	"bytes"
	"iter"
	"strings"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/probe"
)

// Process is one process, or one that ended moments ago. It belongs to its Table, changes
// with the records that are applied, and may be read until the next Apply.
type Process struct {
	// PID is the process id in the host's pid namespace, PPID the parent's, 0 if unknown.
	PID, PPID int32
	// VPID is the process id in the process's own pid namespace.
	VPID int32
	// SID and PGID are session and process group in the host's pid namespace, VSID and
	// VPGID in the process's own. A setpgid shows from the next exec on.
	SID, PGID, VSID, VPGID int32
	// UID and GID are the effective ids at the last exec or fork.
	UID, GID uint32
	// LoginUID is the audit login id, 4294967295 if unset.
	LoginUID uint32
	// TTY is the encoded device number of the controlling terminal, 0 for none.
	TTY uint32
	// StartTime is when the process was forked, ExecTime when it last executed a program
	// (0 if it never did or that was not seen), PidnsStart when the first process of its pid
	// namespace started. All are in nanoseconds since the epoch, 0 if unknown.
	StartTime, ExecTime, PidnsStart uint64
	// ExecID is the probe.Record.ExecID of the records that are about Image, 0 before the
	// first of a process that was read from /proc.
	ExecID uint64
	// HostPidns says that the process is in the host's pid namespace.
	HostPidns bool
	// Comm is the name that the kernel gave the process when it executed its program or was
	// forked, at most 15 bytes. A name that it gave itself later is not followed, as in
	// Falco.
	Comm string
	// Cwd is the working directory with a slash at its end, empty if unknown.
	Cwd string
	// Cgroup is the path of the control group at the last exec or fork, Container what it
	// tells.
	Cgroup    string
	Container container.ID
	// Image is the program. It is never nil; of a process that nothing is known of it is
	// empty and Known is false.
	Image *Image

	cmdline    string // set where the image's was made with another name
	partial    bool   // known from a record alone: /proc was not or could not be read
	retryAt    uint64 // when a partial process may be looked up again
	exited     uint64 // when it ended
	prev, next *Process
}

// Exited says that the process has ended.
func (p *Process) Exited() bool { return p.exited != 0 }

// Cmdline is Comm, a space and Args; Comm alone when there are no arguments.
func (p *Process) Cmdline() string {
	if p.Comm == p.Image.comm {
		return p.Image.cmdline
	}
	if p.cmdline == "" {
		p.cmdline = joinCmdline(p.Comm, p.Image.Args())
	}
	return p.cmdline
}

func joinCmdline(comm, args string) string {
	if args == "" {
		return comm
	}
	return comm + " " + args
}

// Image is what a process executes. It is made once an exec, never changes, and is shared
// with the children that the process forks.
type Image struct {
	// Known is false when neither an exec nor /proc told about the program: then nothing
	// else is set.
	Known bool
	// Exe is the first argument as it was given, Exeline Exe, a space and the arguments.
	Exe, Exeline string
	// Path is the executable's path with symlinks resolved, "memfd:name" for a memfd, empty
	// if unknown or for a thread of the kernel.
	Path string
	// Inode, Ctime and Mtime are the executable's, times in nanoseconds since the epoch; 0
	// if unknown.
	Inode, Ctime, Mtime uint64
	// UpperLayer and LowerLayer say in which layer of an overlay file system the executable
	// is, FromMemfd that it is in a memfd, Writable that the process may write to it. They
	// are known for programs executed while the probe ran.
	UpperLayer, LowerLayer, FromMemfd, Writable bool

	argv    string // ended by NUL each
	env     string // ended by NUL each
	comm    string // the name that cmdline was made with
	cmdline string
	refs    int
}

// Args is the arguments after the first, joined by spaces.
func (im *Image) Args() string {
	if len(im.Exeline) <= len(im.Exe) {
		return ""
	}
	return im.Exeline[len(im.Exe)+1:]
}

// Arg returns the i-th argument after the first, counting from 0.
func (im *Image) Arg(i int) (string, bool) {
	n := 0
	for arg := range im.Argv() {
		if n == i+1 {
			return arg, true
		}
		n++
	}
	return "", false
}

// Nargs is the number of arguments after the first.
func (im *Image) Nargs() int { return max(0, strings.Count(im.argv, "\x00")-1) }

// Argv yields the arguments, the first among them, cut to the 4096 bytes that the probe
// reads.
func (im *Image) Argv() iter.Seq[string] { return nulTerminated(im.argv) }

// RawArgs returns the arguments after the first, each ended by NUL.
func (im *Image) RawArgs() string {
	if len(im.argv) <= len(im.Exe) {
		return ""
	}
	return im.argv[len(im.Exe)+1:]
}

// RawEnv returns the environment, each variable ended by NUL. It is empty if the table does
// not keep environments.
func (im *Image) RawEnv() string { return im.env }

// Getenv returns the value of the variable name at the exec.
func (im *Image) Getenv(name string) (string, bool) {
	for kv := range nulTerminated(im.env) {
		if v, ok := strings.CutPrefix(kv, name); ok && strings.HasPrefix(v, "=") {
			return v[1:], true
		}
	}
	return "", false
}

func nulTerminated(block string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := block; rest != ""; {
			s, after, _ := strings.Cut(rest, "\x00")
			if !yield(s) {
				return
			}
			rest = after
		}
	}
}

// imageOverhead is what an Image costs besides its strings, for the table's account.
const imageOverhead = 256

func (im *Image) size() int {
	n := imageOverhead + len(im.argv) + len(im.env) + len(im.Exeline) + len(im.Path)
	if !strings.HasSuffix(im.Exeline, im.cmdline) {
		n += len(im.cmdline)
	}
	return n
}

var unknown = &Image{}

// imageText is what an Image is made from: blocks whose strings are ended by NUL.
type imageText struct {
	argv, env  []byte
	path, comm string
}

// newImage makes an Image whose strings lie in one allocation. scratch is reused between
// calls and returned.
func newImage(t imageText, scratch []byte) (*Image, []byte) {
	argv0, rest, more := bytes.Cut(t.argv, nul)

	b := append(scratch[:0], t.argv...)
	b = endBlock(b, 0)
	argvEnd := len(b)
	b = append(b, t.env...)
	b = endBlock(b, argvEnd)
	envEnd := len(b)
	b = append(b, t.path...)
	pathEnd := len(b)
	b = append(b, argv0...)
	if more && len(rest) > 0 {
		b = append(b, ' ')
		b = append(b, bytes.TrimSuffix(rest, nul)...)
		for i := pathEnd; i < len(b); i++ {
			if b[i] == 0 {
				b[i] = ' '
			}
		}
	}
	exelineEnd := len(b)
	// The command line is the same text from the program's base name on, unless the name
	// was cut, or is not that of the first argument.
	cmdlineAt := pathEnd + len(argv0) - len(t.comm)
	if !bytes.HasSuffix(argv0, []byte(t.comm)) {
		cmdlineAt = len(b)
		b = append(b, t.comm...)
		b = append(b, b[pathEnd+len(argv0):exelineEnd]...)
	}
	all := string(b)
	im := &Image{
		Known:   true,
		argv:    all[:argvEnd],
		env:     all[argvEnd:envEnd],
		Path:    all[envEnd:pathEnd],
		Exe:     all[pathEnd : pathEnd+len(argv0)],
		Exeline: all[pathEnd:exelineEnd],
	}
	if cmdlineAt < exelineEnd {
		im.cmdline = all[cmdlineAt:exelineEnd]
	} else {
		im.cmdline = all[cmdlineAt:]
	}
	im.comm = im.cmdline[:len(t.comm)]
	return im, b
}

var nul = []byte{0}

// endBlock ends the block that starts at from with a NUL, which is missing where the probe
// cut it.
func endBlock(b []byte, from int) []byte {
	if len(b) > from && b[len(b)-1] != 0 {
		return append(b, 0)
	}
	return b
}

func newExecImage(rec *probe.Record, keepEnv bool, scratch []byte) (*Image, []byte) {
	e := rec.Exec
	t := imageText{argv: e.Argv, path: e.ExePath, comm: rec.Comm}
	if keepEnv {
		t.env = e.Env
	}
	im, scratch := newImage(t, scratch)
	im.Inode, im.Ctime, im.Mtime = e.Inode, e.Ctime, e.Mtime
	im.UpperLayer, im.LowerLayer = rec.UpperLayer, rec.LowerLayer
	im.FromMemfd, im.Writable = e.FromMemfd, e.Writable
	return im, scratch
}

// setFacts takes over what the kernel knows of the process besides its program.
func (p *Process) setFacts(f *probe.Facts) {
	p.PPID, p.LoginUID, p.TTY = f.PPID, f.LoginUID, f.TTY
	p.SID, p.PGID = f.SID, f.PGID
	p.VPID, p.VSID, p.VPGID = f.VPID, f.VSID, f.VPGID
	p.PidnsStart, p.HostPidns = f.PidnsStart, f.HostPidns
	if f.StartTime != 0 {
		p.StartTime = f.StartTime
	}
}

// setCgroup takes over the control group's path, which it clones only if it is a new one.
func (p *Process) setCgroup(path string) {
	if path == "" || path == p.Cgroup {
		return
	}
	p.Cgroup = strings.Clone(path)
	p.Container = container.FromCgroup(p.Cgroup)
}

// setCwd takes over the working directory, which it clones only if it is a new one.
func (p *Process) setCwd(dir string) {
	switch {
	case dir == "":
	case strings.HasSuffix(dir, "/"):
		if p.Cwd != dir {
			p.Cwd = strings.Clone(dir)
		}
	case len(p.Cwd) != len(dir)+1 || p.Cwd[:len(dir)] != dir:
		p.Cwd = dir + "/"
	}
}

// AppendCapabilities appends the names of the capabilities in set, separated by spaces;
// nothing for none.
func AppendCapabilities(b []byte, set uint64) []byte {
	first := true
	for c, name := range capabilityNames {
		if set&(1<<c) == 0 {
			continue
		}
		if !first {
			b = append(b, ' ')
		}
		b = append(append(b, "CAP_"...), name...)
		first = false
	}
	return b
}

// The capabilities by number.
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

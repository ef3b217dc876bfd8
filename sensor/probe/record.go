// Package probe watches the kernel: an eBPF program on the exits of chosen system calls and
// on the scheduler's exec, fork and exit, and the reader that turns its ring buffer's bytes
// into typed records.
//
// It stands first in the flow: kernel, probe, process table, fields, rules, report.
//
//	system call's exit ── on_sys_exit ── on_open, on_file, on_socket, … ─┐
//	exec, fork, exit ── on_exec, on_fork, on_exit ───────────────────────┴ ring ── Run ── handler
//
// on_sys_exit finds the call in a table that Interest writes, and leaves at once if it is of
// no interest. Then the clauses of the interest are narrowed to those that may hold for the
// call, cheap tests first, and a call that none is left for is dropped: nothing of it is
// gathered or copied. Paths are judged by one automaton for all clauses. What a rule cannot
// match thus ends in the kernel. As the ring fills up, kinds that come in floods are shed
// before those that the rest is understood by; what is filtered, shed and lost is counted by
// kind. A process is reported ended once, with its last thread.
//
// The programs are in bpf/, the objects made from them are committed (go generate). They
// need Linux 5.8 with type information (BTF), and read kernel memory faster from 6.1. System
// calls of 32-bit programs are watched on amd64. What a program does through io_uring is no
// system call and is not seen.
package probe

import (
	"bytes"
	"net/netip"
	"strings"
)

// Record is one thing the kernel did, as the probe saw it when it was over.
//
// Its strings and slices point into the reader's buffer and are valid until the handler
// returns; whoever keeps one clones it.
type Record struct {
	Kind Kind
	// CPU is where it happened.
	CPU uint16
	// Time is in nanoseconds since the Unix epoch.
	Time uint64
	// PID and TID are the process (thread group) and thread in the host's pid namespace.
	PID, TID int32
	// Start is when the process was forked, in nanoseconds since boot, and ExecID a number
	// that is another one after each exec: together with PID they say which program of
	// which process this is about. A forked process begins with its parent's ExecID.
	Start, ExecID uint64
	// UID and GID are the effective ids.
	UID, GID uint32
	// Comm is the thread's name, at most 15 bytes.
	Comm string
	// Ret is what the system call returned, -errno for a failure; 0 for Fork and Procexit.
	Ret int64
	// Args are the system call's six arguments as registers held them. Procexit has the
	// wait status in the first: exit code in bits 8 to 15, signal below. For Fork see
	// Fork.Flags.
	Args [6]uint64
	// Path is the (first) path argument as passed, Path2 the second (new path of a rename
	// or link, link path of a symlink, target of a mount). PathValid is false where the
	// pointer could not be read. They, like Addr and Data, are what memory held when the
	// call was over: another thread may have changed it meanwhile. For memfd_create Path
	// is the name. A path of 4096 bytes or more is cut to 4095.
	Path, Path2           string
	PathValid, Path2Valid bool
	// Dir and Dir2 are the absolute folder that a relative Path or Path2 starts from: the
	// working directory, or what dirfd refers to. Empty if the path is absolute or the
	// folder is unknown: a bad descriptor, or deeper than 256 folders or 3840 bytes. They
	// are as the process sees them: in a container, below its root.
	Dir, Dir2 string
	// File is what the descriptor of the event refers to: the new one of an open, socket,
	// accept or dup, the second new one of a pipe or socketpair, the argument of the
	// others (also dirfd's of unlinkat, mkdirat, fchmodat, fchownat and symlinkat), the
	// new working directory of a successful chdir and fchdir. File.Kind is NoFile where
	// the event has none, the call failed or the descriptor is bad.
	File File
	// OpenFlags are the flags of an open as passed, also from openat2's struct open_how;
	// Mode the mode of open, creat, mkdir and chmod.
	OpenFlags, Mode uint32
	// Created says that an open made the file; UpperLayer and LowerLayer that the file (the
	// executable, for an exec) is in that layer of an overlay file system.
	Created, UpperLayer, LowerLayer bool
	// Addr is the address argument of connect, bind, sendto and sendmsg, the sender's of
	// recvfrom and recvmsg; AddrPath its path for a unix socket, an abstract one with a
	// leading @.
	Addr     netip.AddrPort
	AddrPath string
	// Data is the beginning, at most 80 bytes, of what sendto and sendmsg sent (or tried
	// to), recvfrom and recvmsg received. For mount it is the file system's type, for
	// init_module and finit_module the module's parameters, for the calls about extended
	// attributes the attribute's name. The data of read, write and their variants is like
	// that of sendto and recvfrom.
	Data []byte
	// CapEffective, CapPermitted and CapInheritable are the thread's capability sets.
	CapEffective, CapPermitted, CapInheritable uint64
	// Exec is set for a successful or failed Execve and Execveat.
	Exec *Exec
	// Fork is set for Fork.
	Fork *Fork
}

// Exec is what an exec made of the process. For a failed exec Argv, Env and the record's
// Path hold the attempted values and the rest is empty. A successful one is of KindExecve,
// by whichever call, and its Path is the kernel's: /dev/fd/N/name for an execveat.
type Exec struct {
	// Argv is the argument block, arguments ended by NUL, cut at 4096 bytes.
	Argv []byte
	// Env is the environment block in the same form, cut at 4096 bytes.
	Env []byte
	// ExePath is the executable's path with symlinks resolved; "memfd:name" for a memfd.
	ExePath string
	// Cwd is the working directory.
	Cwd string
	// Cgroup is the path of the process's cgroup (version 2, or the first version 1
	// controller that is not at its root).
	Cgroup string
	Facts
	// Inode, Ctime and Mtime are the executable's, times in nanoseconds since the epoch.
	Inode, Ctime, Mtime uint64
	// FromMemfd: the executable lives in a memfd. Writable: its inode is writable by the
	// new credentials.
	FromMemfd, Writable bool
}

// Facts are what the kernel knows of a process besides its program.
type Facts struct {
	PPID int32
	// LoginUID is the audit login id, 4294967295 if unset.
	LoginUID uint32
	// TTY is the encoded device number of the controlling terminal, 0 for none.
	TTY uint32
	// SID and PGID are session and process group in the host's pid namespace; VPID, VSID
	// and VPGID, like VTID, in the process's own.
	SID, PGID, VPID, VTID, VSID, VPGID int32
	// StartTime is when the process was forked, in nanoseconds since the epoch.
	StartTime uint64
	// BootStart and ExecID are the process's Record.Start and Record.ExecID, for a Fork the
	// child's.
	BootStart, ExecID uint64
	// PidnsStart is when the first process of its pid namespace was started.
	PidnsStart uint64
	// HostPidns says that the process is in the host's pid namespace.
	HostPidns bool
}

// Fork is a new process or thread. The record's PID and TID are the parent's.
type Fork struct {
	ChildPID, ChildTID int32
	// Comm is the child's name.
	Comm string
	// Cgroup is the child's cgroup path.
	Cgroup string
	// Call is the system call that made it, Flags those of a clone or clone3. Before Linux
	// 5.15, and for threads of the kernel, they are ForkByClone and 0.
	Call  ForkCall
	Flags uint64
	Facts
}

// ForkCall is a system call that makes processes and threads.
type ForkCall uint8

// The calls.
const (
	ForkByClone ForkCall = iota
	ForkByFork
	ForkByVfork
	ForkByClone3
)

// FileKind is what a file descriptor refers to.
type FileKind uint8

// The kinds of file, with Falco's fd.typechar in the comment.
const (
	NoFile          FileKind = iota
	FileRegular              // f
	FileDirectory            // d
	FileIPv4                 // 4, a socket
	FileIPv6                 // 6, a socket
	FileUnix                 // u, a socket
	FileNetlink              // n, a socket
	FileSocket               // o, any other socket
	FilePipe                 // p
	FileEventfd              // e
	FileSignalfd             // s
	FileEventpoll            // l
	FileInotify              // i
	FileTimerfd              // t
	FileBPF                  // b
	FileUserfaultfd          // u
	FileIOUring              // r
	FileMemfd                // m
	FilePidfd                // P
	FileOther                // o
)

// File is what a descriptor refers to.
type File struct {
	Kind FileKind
	// Num is the descriptor's number, negative for a call that failed to make one.
	Num int32
	// Path is the path of a file or folder with symlinks resolved, empty if it is too deep
	// (see Record.Dir); for others the kernel's name, such as "memfd:x" and "[eventfd]".
	Path string
	// Inode and Dev identify it; for a socket the inode is unique while the socket lives.
	// Dev is encoded as by stat(2).
	Inode uint64
	Dev   uint32
	// Family, SockType and Proto are a socket's: AF_INET, SOCK_STREAM, IPPROTO_TCP.
	Family, SockType, Proto uint16
	// State is the TCP state.
	State uint8
	// Local and Remote are a socket's ends, 0.0.0.0:0 or [::]:0 if it has none yet; IPv4
	// mapped into IPv6 shows as IPv4.
	Local, Remote netip.AddrPort
	// UnixPath is the path a unix socket, or its peer, is bound to; an abstract one has a
	// leading @.
	UnixPath string
}

// Clone returns a copy that stays valid.
func (r *Record) Clone() *Record {
	c := *r
	for _, s := range []*string{
		&c.Comm, &c.Path, &c.Path2, &c.Dir, &c.Dir2, &c.AddrPath, &c.File.Path, &c.File.UnixPath,
	} {
		*s = strings.Clone(*s)
	}
	c.Data = bytes.Clone(r.Data)
	if r.Exec != nil {
		e := *r.Exec
		e.Argv, e.Env = bytes.Clone(e.Argv), bytes.Clone(e.Env)
		e.ExePath, e.Cwd, e.Cgroup = strings.Clone(e.ExePath), strings.Clone(e.Cwd), strings.Clone(e.Cgroup)
		c.Exec = &e
	}
	if r.Fork != nil {
		f := *r.Fork
		f.Comm, f.Cgroup = strings.Clone(f.Comm), strings.Clone(f.Cgroup)
		c.Fork = &f
	}
	return &c
}

// Package probe watches the kernel: an eBPF program on the exits of chosen system calls and
// on the scheduler's exec, fork and exit, and the reader that turns its ring buffer's bytes
// into typed records.
//
// It stands first in the flow: kernel, probe, process table, fields, rules, report.
package probe

import "net/netip"

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
	// UID and GID are the effective ids.
	UID, GID uint32
	// Comm is the thread's name, at most 15 bytes.
	Comm string
	// Ret is what the system call returned, -errno for a failure.
	Ret int64
	// Args are the system call's six arguments as registers held them.
	Args [6]uint64
	// Path is the (first) path argument as passed, Path2 the second (new path of a rename
	// or link, link path of a symlink). PathValid is false where the pointer could not be
	// read.
	Path, Path2           string
	PathValid, Path2Valid bool
	// Dir and Dir2 are the absolute folder that a relative Path or Path2 starts from: the
	// working directory, or what dirfd refers to. Empty if the path is absolute or the
	// folder is unknown.
	Dir, Dir2 string
	// File is what the descriptor of the event refers to: the new one of an open, socket,
	// accept or dup, the argument of the others. File.Kind is NoFile where the event has
	// none.
	File File
	// OpenFlags are the flags of an open as passed, also from openat2's struct open_how;
	// Mode the mode of open, creat, mkdir and chmod.
	OpenFlags, Mode uint32
	// Created says that an open made the file; UpperLayer and LowerLayer that the file (the
	// executable, for an exec) is in that layer of an overlay file system.
	Created, UpperLayer, LowerLayer bool
	// Addr is the address argument of connect, bind and sendto; AddrPath its path for a
	// unix socket.
	Addr     netip.AddrPort
	AddrPath string
	// Data is the beginning of what sendto and sendmsg sent, recvfrom and recvmsg received.
	Data []byte
	// CapEffective, CapPermitted and CapInheritable are the thread's capability sets.
	CapEffective, CapPermitted, CapInheritable uint64
	// Exec is set for a successful or failed Execve and Execveat.
	Exec *Exec
	// Fork is set for Fork.
	Fork *Fork
}

// Exec is what an exec made of the process. For a failed exec only Argv, Env and the
// record's Path hold the attempted values.
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
	Facts
}

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
	// Num is the descriptor's number, negative for a failed call.
	Num int32
	// Path is the resolved path of a file or folder; for others what the kernel shows.
	Path string
	// Inode and Dev identify it; for a socket the inode is unique while the socket lives.
	Inode uint64
	Dev   uint32
	// SockType and Proto are a socket's: SOCK_STREAM, IPPROTO_TCP.
	SockType, Proto uint16
	// State is the TCP state.
	State uint8
	// Local and Remote are a socket's ends; IPv4 mapped into IPv6 shows as IPv4.
	Local, Remote netip.AddrPort
	// UnixPath is the path a unix socket, or its peer, is bound to.
	UnixPath string
}

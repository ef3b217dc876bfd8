package probe

// Kind is the type of a Record: a system call, or something that the scheduler reported.
type Kind uint16

// The kinds of record. Their names are evt.type's values.
const (
	KindUnknown Kind = iota
	KindExecve
	KindExecveat
	KindFork
	KindProcexit
	KindOpen
	KindOpenat
	KindOpenat2
	KindCreat
	KindConnect
	KindAccept
	KindAccept4
	KindBind
	KindListen
	KindSocket
	KindSendto
	KindSendmsg
	KindRecvfrom
	KindRecvmsg
	KindUnlink
	KindUnlinkat
	KindRmdir
	KindRename
	KindRenameat
	KindRenameat2
	KindLink
	KindLinkat
	KindSymlink
	KindSymlinkat
	KindMkdir
	KindMkdirat
	KindChmod
	KindFchmod
	KindFchmodat
	KindChown
	KindFchown
	KindFchownat
	KindLchown
	KindDup
	KindDup2
	KindDup3
	KindPtrace
	KindMemfdCreate
	KindSetuid
	KindSetgid
	KindSetreuid
	KindSetregid
	KindSetresuid
	KindSetresgid
	KindSetns
	KindUnshare
	KindMount
	KindUmount2
	KindInitModule
	KindFinitModule
	KindBpf
	KindUserfaultfd
	KindChdir
	KindFchdir
	KindChroot
	KindSetsid
	KindSetpgid
	KindCapset
	KindPrctl
	KindClose
	KindPipe
	KindPipe2
	KindSocketpair
	KindKill
	KindTkill
	KindTgkill
	kindCount
)

// names are evt.type's values; the index is the Kind.
var names = [kindCount]string{
	KindExecve:      "execve",
	KindExecveat:    "execveat",
	KindFork:        "fork",
	KindProcexit:    "procexit",
	KindOpen:        "open",
	KindOpenat:      "openat",
	KindOpenat2:     "openat2",
	KindCreat:       "creat",
	KindConnect:     "connect",
	KindAccept:      "accept",
	KindAccept4:     "accept4",
	KindBind:        "bind",
	KindListen:      "listen",
	KindSocket:      "socket",
	KindSendto:      "sendto",
	KindSendmsg:     "sendmsg",
	KindRecvfrom:    "recvfrom",
	KindRecvmsg:     "recvmsg",
	KindUnlink:      "unlink",
	KindUnlinkat:    "unlinkat",
	KindRmdir:       "rmdir",
	KindRename:      "rename",
	KindRenameat:    "renameat",
	KindRenameat2:   "renameat2",
	KindLink:        "link",
	KindLinkat:      "linkat",
	KindSymlink:     "symlink",
	KindSymlinkat:   "symlinkat",
	KindMkdir:       "mkdir",
	KindMkdirat:     "mkdirat",
	KindChmod:       "chmod",
	KindFchmod:      "fchmod",
	KindFchmodat:    "fchmodat",
	KindChown:       "chown",
	KindFchown:      "fchown",
	KindFchownat:    "fchownat",
	KindLchown:      "lchown",
	KindDup:         "dup",
	KindDup2:        "dup2",
	KindDup3:        "dup3",
	KindPtrace:      "ptrace",
	KindMemfdCreate: "memfd_create",
	KindSetuid:      "setuid",
	KindSetgid:      "setgid",
	KindSetreuid:    "setreuid",
	KindSetregid:    "setregid",
	KindSetresuid:   "setresuid",
	KindSetresgid:   "setresgid",
	KindSetns:       "setns",
	KindUnshare:     "unshare",
	KindMount:       "mount",
	KindUmount2:     "umount2",
	KindInitModule:  "init_module",
	KindFinitModule: "finit_module",
	KindBpf:         "bpf",
	KindUserfaultfd: "userfaultfd",
	KindChdir:       "chdir",
	KindFchdir:      "fchdir",
	KindChroot:      "chroot",
	KindSetsid:      "setsid",
	KindSetpgid:     "setpgid",
	KindCapset:      "capset",
	KindPrctl:       "prctl",
	KindClose:       "close",
	KindPipe:        "pipe",
	KindPipe2:       "pipe2",
	KindSocketpair:  "socketpair",
	KindKill:        "kill",
	KindTkill:       "tkill",
	KindTgkill:      "tgkill",
}

// String returns the kind's name as evt.type has it, "unknown" for no kind.
func (k Kind) String() string {
	if k == KindUnknown || k >= kindCount {
		return "unknown"
	}
	return names[k]
}

// KindOf returns the kind of that name; KindUnknown and false if there is none.
func KindOf(name string) (Kind, bool) {
	for k := KindUnknown + 1; k < kindCount; k++ {
		if names[k] == name {
			return k, true
		}
	}
	return KindUnknown, false
}

// Kinds returns every kind.
func Kinds() []Kind {
	all := make([]Kind, 0, kindCount-1)
	for k := KindUnknown + 1; k < kindCount; k++ {
		all = append(all, k)
	}
	return all
}

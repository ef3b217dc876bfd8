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

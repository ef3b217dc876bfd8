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

	// From here on are the calls that are worth watching only where a rule names them: see
	// Kind.Common.
	KindAccess
	KindAcct
	KindAddKey
	KindAdjtimex
	KindAfsSyscall
	KindAlarm
	KindArchPrctl
	KindBrk
	KindCachestat
	KindCapget
	KindClockAdjtime
	KindClockGetres
	KindClockGettime
	KindClockNanosleep
	KindClockSettime
	KindCloseRange
	KindCopyFileRange
	KindCreateModule
	KindDeleteModule
	KindEpollCreate
	KindEpollCreate1
	KindEpollCtl
	KindEpollCtlOld
	KindEpollPwait
	KindEpollPwait2
	KindEpollWait
	KindEpollWaitOld
	KindEventfd
	KindEventfd2
	KindFaccessat
	KindFaccessat2
	KindFadvise64
	KindFallocate
	KindFanotifyInit
	KindFanotifyMark
	KindFchmodat2
	KindFcntl
	KindFdatasync
	KindFgetxattr
	KindFileGetattr
	KindFileSetattr
	KindFlistxattr
	KindFlock
	KindFremovexattr
	KindFsconfig
	KindFsetxattr
	KindFsmount
	KindFsopen
	KindFspick
	KindFstat
	KindFstatfs
	KindFsync
	KindFtruncate
	KindFutex
	KindFutexRequeue
	KindFutexWait
	KindFutexWaitv
	KindFutexWake
	KindFutimesat
	KindGetKernelSyms
	KindGetMempolicy
	KindGetRobustList
	KindGetThreadArea
	KindGetcpu
	KindGetcwd
	KindGetdents
	KindGetdents64
	KindGetegid
	KindGeteuid
	KindGetgid
	KindGetgroups
	KindGetitimer
	KindGetpeername
	KindGetpgid
	KindGetpgrp
	KindGetpid
	KindGetpmsg
	KindGetppid
	KindGetpriority
	KindGetrandom
	KindGetresgid
	KindGetresuid
	KindGetrlimit
	KindGetrusage
	KindGetsid
	KindGetsockname
	KindGetsockopt
	KindGettid
	KindGettimeofday
	KindGetuid
	KindGetxattr
	KindGetxattrat
	KindInotifyAddWatch
	KindInotifyInit
	KindInotifyInit1
	KindInotifyRmWatch
	KindIoCancel
	KindIoDestroy
	KindIoGetevents
	KindIoPgetevents
	KindIoSetup
	KindIoSubmit
	KindIoUringEnter
	KindIoUringRegister
	KindIoUringSetup
	KindIoctl
	KindIoperm
	KindIopl
	KindIoprioGet
	KindIoprioSet
	KindKcmp
	KindKexecFileLoad
	KindKexecLoad
	KindKeyctl
	KindLandlockAddRule
	KindLandlockCreateRuleset
	KindLandlockRestrictSelf
	KindLgetxattr
	KindListmount
	KindListns
	KindListxattr
	KindListxattrat
	KindLlistxattr
	KindLookupDcookie
	KindLremovexattr
	KindLseek
	KindLsetxattr
	KindLsmGetSelfAttr
	KindLsmListModules
	KindLsmSetSelfAttr
	KindLstat
	KindMadvise
	KindMapShadowStack
	KindMbind
	KindMembarrier
	KindMemfdSecret
	KindMigratePages
	KindMincore
	KindMknod
	KindMknodat
	KindMlock
	KindMlock2
	KindMlockall
	KindMmap
	KindModifyLdt
	KindMountSetattr
	KindMoveMount
	KindMovePages
	KindMprotect
	KindMqGetsetattr
	KindMqNotify
	KindMqOpen
	KindMqTimedreceive
	KindMqTimedsend
	KindMqUnlink
	KindMremap
	KindMseal
	KindMsgctl
	KindMsgget
	KindMsgrcv
	KindMsgsnd
	KindMsync
	KindMunlock
	KindMunlockall
	KindMunmap
	KindNameToHandleAt
	KindNanosleep
	KindNewfstatat
	KindNfsservctl
	KindOpenByHandleAt
	KindOpenTree
	KindOpenTreeAttr
	KindPause
	KindPerfEventOpen
	KindPersonality
	KindPidfdGetfd
	KindPidfdOpen
	KindPidfdSendSignal
	KindPivotRoot
	KindPkeyAlloc
	KindPkeyFree
	KindPkeyMprotect
	KindPoll
	KindPpoll
	KindPread
	KindPreadv
	KindPreadv2
	KindPrlimit
	KindProcessMadvise
	KindProcessMrelease
	KindProcessVMReadv
	KindProcessVMWritev
	KindPselect6
	KindPutpmsg
	KindPwrite
	KindPwritev
	KindPwritev2
	KindQueryModule
	KindQuotactl
	KindQuotactlFd
	KindRead
	KindReadahead
	KindReadlink
	KindReadlinkat
	KindReadv
	KindReboot
	KindRecv
	KindRecvmmsg
	KindRemapFilePages
	KindRemovexattr
	KindRemovexattrat
	KindRequestKey
	KindRestartSyscall
	KindRseq
	KindRseqSliceYield
	KindRtSigaction
	KindRtSigpending
	KindRtSigprocmask
	KindRtSigqueueinfo
	KindRtSigsuspend
	KindRtSigtimedwait
	KindRtTgsigqueueinfo
	KindSchedGetPriorityMax
	KindSchedGetPriorityMin
	KindSchedGetaffinity
	KindSchedGetattr
	KindSchedGetparam
	KindSchedGetscheduler
	KindSchedRrGetInterval
	KindSchedSetaffinity
	KindSchedSetattr
	KindSchedSetparam
	KindSchedSetscheduler
	KindSchedYield
	KindSeccomp
	KindSecurity
	KindSelect
	KindSemctl
	KindSemget
	KindSemop
	KindSemtimedop
	KindSend
	KindSendfile
	KindSendmmsg
	KindSetMempolicy
	KindSetMempolicyHomeNode
	KindSetRobustList
	KindSetThreadArea
	KindSetTidAddress
	KindSetdomainname
	KindSetfsgid
	KindSetfsuid
	KindSetgroups
	KindSethostname
	KindSetitimer
	KindSetpriority
	KindSetrlimit
	KindSetsockopt
	KindSettimeofday
	KindSetxattr
	KindSetxattrat
	KindShmat
	KindShmctl
	KindShmdt
	KindShmget
	KindShutdown
	KindSigaltstack
	KindSignalfd
	KindSignalfd4
	KindSplice
	KindStat
	KindStatfs
	KindStatmount
	KindStatx
	KindSwapoff
	KindSwapon
	KindSync
	KindSyncFileRange
	KindSyncfs
	KindSysctl
	KindSysfs
	KindSysinfo
	KindSyslog
	KindTee
	KindTime
	KindTimerCreate
	KindTimerDelete
	KindTimerGetoverrun
	KindTimerGettime
	KindTimerSettime
	KindTimerfdCreate
	KindTimerfdGettime
	KindTimerfdSettime
	KindTimes
	KindTruncate
	KindTuxcall
	KindUmask
	KindUname
	KindUprobe
	KindUretprobe
	KindUselib
	KindUstat
	KindUtime
	KindUtimensat
	KindUtimes
	KindVhangup
	KindVmsplice
	KindVserver
	KindWait4
	KindWaitid
	KindWrite
	KindWritev
	kindCount
)

// KindCount is one more than the highest Kind.
const KindCount = int(kindCount)

// firstUncommon is the first of the kinds that are not Common.
const firstUncommon = KindAccess

// Common says that the kind is one of those that attacks and the state of processes show in.
// The others, among them reading, writing, waiting and the memory calls, come in floods or
// tell little: they are meant to be asked for by name.
func (k Kind) Common() bool { return k < firstUncommon }

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

// Kinds returns every kind, CommonKinds those that are Common.
func Kinds() []Kind { return kindsBelow(kindCount) }

// CommonKinds is described at Kinds.
func CommonKinds() []Kind { return kindsBelow(firstUncommon) }

func kindsBelow(end Kind) []Kind {
	all := make([]Kind, 0, end-1)
	for k := KindUnknown + 1; k < end; k++ {
		all = append(all, k)
	}
	return all
}

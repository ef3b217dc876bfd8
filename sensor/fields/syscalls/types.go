package syscalls

import (
	"slices"

	"github.com/saker-security/saker/sensor/probe"
)

// category is evt.category.
type category uint8

const (
	categoryOther category = iota
	categoryFile
	categoryNet
	categoryIPC
	categoryMemory
	categoryProcess
	categoryUser
	categorySignal
	categorySleep
	categorySystem
	categoryTime
	categoryWait
	categoryIO // that of the descriptor
)

func (c category) String() string {
	return [...]string{"other", "file", "net", "IPC", "memory", "process", "user", "signal", "sleep", "system", "time", "wait", ""}[c]
}

// categories are evt.category by kind. Those that are missing are other.
var categories = [probe.KindCount]category{
	probe.KindExecve:      categoryProcess,
	probe.KindExecveat:    categoryProcess,
	probe.KindFork:        categoryProcess,
	probe.KindProcexit:    categoryProcess,
	probe.KindOpen:        categoryFile,
	probe.KindOpenat:      categoryFile,
	probe.KindOpenat2:     categoryFile,
	probe.KindCreat:       categoryFile,
	probe.KindConnect:     categoryNet,
	probe.KindAccept:      categoryNet,
	probe.KindAccept4:     categoryNet,
	probe.KindBind:        categoryNet,
	probe.KindListen:      categoryNet,
	probe.KindSocket:      categoryNet,
	probe.KindSendto:      categoryIO,
	probe.KindSendmsg:     categoryIO,
	probe.KindRecvfrom:    categoryIO,
	probe.KindRecvmsg:     categoryIO,
	probe.KindUnlink:      categoryFile,
	probe.KindUnlinkat:    categoryFile,
	probe.KindRmdir:       categoryFile,
	probe.KindRename:      categoryFile,
	probe.KindRenameat:    categoryFile,
	probe.KindRenameat2:   categoryFile,
	probe.KindLink:        categoryFile,
	probe.KindLinkat:      categoryFile,
	probe.KindSymlink:     categoryFile,
	probe.KindSymlinkat:   categoryFile,
	probe.KindMkdir:       categoryFile,
	probe.KindMkdirat:     categoryFile,
	probe.KindChmod:       categoryFile,
	probe.KindFchmod:      categoryFile,
	probe.KindFchmodat:    categoryFile,
	probe.KindChown:       categoryFile,
	probe.KindFchown:      categoryFile,
	probe.KindFchownat:    categoryFile,
	probe.KindLchown:      categoryFile,
	probe.KindDup:         categoryIO,
	probe.KindDup2:        categoryIO,
	probe.KindDup3:        categoryIO,
	probe.KindPtrace:      categoryProcess,
	probe.KindMemfdCreate: categoryMemory,
	probe.KindSetuid:      categoryUser,
	probe.KindSetgid:      categoryUser,
	probe.KindSetreuid:    categoryUser,
	probe.KindSetregid:    categoryUser,
	probe.KindSetresuid:   categoryUser,
	probe.KindSetresgid:   categoryUser,
	probe.KindSetns:       categoryProcess,
	probe.KindUnshare:     categoryProcess,
	probe.KindMount:       categoryFile,
	probe.KindUmount2:     categoryFile,
	probe.KindInitModule:  categoryOther,
	probe.KindFinitModule: categoryOther,
	probe.KindBpf:         categoryOther,
	probe.KindUserfaultfd: categoryFile,
	probe.KindChdir:       categoryFile,
	probe.KindFchdir:      categoryFile,
	probe.KindChroot:      categoryProcess,
	probe.KindSetsid:      categoryProcess,
	probe.KindSetpgid:     categoryProcess,
	probe.KindCapset:      categoryProcess,
	probe.KindPrctl:       categoryProcess,
	probe.KindClose:       categoryIO,
	probe.KindPipe:        categoryIPC,
	probe.KindPipe2:       categoryIPC,
	probe.KindSocketpair:  categoryIPC,
	probe.KindKill:        categorySignal,
	probe.KindTkill:       categorySignal,
	probe.KindTgkill:      categorySignal,

	probe.KindAccess:          categoryFile,
	probe.KindBrk:             categoryMemory,
	probe.KindCloseRange:      categoryIO,
	probe.KindCopyFileRange:   categoryFile,
	probe.KindEpollCreate:     categoryWait,
	probe.KindEpollCreate1:    categoryWait,
	probe.KindEpollWait:       categoryWait,
	probe.KindEventfd:         categoryIPC,
	probe.KindEventfd2:        categoryIPC,
	probe.KindFcntl:           categoryIO,
	probe.KindFlock:           categoryFile,
	probe.KindFsconfig:        categorySystem,
	probe.KindFstat:           categoryFile,
	probe.KindFutex:           categoryIPC,
	probe.KindGetcwd:          categoryFile,
	probe.KindGetdents:        categoryFile,
	probe.KindGetdents64:      categoryFile,
	probe.KindGetegid:         categoryUser,
	probe.KindGeteuid:         categoryUser,
	probe.KindGetgid:          categoryUser,
	probe.KindGetpeername:     categoryNet,
	probe.KindGetresgid:       categoryUser,
	probe.KindGetresuid:       categoryUser,
	probe.KindGetrlimit:       categoryProcess,
	probe.KindGetsockname:     categoryNet,
	probe.KindGetsockopt:      categoryNet,
	probe.KindGetuid:          categoryUser,
	probe.KindInotifyInit:     categoryIPC,
	probe.KindInotifyInit1:    categoryIPC,
	probe.KindIoUringEnter:    categoryIO,
	probe.KindIoUringRegister: categoryIO,
	probe.KindIoUringSetup:    categoryIO,
	probe.KindIoctl:           categoryIO,
	probe.KindLseek:           categoryFile,
	probe.KindLstat:           categoryFile,
	probe.KindMlock:           categoryMemory,
	probe.KindMlock2:          categoryMemory,
	probe.KindMlockall:        categoryMemory,
	probe.KindMmap:            categoryMemory,
	probe.KindMprotect:        categoryMemory,
	probe.KindMunlock:         categoryMemory,
	probe.KindMunlockall:      categoryMemory,
	probe.KindMunmap:          categoryMemory,
	probe.KindNanosleep:       categorySleep,
	probe.KindNewfstatat:      categoryFile,
	probe.KindOpenByHandleAt:  categoryFile,
	probe.KindPidfdGetfd:      categoryProcess,
	probe.KindPidfdOpen:       categoryProcess,
	probe.KindPoll:            categoryWait,
	probe.KindPpoll:           categoryWait,
	probe.KindPread:           categoryIO,
	probe.KindPreadv:          categoryIO,
	probe.KindPrlimit:         categoryProcess,
	probe.KindProcessVMReadv:  categoryProcess,
	probe.KindProcessVMWritev: categoryProcess,
	probe.KindPwrite:          categoryIO,
	probe.KindPwritev:         categoryIO,
	probe.KindQuotactl:        categoryUser,
	probe.KindRead:            categoryIO,
	probe.KindReadv:           categoryIO,
	probe.KindRecv:            categoryIO,
	probe.KindRecvmmsg:        categoryIO,
	probe.KindSelect:          categoryWait,
	probe.KindSemctl:          categoryProcess,
	probe.KindSemget:          categoryProcess,
	probe.KindSemop:           categoryProcess,
	probe.KindSend:            categoryIO,
	probe.KindSendfile:        categoryIO,
	probe.KindSendmmsg:        categoryIO,
	probe.KindSetrlimit:       categoryProcess,
	probe.KindSetsockopt:      categoryNet,
	probe.KindShutdown:        categoryNet,
	probe.KindSignalfd:        categorySignal,
	probe.KindSignalfd4:       categorySignal,
	probe.KindSplice:          categoryIO,
	probe.KindStat:            categoryFile,
	probe.KindTimerfdCreate:   categoryTime,
	probe.KindWrite:           categoryIO,
	probe.KindWritev:          categoryIO,
}

// The numbers of types behind the last kind: what the scheduler reports as a fork is named by
// the system call that made it, of which fork itself has the kind's number.
const (
	typeClone = probe.KindCount + iota
	typeVfork
	typeClone3
	typeCount
)

// forkTypes are the numbers of types of a fork by its system call.
var forkTypes = [...]int{
	probe.ForkByClone:  typeClone,
	probe.ForkByFork:   int(probe.KindFork),
	probe.ForkByVfork:  typeVfork,
	probe.ForkByClone3: typeClone3,
}

// eventTypes are the names of evt.type by number: the kind, or one of the above.
var eventTypes = func() []string {
	names := make([]string, typeCount)
	for _, k := range probe.Kinds() {
		names[k] = k.String()
	}
	names[typeClone], names[typeVfork], names[typeClone3] = "clone", "vfork", "clone3"
	return names
}()

// EventTypes are the names of evt.type, by number.
func EventTypes() []string { return slices.Clone(eventTypes) }

// Kinds returns the kinds of record that may have the type with the given number of
// EventTypes.
func Kinds(number int) []probe.Kind {
	switch {
	case number <= 0 || number >= typeCount:
		return nil
	case number >= probe.KindCount:
		return []probe.Kind{probe.KindFork}
	case probe.Kind(number) == probe.KindExecve:
		return []probe.Kind{probe.KindExecve, probe.KindExecveat}
	default:
		return []probe.Kind{probe.Kind(number)}
	}
}

// typesOf returns the names that evt.type may have for a kind.
func typesOf(k probe.Kind) []string {
	if k == probe.KindFork {
		return []string{"clone", "clone3", "fork", "vfork"}
	}
	return []string{eventTypes[k]}
}

// kind is that of the record, where a successful execveat counts as execve, as it does for
// Falco. A kind that is not known is KindUnknown.
func (e *Event) kind() probe.Kind {
	k := e.Rec.Kind
	if k == probe.KindExecveat && e.Rec.Ret >= 0 {
		return probe.KindExecve
	}
	if int(k) >= probe.KindCount {
		return probe.KindUnknown
	}
	return k
}

// typeNumber is the number of the event's type.
func (e *Event) typeNumber() int {
	k := e.kind()
	if k != probe.KindFork {
		return int(k)
	}
	if f := e.Rec.Fork; f != nil && int(f.Call) < len(forkTypes) {
		return forkTypes[f.Call]
	}
	return typeClone
}

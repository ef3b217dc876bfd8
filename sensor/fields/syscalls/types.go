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
	categoryIO // that of the descriptor
)

func (c category) String() string {
	return [...]string{"other", "file", "net", "IPC", "memory", "process", "user", "signal", ""}[c]
}

// categories are evt.category by kind.
var categories = [...]category{
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
}

// eventTypes are the names of evt.type by kind. What the scheduler reports as a fork is some
// call of the clone family, and rules know that family as clone.
var eventTypes = func() []string {
	names := make([]string, len(categories))
	for k := range names {
		names[k] = probe.Kind(k).String()
	}
	names[probe.KindUnknown] = ""
	names[probe.KindFork] = "clone"
	return names
}()

// EventTypes are the names of evt.type, by number.
func EventTypes() []string { return slices.Clone(eventTypes) }

// Kinds returns the kinds of record that may have the type with the given number of
// EventTypes.
func Kinds(number int) []probe.Kind {
	switch {
	case number <= 0 || number >= len(eventTypes):
		return nil
	case probe.Kind(number) == probe.KindExecve:
		return []probe.Kind{probe.KindExecve, probe.KindExecveat}
	default:
		return []probe.Kind{probe.Kind(number)}
	}
}

// kind is that of the record, where a successful execveat counts as execve, as it does for
// Falco. A kind that is not known is KindUnknown.
func (e *Event) kind() probe.Kind {
	k := e.Rec.Kind
	if k == probe.KindExecveat && e.Rec.Ret >= 0 {
		return probe.KindExecve
	}
	if int(k) >= len(categories) {
		return probe.KindUnknown
	}
	return k
}

func (e *Event) typeNumber() int { return int(e.kind()) }

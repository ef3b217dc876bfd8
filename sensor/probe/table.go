package probe

// Places of a system call's arguments, as the C side names them.
const (
	noArg      = 7
	workingDir = 6
	callResult = 6
)

// calls are all system calls, by kind. Those that no list has keep nothing that there is to
// be found: they are reported with their registers.
var calls = func() (all [kindCount]call) {
	for k := firstUncommon; k < kindCount; k++ {
		all[k] = flood(k)
	}
	for _, list := range [][]call{commonCalls, descriptorCalls, newDescriptorCalls, pathCalls, powerfulCalls} {
		for _, c := range list {
			all[c.kind] = c
		}
	}
	return all
}()

// Number returns the number that the machine's own programs make the kind's calls by; false
// if it has none.
func (k Kind) Number() (uint32, bool) {
	if of := numbers[k]; len(of) > 0 {
		return of[0], true
	}
	return 0, false
}

// Returned is the place of a descriptor that a call returns.
const Returned = -1

// FD returns the place of the argument that is the descriptor which Record.File is about, or
// Returned; false if the kind has none.
func (k Kind) FD() (place int, ok bool) {
	if k >= kindCount || calls[k].kind == KindUnknown {
		return 0, false
	}
	switch fd := calls[k].Fd; fd {
	case noArg:
		return 0, false
	case callResult:
		return Returned, true
	default:
		return int(fd), true
	}
}

// Folder returns the place of the argument that is the descriptor of the folder which
// Record.Path, or with second Path2, starts from; false if the kind has none.
func (k Kind) Folder(second bool) (place int, ok bool) {
	if k >= kindCount || calls[k].kind == KindUnknown {
		return 0, false
	}
	path, dir := calls[k].Path, calls[k].Dir
	if second {
		path, dir = calls[k].Path2, calls[k].Dir2
	}
	return int(dir), path != noArg && dir < workingDir
}

// Paths returns how many path arguments Record may have, 0 to 2.
func (k Kind) Paths() int {
	switch {
	case k >= kindCount, calls[k].kind == KindUnknown, calls[k].Path == noArg:
		return 0
	case calls[k].Path2 == noArg:
		return 1
	}
	return 2
}

// NarrowedByFamily says that clauses narrow the kind by the family of its descriptor's socket.
func (k Kind) NarrowedByFamily() bool {
	return k < kindCount && calls[k].Group == uint8(bpfGroupGROUP_SOCKET)
}

// call says which program handles a kind's system calls and where they keep their
// arguments.
type call struct {
	kind Kind
	bpfSyscall
}

func (c call) paths(path, dir uint8) call {
	c.Path, c.Dir = path, dir
	return c
}

func (c call) second(path, dir uint8) call {
	c.Path2, c.Dir2 = path, dir
	return c
}

// file sets the place of the descriptor and asks for the path of what it refers to.
func (c call) file(fd uint8) call {
	c.Fd = fd
	return c.with(bpfSyscallFlagFILE_PATH)
}

func (c call) mode(place uint8) call {
	c.Mode = place
	return c
}

func (c call) openFlags(place uint8) call {
	c.OpenFlags = place
	return c
}

func (c call) data(place, size uint8) call {
	c.Data, c.DataLen = place, size
	return c
}

func (c call) address(place, size uint8) call {
	c.Addr, c.AddrLen = place, size
	return c
}

func (c call) with(f bpfSyscallFlag) call {
	c.Flags |= uint16(f)
	return c
}

func (c call) worth(w bpfWorth) call {
	c.Worth = uint8(w)
	return c
}

// in returns a call of a group without any arguments.
func in(g bpfGroup, k Kind) call {
	return call{kind: k, bpfSyscall: bpfSyscall{
		Kind: uint16(k), Group: uint8(g), Worth: uint8(bpfWorthLONGER),
		Path: noArg, Dir: noArg, Path2: noArg, Dir2: noArg, Fd: noArg, Mode: noArg,
		OpenFlags: noArg, Data: noArg, DataLen: noArg, Addr: noArg, AddrLen: noArg,
	}}
}

func plain(k Kind) call { return in(bpfGroupGROUP_FILE, k) }

// change returns a call that changes what a process is or may do, or that is rare and
// powerful: it is reported as long as there is room.
func change(k Kind) call { return plain(k).worth(bpfWorthLONGEST) }

func open(k Kind, path, dir uint8) call {
	return in(bpfGroupGROUP_OPEN, k).paths(path, dir).file(callResult).worth(bpfWorthFIRST)
}

// socket returns a call about the socket at the place fd.
func socket(k Kind, fd uint8) call {
	return in(bpfGroupGROUP_SOCKET, k).file(fd)
}

func failedExec(k Kind) call { return in(bpfGroupGROUP_EXEC, k) }

// commonCalls are the kinds that are Common. A successful exec is not here: the scheduler
// reports it.
var commonCalls = []call{
	failedExec(KindExecve).paths(0, workingDir).data(1, 2),
	failedExec(KindExecveat).paths(1, 0).data(2, 3),

	open(KindOpen, 0, workingDir).openFlags(1).mode(2),
	open(KindOpenat, 1, 0).openFlags(2).mode(3),
	open(KindOpenat2, 1, 0).openFlags(2).with(bpfSyscallFlagOPEN_HOW),
	open(KindCreat, 0, workingDir).mode(1),

	socket(KindConnect, 0).address(1, 2),
	socket(KindAccept, callResult),
	socket(KindAccept4, callResult),
	socket(KindBind, 0).address(1, 2),
	socket(KindListen, 0),
	socket(KindSocket, callResult).with(bpfSyscallFlagNEW_SOCKET),
	socket(KindSendto, 0).worth(bpfWorthFIRST).address(4, 5).data(1, 2),
	socket(KindSendmsg, 0).worth(bpfWorthFIRST).data(1, noArg).with(bpfSyscallFlagMESSAGE),
	socket(KindRecvfrom, 0).worth(bpfWorthFIRST).address(4, 5).data(1, 2).
		with(bpfSyscallFlagADDRESS_RESULT | bpfSyscallFlagRECEIVES),
	socket(KindRecvmsg, 0).worth(bpfWorthFIRST).data(1, noArg).with(bpfSyscallFlagMESSAGE | bpfSyscallFlagRECEIVES),

	plain(KindUnlink).paths(0, workingDir),
	plain(KindUnlinkat).paths(1, 0).file(0),
	plain(KindRmdir).paths(0, workingDir),
	plain(KindRename).paths(0, workingDir).second(1, workingDir),
	plain(KindRenameat).paths(1, 0).second(3, 2),
	plain(KindRenameat2).paths(1, 0).second(3, 2),
	plain(KindLink).paths(0, workingDir).second(1, workingDir),
	plain(KindLinkat).paths(1, 0).second(3, 2),
	plain(KindSymlink).paths(0, noArg).second(1, workingDir),
	plain(KindSymlinkat).paths(0, noArg).second(2, 1).file(1),
	plain(KindMkdir).paths(0, workingDir).mode(1),
	plain(KindMkdirat).paths(1, 0).mode(2).file(0),
	plain(KindChmod).paths(0, workingDir).mode(1),
	plain(KindFchmod).mode(1).file(0),
	plain(KindFchmodat).paths(1, 0).mode(2).file(0),
	plain(KindChown).paths(0, workingDir),
	plain(KindFchown).file(0),
	plain(KindFchownat).paths(1, 0).file(0),
	plain(KindLchown).paths(0, workingDir),

	plain(KindDup).file(callResult),
	plain(KindDup2).file(callResult),
	plain(KindDup3).file(callResult),

	change(KindPtrace),
	plain(KindMemfdCreate).paths(0, noArg).file(callResult),
	change(KindSetuid),
	change(KindSetgid),
	change(KindSetreuid),
	change(KindSetregid),
	change(KindSetresuid),
	change(KindSetresgid),
	change(KindSetns).file(0),
	change(KindUnshare),
	change(KindMount).paths(0, noArg).second(1, workingDir).data(2, noArg),
	change(KindUmount2).paths(0, workingDir),
	change(KindInitModule).data(2, noArg),
	change(KindFinitModule).data(1, noArg).file(0),
	change(KindBpf),
	plain(KindUserfaultfd).file(callResult),

	change(KindChdir).paths(0, workingDir).with(bpfSyscallFlagNEW_CWD),
	change(KindFchdir).file(0).with(bpfSyscallFlagNEW_CWD),
	change(KindChroot).paths(0, workingDir),
	change(KindSetsid),
	change(KindSetpgid),
	change(KindCapset),
	plain(KindPrctl),

	plain(KindClose),
	plain(KindPipe).file(0).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindPipe2).file(0).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindSocketpair).file(3).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindKill),
	plain(KindTkill),
	plain(KindTgkill),
}

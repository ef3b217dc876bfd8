package probe

// Places of a system call's arguments, as the C side names them.
const (
	noArg      = 7
	workingDir = 6
	callResult = 6
)

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

// in returns a call of a group without any arguments.
func in(g bpfGroup, k Kind) call {
	return call{kind: k, bpfSyscall: bpfSyscall{
		Kind: uint16(k), Group: uint8(g),
		Path: noArg, Dir: noArg, Path2: noArg, Dir2: noArg, Fd: noArg, Mode: noArg,
		OpenFlags: noArg, Data: noArg, DataLen: noArg, Addr: noArg, AddrLen: noArg,
	}}
}

func plain(k Kind) call { return in(bpfGroupGROUP_FILE, k) }

func open(k Kind, path, dir uint8) call {
	return in(bpfGroupGROUP_OPEN, k).paths(path, dir).file(callResult).with(bpfSyscallFlagFILTER_OPEN)
}

// socket returns a call about the socket at the place fd.
func socket(k Kind, fd uint8) call {
	return in(bpfGroupGROUP_SOCKET, k).file(fd).with(bpfSyscallFlagFILTER_FAMILY)
}

func failedExec(k Kind) call { return in(bpfGroupGROUP_EXEC, k) }

// calls has every kind that is a system call. A successful exec is not here: the scheduler
// reports it.
var calls = []call{
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
	socket(KindSocket, callResult),
	socket(KindSendto, 0).address(4, 5).data(1, 2),
	socket(KindSendmsg, 0).data(1, noArg).with(bpfSyscallFlagMESSAGE),
	socket(KindRecvfrom, 0).address(4, 5).data(1, 2).
		with(bpfSyscallFlagADDRESS_RESULT | bpfSyscallFlagRECEIVES),
	socket(KindRecvmsg, 0).data(1, noArg).with(bpfSyscallFlagMESSAGE | bpfSyscallFlagRECEIVES),

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

	plain(KindPtrace),
	plain(KindMemfdCreate).paths(0, noArg).file(callResult),
	plain(KindSetuid),
	plain(KindSetgid),
	plain(KindSetreuid),
	plain(KindSetregid),
	plain(KindSetresuid),
	plain(KindSetresgid),
	plain(KindSetns).file(0),
	plain(KindUnshare),
	plain(KindMount).paths(0, noArg).second(1, workingDir).data(2, noArg),
	plain(KindUmount2).paths(0, workingDir),
	plain(KindInitModule).data(2, noArg),
	plain(KindFinitModule).data(1, noArg).file(0),
	plain(KindBpf),
	plain(KindUserfaultfd).file(callResult),

	plain(KindChdir).paths(0, workingDir).with(bpfSyscallFlagNEW_CWD),
	plain(KindFchdir).file(0).with(bpfSyscallFlagNEW_CWD),
	plain(KindChroot).paths(0, workingDir),
	plain(KindSetsid),
	plain(KindSetpgid),
	plain(KindCapset),
	plain(KindPrctl),

	plain(KindClose),
	plain(KindPipe).file(0).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindPipe2).file(0).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindSocketpair).file(3).with(bpfSyscallFlagFD_IN_MEMORY),
	plain(KindKill),
	plain(KindTkill),
	plain(KindTgkill),
}

package probe

// flood returns a call that programs make at any rate, and that is left out first when the
// ring fills up.
func flood(k Kind) call { return plain(k).worth(bpfWorthFIRST) }

// descriptor returns a call about the descriptor at the place fd, and nothing else that the
// probe looks at. It is narrowed like a call on a socket.
func descriptor(k Kind, fd uint8) call {
	return in(bpfGroupGROUP_SOCKET, k).file(fd).worth(bpfWorthFIRST)
}

// makes returns a call that returns a new descriptor.
func makes(k Kind) call { return descriptor(k, callResult).worth(bpfWorthLONGER) }

func (c call) vector() call { return c.data(1, 2).with(bpfSyscallFlagVECTOR) }

func (c call) receives() call { return c.with(bpfSyscallFlagRECEIVES) }

// descriptorCalls are about a descriptor.
var descriptorCalls = []call{
	descriptor(KindRead, 0).data(1, 2).receives(),
	descriptor(KindPread, 0).data(1, 2).receives(),
	descriptor(KindRecv, 0).data(1, 2).receives(),
	descriptor(KindReadv, 0).vector().receives(),
	descriptor(KindPreadv, 0).vector().receives(),
	descriptor(KindPreadv2, 0).vector().receives(),
	descriptor(KindWrite, 0).data(1, 2),
	descriptor(KindPwrite, 0).data(1, 2),
	descriptor(KindSend, 0).data(1, 2),
	descriptor(KindWritev, 0).vector(),
	descriptor(KindPwritev, 0).vector(),
	descriptor(KindPwritev2, 0).vector(),
	descriptor(KindSendmmsg, 0),
	descriptor(KindRecvmmsg, 0),
	descriptor(KindSendfile, 0),
	descriptor(KindCopyFileRange, 2),
	descriptor(KindSplice, 0),
	descriptor(KindTee, 0),
	descriptor(KindVmsplice, 0),

	descriptor(KindIoctl, 0),
	descriptor(KindFcntl, 0),
	descriptor(KindLseek, 0),
	descriptor(KindFstat, 0),
	descriptor(KindFstatfs, 0),
	descriptor(KindGetdents, 0),
	descriptor(KindGetdents64, 0),
	descriptor(KindFlock, 0),
	descriptor(KindFsync, 0),
	descriptor(KindFdatasync, 0),
	descriptor(KindSyncfs, 0),
	descriptor(KindSyncFileRange, 0),
	descriptor(KindFtruncate, 0),
	descriptor(KindFallocate, 0),
	descriptor(KindFadvise64, 0),
	descriptor(KindReadahead, 0),
	descriptor(KindCachestat, 0),
	descriptor(KindQuotactlFd, 0),
	descriptor(KindMmap, 4),

	descriptor(KindShutdown, 0),
	descriptor(KindGetsockopt, 0),
	descriptor(KindSetsockopt, 0),
	descriptor(KindGetsockname, 0),
	descriptor(KindGetpeername, 0),

	descriptor(KindEpollCtl, 0),
	descriptor(KindEpollWait, 0),
	descriptor(KindEpollPwait, 0),
	descriptor(KindEpollPwait2, 0),
	descriptor(KindInotifyRmWatch, 0),
	descriptor(KindTimerfdSettime, 0),
	descriptor(KindTimerfdGettime, 0),
	descriptor(KindIoUringEnter, 0),
	descriptor(KindIoUringRegister, 0),
	descriptor(KindPidfdSendSignal, 0),
	descriptor(KindProcessMadvise, 0),
	descriptor(KindProcessMrelease, 0),
	descriptor(KindMqTimedsend, 0),
	descriptor(KindMqTimedreceive, 0),
	descriptor(KindMqNotify, 0),
	descriptor(KindMqGetsetattr, 0),
	descriptor(KindLandlockAddRule, 0),
	descriptor(KindLandlockRestrictSelf, 0),
}

// newDescriptorCalls return a descriptor and have no path.
var newDescriptorCalls = []call{
	makes(KindEpollCreate),
	makes(KindEpollCreate1),
	makes(KindEventfd),
	makes(KindEventfd2),
	makes(KindInotifyInit),
	makes(KindInotifyInit1),
	makes(KindSignalfd),
	makes(KindSignalfd4),
	makes(KindTimerfdCreate),
	makes(KindPidfdOpen),
	makes(KindLandlockCreateRuleset),
	makes(KindMemfdSecret),
	makes(KindIoUringSetup).worth(bpfWorthLONGEST),
	makes(KindPidfdGetfd).worth(bpfWorthLONGEST),
	makes(KindFanotifyInit).worth(bpfWorthLONGEST),
	makes(KindPerfEventOpen).worth(bpfWorthLONGEST),
	makes(KindOpenByHandleAt).worth(bpfWorthLONGEST),
	makes(KindFsmount).worth(bpfWorthLONGEST),
}

// pathCalls have a path, or a name that stands where others have one.
var pathCalls = []call{
	flood(KindAccess).paths(0, workingDir),
	flood(KindFaccessat).paths(1, 0),
	flood(KindFaccessat2).paths(1, 0),
	flood(KindStat).paths(0, workingDir),
	flood(KindLstat).paths(0, workingDir),
	flood(KindNewfstatat).paths(1, 0).file(0),
	flood(KindStatx).paths(1, 0),
	flood(KindStatfs).paths(0, workingDir),
	flood(KindReadlink).paths(0, workingDir),
	flood(KindReadlinkat).paths(1, 0),
	flood(KindGetcwd).paths(0, noArg),
	flood(KindFileGetattr).paths(1, 0),
	flood(KindGetxattr).paths(0, workingDir).data(1, noArg),
	flood(KindLgetxattr).paths(0, workingDir).data(1, noArg),
	flood(KindFgetxattr).file(0).data(1, noArg),
	flood(KindGetxattrat).paths(1, 0).data(3, noArg),
	flood(KindListxattr).paths(0, workingDir),
	flood(KindLlistxattr).paths(0, workingDir),
	flood(KindFlistxattr).file(0),
	flood(KindListxattrat).paths(1, 0),

	plain(KindFchmodat2).paths(1, 0).mode(2).file(0),
	plain(KindTruncate).paths(0, workingDir),
	plain(KindUtime).paths(0, workingDir),
	plain(KindUtimes).paths(0, workingDir),
	plain(KindUtimensat).paths(1, 0),
	plain(KindFutimesat).paths(1, 0),
	plain(KindFileSetattr).paths(1, 0),
	plain(KindSetxattr).paths(0, workingDir).data(1, noArg),
	plain(KindLsetxattr).paths(0, workingDir).data(1, noArg),
	plain(KindFsetxattr).file(0).data(1, noArg),
	plain(KindSetxattrat).paths(1, 0).data(3, noArg),
	plain(KindRemovexattr).paths(0, workingDir).data(1, noArg),
	plain(KindLremovexattr).paths(0, workingDir).data(1, noArg),
	plain(KindFremovexattr).file(0).data(1, noArg),
	plain(KindRemovexattrat).paths(1, 0).data(3, noArg),
	plain(KindInotifyAddWatch).paths(1, workingDir).file(0),
	plain(KindFanotifyMark).paths(4, 3).file(0),
	plain(KindMqOpen).paths(0, noArg).file(callResult),
	plain(KindMqUnlink).paths(0, noArg),

	change(KindMknod).paths(0, workingDir),
	change(KindMknodat).paths(1, 0).file(0),
	change(KindNameToHandleAt).paths(1, 0),
	change(KindPivotRoot).paths(0, workingDir).second(1, workingDir),
	change(KindOpenTree).paths(1, 0).file(callResult),
	change(KindOpenTreeAttr).paths(1, 0).file(callResult),
	change(KindMoveMount).paths(1, 0).second(3, 2),
	change(KindMountSetattr).paths(1, 0),
	change(KindFsopen).paths(0, noArg).file(callResult),
	change(KindFspick).paths(1, 0).file(callResult),
	change(KindFsconfig).file(0).paths(3, noArg).data(2, noArg),
	change(KindSwapon).paths(0, workingDir),
	change(KindSwapoff).paths(0, workingDir),
	change(KindAcct).paths(0, workingDir),
	change(KindUselib).paths(0, workingDir),
	change(KindQuotactl).paths(1, noArg),
	change(KindCreateModule).paths(0, noArg),
	change(KindDeleteModule).paths(0, noArg),
	change(KindKexecFileLoad).file(0).data(3, noArg),
	change(KindAddKey).paths(0, noArg).second(1, noArg),
	change(KindRequestKey).paths(0, noArg).second(1, noArg),
}

// powerfulCalls are rare, and what they do matters.
var powerfulCalls = []call{
	change(KindKexecLoad),
	change(KindReboot),
	change(KindProcessVMReadv),
	change(KindProcessVMWritev),
	change(KindKeyctl),
	change(KindSeccomp),
	change(KindPersonality),
	change(KindIoperm),
	change(KindIopl),
	change(KindModifyLdt),
	change(KindSyslog),
	change(KindSethostname),
	change(KindSetdomainname),
	change(KindSettimeofday),
	change(KindClockSettime),
	change(KindAdjtimex),
	change(KindClockAdjtime),
	change(KindSetgroups),
	change(KindSetfsuid),
	change(KindSetfsgid),
	change(KindCloseRange),
}

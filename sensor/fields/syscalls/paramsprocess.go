package syscalls

import "github.com/saker-security/saker/sensor/probe"

var (
	paramAddr   = param{name: "addr", format: asHex, get: register(0)}
	paramLength = intParam("length", register(1))
	paramLen    = intParam("len", register(1))
	// The sizes of a process are not read.
	paramVMSize = intParam("vm_size", absent)
	paramVMRSS  = intParam("vm_rss", absent)
	paramVMSwap = intParam("vm_swap", absent)
	// paramHexRes is a result that is an address unless it is an error.
	paramHexRes = param{name: "res", format: asErrnoHex, get: result}
)

func protParam(i int) param {
	return flagsParam("prot", protNames, renumberedBits(protFlags, i))
}

// memoryParams are the parameters of the calls about memory.
var memoryParams = map[probe.Kind][]param{
	probe.KindMmap: {
		paramHexRes, paramVMSize, paramVMRSS, paramVMSwap, paramAddr, paramLength, protParam(2),
		flagsParam("flags", mmapFlagNames, renumberedBits(mmapFlags, 3)),
		fdParam("fd", 4), intParam("offset", register(5)),
	},
	probe.KindMunmap:   {paramRes, paramVMSize, paramVMRSS, paramVMSwap, paramAddr, paramLength},
	probe.KindBrk:      {paramHexRes, paramVMSize, paramVMRSS, paramVMSwap, paramAddr},
	probe.KindMprotect: {paramRes, paramAddr, paramLength, protParam(2)},
	probe.KindMlock:    {paramRes, paramAddr, paramLen},
	probe.KindMunlock:  {paramRes, paramAddr, paramLen},
	probe.KindMlock2: {
		paramRes, paramAddr, paramLen, flagsParam("flags", names{{"MLOCK_ONFAULT", 1}}, unsigned32(2)),
	},
	probe.KindMlockall: {
		paramRes, flagsParam("flags", names{{"MCL_CURRENT", 1}, {"MCL_FUTURE", 2}, {"MCL_ONFAULT", 4}}, unsigned32(0)),
	},
	probe.KindMunlockall: {paramRes},
	probe.KindProcessVMReadv: {
		paramRes, pidParam("pid", 0), {name: "data", format: asBytes, get: absent},
	},
	probe.KindProcessVMWritev: {
		paramRes, pidParam("pid", 0), {name: "data", format: asBytes, get: absent},
	},
}

// statusParams are the parameters of the calls that make descriptors of other things than
// files and sockets, wait for them, and pass signals and messages.
var statusParams = map[probe.Kind][]param{
	probe.KindEventfd:  {paramResFD, intParam("initval", unsigned32(0)), {name: "flags", format: asHex, get: zero}},
	probe.KindEventfd2: {paramResFD, fileFlagsParam(1), intParam("initval", unsigned32(0))},
	probe.KindSignalfd: {
		paramResFD, paramFD, {name: "mask", format: asHex, get: absent}, {name: "flags", format: asHex, get: zero},
	},
	probe.KindSignalfd4: {
		paramResFD, fileFlagsParam(3), paramFD, {name: "mask", format: asHex, get: absent},
	},
	probe.KindTimerfdCreate: {
		paramResFD, intParam("clockid", unsigned32(0)), {name: "flags", format: asHex, get: unsigned32(1)},
	},
	probe.KindInotifyInit:  {paramResFD, {name: "flags", format: asHex, get: zero}},
	probe.KindInotifyInit1: {paramResFD, fileFlagsParam(0)},
	probe.KindEpollCreate:  {paramRes, intParam("size", register32(0))},
	probe.KindEpollCreate1: {
		paramRes, flagsParam("flags", names{{"EPOLL_CLOEXEC", 1}}, func(e *Event) arg {
			return number(int64(fileFlags(uint32(e.Rec.Args[0])) / flagCloexec & 1))
		}),
	},
	probe.KindEpollWait: {paramRes, {name: "maxevents", format: asErrno, get: register32(2)}},
	probe.KindPoll:      {paramRes, textParam("fds", absent), intParam("timeout", register32(2))},
	probe.KindPpoll:     {paramRes, textParam("fds", absent), intParam("timeout", absent), intParam("sigmask", absent)},
	probe.KindSelect:    {paramRes},
	probe.KindNanosleep: {paramRes, intParam("interval", absent)},
	probe.KindFutex: {
		paramRes, paramAddr, flagsParam("op", futexNames, unsigned32(1)), intParam("val", unsigned32(2)),
	},
	probe.KindSemop: {
		paramRes, intParam("nsops", unsigned32(2)), intParam("sem_num_0", absent), intParam("sem_op_0", absent),
		intParam("sem_flg_0", absent), intParam("sem_num_1", absent), intParam("sem_op_1", absent),
		intParam("sem_flg_1", absent), intParam("semid", register32(0)),
	},
	probe.KindSemctl: {
		paramRes, intParam("semid", register32(0)), intParam("semnum", register32(1)),
		intParam("cmd", unsigned32(2)), intParam("val", register32(3)),
	},
	probe.KindSemget: {
		paramRes,
		{name: "key", format: asHex, get: unsigned32(0)},
		intParam("nsems", register32(1)),
		flagsParam("semflg", semgetFlagNames, renumberedBits(semgetFlags, 2)),
	},
	probe.KindIoUringSetup: {
		paramRes, intParam("entries", unsigned32(0)), intParam("sq_entries", absent), intParam("cq_entries", absent),
		{name: "flags", format: asHex, get: absent},
		intParam("sq_thread_cpu", absent), intParam("sq_thread_idle", absent),
		{name: "features", format: asHex, get: absent},
	},
	probe.KindIoUringEnter: {
		paramRes, paramFD, intParam("to_submit", unsigned32(1)), intParam("min_complete", unsigned32(2)),
		flagsParam("flags", ringEnterFlagNames, unsigned32(3)), intParam("sig", absent),
	},
	probe.KindIoUringRegister: {
		paramRes, paramFD, enumParam("opcode", ringRegisterNames, unsigned32(1)),
		{name: "arg", format: asHex, get: register(2)},
		intParam("nr_args", unsigned32(3)),
	},
	probe.KindPidfdOpen: {
		paramNewFD, pidParam("pid", 0), flagsParam("flags", names{{"PIDFD_NONBLOCK", 1}}, func(e *Event) arg {
			return number(int64(fileFlags(uint32(e.Rec.Args[1])) / flagNonblock & 1))
		}),
	},
	probe.KindPidfdGetfd: {
		paramNewFD, fdParam("pid_fd", 0), fdParam("target_fd", 1), {name: "flags", format: asHex, get: unsigned32(2)},
	},
	probe.KindKeyctl: {
		paramRes, enumParam("operation", keyctlNames, unsigned32(0)), intParam("arg2", register(1)),
		intParam("arg3", register(2)), intParam("arg4", register(3)), intParam("arg5", register(4)),
	},
}

var paramResFD = param{name: "res", format: asFD, get: result}

func zero(*Event) arg { return number(0) }

// resourceParams are the parameters of the calls about limits.
var resourceParams = map[probe.Kind][]param{
	probe.KindGetrlimit: limitParams(intParam("cur", absent), intParam("max", absent), limitParam(0)),
	probe.KindSetrlimit: limitParams(intParam("cur", absent), intParam("max", absent), limitParam(0)),
	probe.KindPrlimit: limitParams(
		intParam("newcur", absent), intParam("newmax", absent), intParam("oldcur", absent), intParam("oldmax", absent),
		intParam("pid", register32(0)), limitParam(1),
	),
}

func limitParams(ps ...param) []param { return append([]param{paramRes}, ps...) }

func limitParam(i int) param { return enumParam("resource", limitNames, unsigned32(i)) }

// idParams are the parameters of the calls that ask for ids.
var idParams = map[probe.Kind][]param{
	probe.KindGetuid:    {{name: "uid", format: asUID, get: result}},
	probe.KindGeteuid:   {{name: "euid", format: asUID, get: result}},
	probe.KindGetgid:    {{name: "gid", format: asGID, get: result}},
	probe.KindGetegid:   {{name: "egid", format: asGID, get: result}},
	probe.KindGetresuid: {paramRes, absentUID("ruid"), absentUID("euid"), absentUID("suid")},
	probe.KindGetresgid: {paramRes, absentGID("rgid"), absentGID("egid"), absentGID("sgid")},
	// What has no parameters in Falco.
	probe.KindGetsockname: {},
	probe.KindGetpeername: {},
}

func absentUID(name string) param { return param{name: name, format: asUID, get: absent} }

func absentGID(name string) param { return param{name: name, format: asGID, get: absent} }

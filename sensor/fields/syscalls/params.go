package syscalls

import (
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// format is how a parameter of an event is written in evt.arg and evt.args.
type format uint8

const (
	asInt      format = iota // signed decimal
	asHex                    // upper-case hexadecimal without prefix
	asOctal                  // with a leading zero, zero as 0
	asErrno                  // the number, resolved to the error's name
	asErrnoHex               // an error like that, else upper-case hexadecimal
	asFD                     // the number, resolved to <type>name
	asPID                    // the number, resolved to the process's name
	asUID                    // the number, resolved to the user's name
	asGID                    // the number, resolved to the group's name
	asSignal                 // the number, resolved to the signal's name
	asFlags                  // the number, resolved to the names of its bits
	asEnum                   // the number, resolved to its names
	asMode                   // octal, resolved to the names of its bits
	asText                   // a string as it is
	asPath                   // a path as it was passed, resolved to an absolute one
	asBytes                  // with a dot for every byte that is not printable ASCII
	asTime                   // local date and time
	asTuple                  // the two ends of a socket
	asAddress                // one end of a socket
)

// numeric says that the parameter's raw value is a number.
func (f format) numeric() bool { return f <= asMode || f == asTime }

// arg is the value of a parameter: a number or a text. Without ok it is absent.
type arg struct {
	num  int64
	text string
	ok   bool
}

// param is one parameter of an event type.
type param struct {
	name   string
	format format
	names  names
	path   pathArg
	get    func(*Event) arg
}

func number(n int64) arg { return arg{num: n, ok: true} }

func absent(*Event) arg { return arg{} }

// The sources of parameters.

func result(e *Event) arg { return number(e.result()) }

func register(i int) func(*Event) arg {
	return func(e *Event) arg { return number(int64(e.Rec.Args[i])) }
}

func register32(i int) func(*Event) arg {
	return func(e *Event) arg { return number(int64(int32(e.Rec.Args[i]))) }
}

func unsigned32(i int) func(*Event) arg {
	return func(e *Event) arg { return number(int64(uint32(e.Rec.Args[i]))) }
}

func path1(e *Event) arg { return arg{text: e.Rec.Path, ok: e.Rec.PathValid} }
func path2(e *Event) arg { return arg{text: e.Rec.Path2, ok: e.Rec.Path2Valid} }

// The parameters that many types have.
var (
	paramRes   = param{name: "res", format: asErrno, get: result}
	paramFD    = param{name: "fd", format: asFD, get: register32(0)}
	paramNewFD = param{name: "fd", format: asFD, get: result}
	paramDirFD = param{name: "dirfd", format: asFD, get: register32(0)}
	paramIno   = param{name: "ino", format: asInt, get: func(e *Event) arg { return ofFile(e, int64(e.Rec.File.Inode)) }}
	paramDev   = param{name: "dev", format: asHex, get: func(e *Event) arg { return ofFile(e, int64(e.Rec.File.Dev)) }}
	paramMode  = param{name: "mode", format: asMode, names: modeNames, get: func(e *Event) arg { return number(int64(e.Rec.Mode & 0o7777)) }}
	paramTuple = param{name: "tuple", format: asTuple, get: tuple}
	paramData  = param{name: "data", format: asBytes, get: data}
)

func ofFile(e *Event, n int64) arg { return arg{num: n, ok: e.Rec.File.Kind != probe.NoFile} }

// openMode is the mode of an open, which counts only where a file may be made.
func openMode(e *Event) arg {
	if e.kind() != probe.KindCreat && e.openFlags()&(flagCreat|flagTmpfile) == 0 {
		return number(0)
	}
	return number(int64(e.Rec.Mode))
}

func openFlagsArg(e *Event) arg { return number(int64(e.openFlags())) }

func layerFlags(e *Event) arg {
	var n int64
	if e.Rec.UpperLayer {
		n |= 1
	}
	if e.Rec.LowerLayer {
		n |= 2
	}
	return number(n)
}

// tuple is the pair of a socket's ends.
func tuple(e *Event) arg {
	d := e.descriptor()
	if !d.known {
		return arg{}
	}
	name, _ := e.descriptorName()
	return arg{text: name, ok: name != ""}
}

// address is the address argument.
func address(e *Event) arg {
	if e.Rec.AddrPath != "" {
		return arg{text: e.Rec.AddrPath, ok: true}
	}
	if !e.Rec.Addr.IsValid() {
		return arg{}
	}
	from := len(e.text)
	return arg{text: e.made(appendEnd(e.text, unmap(e.Rec.Addr), true), from), ok: true}
}

func pathParam(name string) param {
	return param{name: name, format: asPath, path: firstPath, get: path1}
}

func path2Param(name string) param {
	return param{name: name, format: asPath, path: secondPath, get: path2}
}

func textParam(name string, get func(*Event) arg) param {
	return param{name: name, format: asText, get: get}
}

func intParam(name string, get func(*Event) arg) param {
	return param{name: name, format: asInt, get: get}
}

func uidParam(name string, i int) param {
	return param{name: name, format: asUID, get: unsigned32(i)}
}

func gidParam(name string, i int) param {
	return param{name: name, format: asGID, get: unsigned32(i)}
}

func flagsParam(name string, ns names, get func(*Event) arg) param {
	return param{name: name, format: asFlags, names: ns, get: get}
}

func enumParam(name string, ns names, get func(*Event) arg) param {
	return param{name: name, format: asEnum, names: ns, get: get}
}

func fdParam(name string, i int) param {
	return param{name: name, format: asFD, get: register32(i)}
}

// fileFlagsParam is a parameter of flags like those of an open, as the i-th argument.
func fileFlagsParam(i int) param {
	return flagsParam("flags", fileFlagNames, func(e *Event) arg { return number(int64(fileFlags(uint32(e.Rec.Args[i])))) })
}

// cloneFlagsParam is a parameter of flags like those of clone, as the i-th argument.
func cloneFlagsParam(name string, i int) param {
	return flagsParam(name, cloneFlagNames, func(e *Event) arg { return number(numberCloneFlags(e.Rec.Args[i])) })
}

func pidParam(name string, i int) param {
	return param{name: name, format: asPID, get: register32(i)}
}

func signalParam(i int) param {
	return param{name: "sig", format: asSignal, get: register32(i)}
}

// commonParams are the parameters of the kinds that are Common.
var commonParams = map[probe.Kind][]param{
	probe.KindExecve:   append(execParams(), param{name: "filename", format: asPath, get: execFilename}),
	probe.KindExecveat: execParams(),
	probe.KindFork:     forkParams(),
	probe.KindProcexit: {
		{name: "status", format: asErrno, get: register(0)},
		{name: "ret", format: asErrno, get: exitCode},
		{name: "sig", format: asSignal, get: exitSignal},
		intParam("core", dumpedCore),
		{name: "reaper_tid", format: asPID, get: absent},
	},
	probe.KindOpen: {
		paramNewFD, pathParam("name"), flagsParam("flags", fileFlagNames, openFlagsArg),
		{name: "mode", format: asOctal, get: openMode},
		paramDev, paramIno,
	},
	probe.KindOpenat: {
		paramNewFD, paramDirFD, pathParam("name"), flagsParam("flags", fileFlagNames, openFlagsArg),
		{name: "mode", format: asOctal, get: openMode},
		paramDev, paramIno,
	},
	probe.KindOpenat2: {
		paramNewFD, paramDirFD, pathParam("name"), flagsParam("flags", fileFlagNames, openFlagsArg),
		{name: "mode", format: asOctal, get: openMode},
		flagsParam("resolve", resolveNames, absent),
		paramDev, paramIno,
	},
	probe.KindCreat: {
		paramNewFD, pathParam("name"),
		{name: "mode", format: asOctal, get: openMode},
		paramDev, paramIno, flagsParam("creat_flags", creatFlagNames, layerFlags),
	},
	probe.KindConnect: {paramRes, paramTuple, paramFD, {name: "addr", format: asAddress, get: address}},
	probe.KindAccept: {
		paramNewFD, paramTuple, intParam("queuepct", absent), intParam("queuelen", absent),
		intParam("queuemax", absent),
	},
	probe.KindAccept4: {
		paramNewFD, paramTuple, intParam("queuepct", absent), intParam("queuelen", absent),
		intParam("queuemax", absent),
		{name: "flags", format: asHex, get: unsigned32(3)},
	},
	probe.KindBind:   {paramRes, {name: "addr", format: asAddress, get: address}, paramFD},
	probe.KindListen: {paramRes, paramFD, intParam("backlog", register32(1))},
	probe.KindSocket: {
		paramNewFD, enumParam("domain", familyNames, unsigned32(0)), intParam("type", socketType),
		intParam("proto", unsigned32(2)), flagsParam("flags", fileFlagNames, socketFlags),
	},
	probe.KindSendto:   {paramRes, paramData, paramFD, intParam("size", unsigned32(2)), paramTuple},
	probe.KindSendmsg:  {paramRes, paramData, paramFD, intParam("size", sentSize), paramTuple},
	probe.KindRecvfrom: {paramRes, paramData, paramTuple, paramFD, intParam("size", unsigned32(2))},
	probe.KindRecvmsg: {
		paramRes, intParam("size", sentSize), paramData, paramTuple,
		{name: "msgcontrol", format: asBytes, get: absent},
		paramFD,
	},
	probe.KindUnlink: {paramRes, pathParam("path")},
	probe.KindUnlinkat: {
		paramRes, paramDirFD, pathParam("name"), flagsParam("flags", unlinkatFlagNames, unsigned32(2)),
	},
	probe.KindRmdir:  {paramRes, pathParam("path")},
	probe.KindRename: {paramRes, pathParam("oldpath"), path2Param("newpath")},
	probe.KindRenameat: {
		paramRes, fdParam("olddirfd", 0), pathParam("oldpath"), fdParam("newdirfd", 2), path2Param("newpath"),
	},
	probe.KindRenameat2: {
		paramRes, fdParam("olddirfd", 0), pathParam("oldpath"), fdParam("newdirfd", 2), path2Param("newpath"),
		flagsParam("flags", renameFlagNames, unsigned32(4)),
	},
	probe.KindLink: {paramRes, pathParam("oldpath"), path2Param("newpath")},
	probe.KindLinkat: {
		paramRes, fdParam("olddir", 0), pathParam("oldpath"), fdParam("newdir", 2), path2Param("newpath"),
		flagsParam("flags", linkatFlagNames, unsigned32(4)),
	},
	probe.KindSymlink:   {paramRes, textParam("target", path1), path2Param("linkpath")},
	probe.KindSymlinkat: {paramRes, textParam("target", path1), fdParam("linkdirfd", 1), path2Param("linkpath")},
	probe.KindMkdir:     {paramRes, pathParam("path"), {name: "mode", format: asHex, get: rawMode}},
	probe.KindMkdirat:   {paramRes, paramDirFD, pathParam("path"), {name: "mode", format: asHex, get: rawMode}},
	probe.KindChmod:     {paramRes, pathParam("filename"), paramMode},
	probe.KindFchmod:    {paramRes, paramFD, paramMode},
	probe.KindFchmodat:  {paramRes, paramDirFD, pathParam("filename"), paramMode},
	probe.KindChown:     {paramRes, pathParam("path"), intParam("uid", unsigned32(1)), intParam("gid", unsigned32(2))},
	probe.KindFchown:    {paramRes, paramFD, intParam("uid", unsigned32(1)), intParam("gid", unsigned32(2))},
	probe.KindFchownat: {
		paramRes, paramDirFD, pathParam("pathname"), intParam("uid", unsigned32(2)),
		intParam("gid", unsigned32(3)), flagsParam("flags", chownFlagNames, unsigned32(4)),
	},
	probe.KindLchown: {paramRes, pathParam("path"), intParam("uid", unsigned32(1)), intParam("gid", unsigned32(2))},
	probe.KindDup:    {{name: "res", format: asFD, get: result}, fdParam("oldfd", 0)},
	probe.KindDup2:   {{name: "res", format: asFD, get: result}, fdParam("oldfd", 0), fdParam("newfd", 1)},
	probe.KindDup3: {
		{name: "res", format: asFD, get: result},
		fdParam("oldfd", 0), fdParam("newfd", 1),
		fileFlagsParam(2),
	},
	probe.KindPtrace: {
		paramRes,
		{name: "addr", format: asHex, get: register(2)},
		{name: "data", format: asHex, get: register(3)},
		enumParam("request", ptraceNames, func(e *Event) arg { return number(numberPtraceRequest(e.Rec.Args[0])) }),
		pidParam("pid", 1),
	},
	probe.KindMemfdCreate: {paramNewFD, textParam("name", path1), flagsParam("flags", memfdFlagNames, unsigned32(1))},
	probe.KindSetuid:      {paramRes, uidParam("uid", 0)},
	probe.KindSetgid:      {paramRes, gidParam("gid", 0)},
	probe.KindSetreuid:    {paramRes, uidParam("ruid", 0), uidParam("euid", 1)},
	probe.KindSetregid:    {paramRes, gidParam("rgid", 0), gidParam("egid", 1)},
	probe.KindSetresuid:   {paramRes, uidParam("ruid", 0), uidParam("euid", 1), uidParam("suid", 2)},
	probe.KindSetresgid:   {paramRes, gidParam("rgid", 0), gidParam("egid", 1), gidParam("sgid", 2)},
	probe.KindSetns:       {paramRes, paramFD, cloneFlagsParam("nstype", 1)},
	probe.KindUnshare:     {paramRes, cloneFlagsParam("flags", 0)},
	probe.KindMount: {
		paramRes, textParam("dev", path1), path2Param("dir"), textParam("type", data),
		flagsParam("flags", mountFlagNames, unsigned32(3)),
	},
	probe.KindUmount2: {paramRes, pathParam("name"), flagsParam("flags", umountFlagNames, unsigned32(1))},
	probe.KindInitModule: {
		paramRes,
		{name: "img", format: asBytes, get: absent},
		intParam("length", register(1)),
		textParam("uargs", data),
	},
	probe.KindFinitModule: {
		paramRes, paramFD, textParam("uargs", data), flagsParam("flags", moduleFlagNames, unsigned32(2)),
	},
	probe.KindBpf:         {paramNewFD, enumParam("cmd", bpfNames, unsigned32(0))},
	probe.KindUserfaultfd: {paramRes, fileFlagsParam(0)},
	probe.KindChdir:       {paramRes, textParam("path", path1)},
	probe.KindFchdir:      {paramRes, paramFD},
	probe.KindChroot:      {paramRes, pathParam("path")},
	probe.KindSetsid:      {{name: "res", format: asPID, get: result}},
	probe.KindSetpgid:     {paramRes, pidParam("pid", 0), pidParam("pgid", 1)},
	probe.KindCapset:      append([]param{paramRes}, capabilityParams()...),
	probe.KindPrctl: {
		paramRes, enumParam("option", prctlNames, unsigned32(0)), textParam("arg2_str", path1),
		intParam("arg2_int", register(1)),
	},
	probe.KindClose: {paramRes, paramFD},
	probe.KindPipe: {
		paramRes,
		{name: "fd1", format: asFD, get: absent},
		{name: "fd2", format: asFD, get: fileNum},
		paramIno,
	},
	probe.KindPipe2: {
		paramRes,
		{name: "fd1", format: asFD, get: absent},
		{name: "fd2", format: asFD, get: fileNum},
		paramIno, fileFlagsParam(1),
	},
	probe.KindSocketpair: {
		paramRes,
		{name: "fd1", format: asFD, get: absent},
		{name: "fd2", format: asFD, get: fileNum},
		{name: "source", format: asHex, get: absent},
		{name: "peer", format: asHex, get: absent},
		enumParam("domain", familyNames, unsigned32(0)), intParam("type", socketType), intParam("proto", unsigned32(2)),
	},
	probe.KindKill:   {paramRes, pidParam("pid", 0), signalParam(1)},
	probe.KindTkill:  {paramRes, pidParam("tid", 0), signalParam(1)},
	probe.KindTgkill: {paramRes, pidParam("pid", 0), pidParam("tid", 1), signalParam(2)},
}

func rawMode(e *Event) arg { return number(int64(e.Rec.Mode)) }

func fileNum(e *Event) arg { return ofFile(e, int64(e.Rec.File.Num)) }

// The parts of the status that a process ends with.

func exitCode(e *Event) arg   { return number(int64(e.Rec.Args[0] >> 8 & 0xff)) }
func exitSignal(e *Event) arg { return number(int64(e.Rec.Args[0] & 0x7f)) }
func dumpedCore(e *Event) arg { return number(int64(e.Rec.Args[0] >> 7 & 1)) }

// data is text that lies where sent data does for other calls.
func data(e *Event) arg { return arg{text: bytesAsString(e.Rec.Data), ok: len(e.Rec.Data) > 0} }

// socketType is the type of socket and socketpair without the flags in it.
func socketType(e *Event) arg {
	return number(int64(uint32(e.Rec.Args[1]) &^ uint32(unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)))
}

func socketFlags(e *Event) arg {
	var n uint32
	if e.Rec.Args[1]&unix.SOCK_NONBLOCK != 0 {
		n |= flagNonblock
	}
	if e.Rec.Args[1]&unix.SOCK_CLOEXEC != 0 {
		n |= flagCloexec
	}
	return number(int64(n))
}

// sentSize is the size of a message, which is known once it was sent.
func sentSize(e *Event) arg { return arg{num: e.Rec.Ret, ok: e.Rec.Ret >= 0} }

func capabilityParams() []param {
	return []param{
		{name: "cap_inheritable", format: asHex, get: func(e *Event) arg { return number(int64(e.Rec.CapInheritable)) }},
		{name: "cap_permitted", format: asHex, get: func(e *Event) arg { return number(int64(e.Rec.CapPermitted)) }},
		{name: "cap_effective", format: asHex, get: func(e *Event) arg { return number(int64(e.Rec.CapEffective)) }},
	}
}

package syscalls

import "github.com/saker-security/saker/sensor/probe"

// transferParams are the parameters of what reads and writes.
var transferParams = map[probe.Kind][]param{
	probe.KindRead:    {paramRes, paramData, paramFD, paramSize},
	probe.KindWrite:   {paramRes, paramData, paramFD, paramSize},
	probe.KindPread:   {paramRes, paramData, paramFD, paramSize, intParam("pos", register(3))},
	probe.KindPwrite:  {paramRes, paramData, paramFD, paramSize, intParam("pos", register(3))},
	probe.KindReadv:   {paramRes, intParam("size", sentSize), paramData, paramFD},
	probe.KindWritev:  {paramRes, paramData, paramFD, intParam("size", sentSize)},
	probe.KindPreadv:  {paramRes, intParam("size", sentSize), paramData, paramFD, intParam("pos", register(3))},
	probe.KindPwritev: {paramRes, paramData, paramFD, intParam("size", sentSize), intParam("pos", register(3))},
	probe.KindSend:    {paramRes, paramData, paramFD, paramSize, paramTuple},
	probe.KindRecv:    {paramRes, paramData, paramFD, paramSize, paramTuple},
	probe.KindSendmmsg: {
		paramRes, paramFD, intParam("size", absent), {name: "data", format: asBytes, get: absent}, paramTuple,
	},
	probe.KindRecvmmsg: {
		paramRes, paramFD, intParam("size", absent),
		{name: "data", format: asBytes, get: absent},
		paramTuple,
		{name: "msgcontrol", format: asBytes, get: absent},
	},
	probe.KindSendfile: {
		paramRes, intParam("offset", absent), fdParam("out_fd", 0), fdParam("in_fd", 1), intParam("size", register(3)),
	},
	probe.KindCopyFileRange: {
		paramRes, fdParam("fdout", 2), intParam("offout", absent), fdParam("fdin", 0), intParam("offin", absent),
		intParam("len", register(4)),
	},
	probe.KindSplice: {
		paramRes, fdParam("fd_in", 0), fdParam("fd_out", 2), intParam("size", register(4)),
		flagsParam("flags", spliceFlagNames, unsigned32(5)),
	},
}

// fileParams are the parameters of what looks at files and changes them.
var fileParams = map[probe.Kind][]param{
	probe.KindAccess:   {paramRes, pathParam("name"), flagsParam("mode", accessNames, unsigned32(1))},
	probe.KindStat:     {paramRes, pathParam("path")},
	probe.KindLstat:    {paramRes, pathParam("path")},
	probe.KindFstat:    {paramRes, paramFD},
	probe.KindGetcwd:   {paramRes, textParam("path", path1)},
	probe.KindGetdents: {paramRes, paramFD},
	probe.KindLseek: {
		paramRes, paramFD, intParam("offset", register(1)), enumParam("whence", whenceNames, unsigned32(2)),
	},
	probe.KindGetdents64: {paramRes, paramFD},
	probe.KindNewfstatat: {
		paramRes, paramDirFD, pathParam("path"), flagsParam("flags", statFlagNames, unsigned32(3)),
	},
	probe.KindMknod: {
		paramRes, pathParam("path"),
		{name: "mode", format: asMode, names: mknodModeNames, get: unsigned32(1)},
		intParam("dev", unsigned32(2)),
	},
	probe.KindMknodat: {
		paramRes, paramDirFD, pathParam("path"),
		{name: "mode", format: asMode, names: mknodModeNames, get: unsigned32(2)},
		intParam("dev", unsigned32(3)),
	},
	probe.KindOpenByHandleAt: {
		paramNewFD, fdParam("mountfd", 0), flagsParam("flags", fileFlagNames, openFlagsArg),
		textParam("path", openedPath), paramDev, paramIno,
	},
	probe.KindFlock: {paramRes, paramFD, flagsParam("operation", flockNames, unsigned32(1))},
	probe.KindFcntl: {
		{name: "res", format: asFD, get: result},
		paramFD, enumParam("cmd", fcntlNames, renumbered(fcntlCommands, 1)),
		{name: "arg", format: asHex, get: register(2)},
	},
	probe.KindIoctl: {
		paramRes, paramFD,
		{name: "request", format: asHex, get: register(1)},
		{name: "argument", format: asHex, get: register(2)},
	},
	probe.KindCloseRange: {
		paramRes, intParam("first", unsigned32(0)), intParam("last", unsigned32(1)),
		flagsParam("flags", closeRangeFlagNames, unsigned32(2)),
	},
	probe.KindQuotactl: {
		paramRes, textParam("special", path1), textParam("quotafilepath", absent), intParam("dqb_bhardlimit", absent),
		intParam("dqb_bsoftlimit", absent), intParam("dqb_curspace", absent), intParam("dqb_ihardlimit", absent),
		intParam("dqb_isoftlimit", absent), intParam("dqb_btime", absent), intParam("dqb_itime", absent),
		intParam("dqi_bgrace", absent), intParam("dqi_igrace", absent), intParam("dqi_flags", absent),
		intParam("quota_fmt_out", absent),
		intParam("cmd", func(e *Event) arg { return number(int64(uint32(e.Rec.Args[0]) >> 8)) }),
		intParam("type", func(e *Event) arg { return number(int64(e.Rec.Args[0] & 0xff)) }),
		intParam("id", unsigned32(2)), intParam("quota_fmt", absent),
	},
	probe.KindFsconfig: {
		paramRes, paramFD, enumParam("cmd", fsconfigNames, unsigned32(1)), textParam("key", data),
		{name: "value_bytebuf", format: asBytes, get: absent},
		textParam("value_charbuf", fsconfigText),
		intParam("aux", register32(4)),
	},
	probe.KindDeleteModule: {
		paramRes, textParam("name", path1),
		flagsParam("flags", deleteModuleFlagNames, renumbered(deleteModuleFlags, 1)),
	},
	probe.KindShutdown: {paramRes, paramFD, enumParam("how", shutdownNames, unsigned32(1))},
	probe.KindSetsockopt: {
		paramRes, paramFD, enumParam("level", socketLevelNames, unsigned32(1)), intParam("optname", unsigned32(2)),
		{name: "val", format: asBytes, get: absent},
		intParam("optlen", unsigned32(4)),
	},
	probe.KindGetsockopt: {
		paramRes, paramFD, enumParam("level", socketLevelNames, unsigned32(1)), intParam("optname", unsigned32(2)),
		{name: "val", format: asBytes, get: absent},
		intParam("optlen", absent),
	},
}

var paramSize = intParam("size", unsigned32(2))

// openedPath is the path of the file that was opened without one.
func openedPath(e *Event) arg {
	return arg{text: e.Rec.File.Path, ok: e.Rec.File.Kind != probe.NoFile && e.Rec.File.Path != ""}
}

// fsconfigText is the value of a setting where it is a text.
func fsconfigText(e *Event) arg {
	const setString, setPathEmpty = 1, 4
	if cmd := uint32(e.Rec.Args[1]); cmd != setString && (cmd <= setString+1 || cmd > setPathEmpty) {
		return arg{}
	}
	return path1(e)
}

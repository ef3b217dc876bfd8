package syscalls

import (
	"maps"

	"github.com/saker-security/saker/sensor/probe"
)

// params are the parameters of each kind, in the order of evt.arg[0], evt.arg[1], …
var params = func() (all [probe.KindCount][]param) {
	for _, k := range probe.Kinds() {
		all[k] = genericParams(k)
	}
	for _, some := range []map[probe.Kind][]param{
		commonParams, transferParams, fileParams, statusParams, memoryParams, resourceParams, idParams,
	} {
		for k, ps := range maps.All(some) {
			all[k] = ps
		}
	}
	for k, ps := range moreParams {
		all[k] = append(idAndNumber(k), ps...)
	}
	return all
}()

// genericParams are those of a system call that Falco has no event of its own for: its name
// and number, and beyond Falco the descriptor and the paths that it is about.
func genericParams(k probe.Kind) []param {
	ps := idAndNumber(k)
	at, ok := k.FD()
	folder, inFolder := k.Folder(false)
	switch {
	case ok && at == probe.Returned:
		ps = append(ps, paramNewFD)
	case ok && !(inFolder && folder == at):
		ps = append(ps, fdParam("fd", at))
	}
	if inFolder {
		ps = append(ps, fdParam("dirfd", folder))
	}
	if k.Paths() > 0 {
		ps = append(ps, pathParam("path"))
	}
	return ps
}

func idAndNumber(k probe.Kind) []param {
	number, _ := k.Number()
	value := func(*Event) arg { return arg{num: int64(number), ok: true} }
	return []param{
		enumParam("ID", names{{k.String(), number}}, value),
		intParam("nativeID", value),
	}
}

// moreParams are what follows the name and number of calls that have no event of their own in
// Falco, where there is more to tell than a descriptor and a path.
var moreParams = map[probe.Kind][]param{
	probe.KindPivotRoot: {pathParam("new_root"), path2Param("put_old")},
	probe.KindMoveMount: {
		fdParam("olddirfd", 0), pathParam("oldpath"), fdParam("newdirfd", 2), path2Param("newpath"),
	},
	probe.KindFchmodat2: {
		paramDirFD, pathParam("filename"), paramMode, flagsParam("flags", statFlagNames, unsigned32(3)),
	},
	probe.KindAddKey:        {textParam("type", path1), textParam("description", path2)},
	probe.KindRequestKey:    {textParam("type", path1), textParam("description", path2)},
	probe.KindFsopen:        {paramNewFD, textParam("name", path1)},
	probe.KindMqOpen:        {paramNewFD, textParam("name", path1)},
	probe.KindMqUnlink:      {textParam("name", path1)},
	probe.KindCreateModule:  {textParam("name", path1)},
	probe.KindKexecFileLoad: {paramFD, fdParam("initrd_fd", 1), textParam("cmdline", data)},
	probe.KindPerfEventOpen: {paramNewFD, pidParam("pid", 1), intParam("cpu", register32(2))},
	probe.KindReboot:        {{name: "cmd", format: asHex, get: unsigned32(2)}},
	probe.KindPersonality:   {{name: "persona", format: asHex, get: unsigned32(0)}},
	probe.KindSeccomp:       {intParam("operation", unsigned32(0)), {name: "flags", format: asHex, get: unsigned32(1)}},
	probe.KindEpollCtl:      {paramFD, intParam("op", register32(1)), fdParam("target_fd", 2)},
	probe.KindPidfdSendSignal: {
		fdParam("pid_fd", 0), signalParam(1),
	},
	probe.KindRtSigqueueinfo:   {pidParam("pid", 0), signalParam(1)},
	probe.KindRtTgsigqueueinfo: {pidParam("pid", 0), pidParam("tid", 1), signalParam(2)},
	probe.KindSetfsuid:         {uidParam("uid", 0)},
	probe.KindSetfsgid:         {gidParam("gid", 0)},
	probe.KindStatx:            {paramDirFD, pathParam("path"), flagsParam("flags", statFlagNames, unsigned32(2))},
	probe.KindFaccessat: {
		paramDirFD, pathParam("path"), flagsParam("mode", accessNames, unsigned32(2)),
	},
	probe.KindFaccessat2: {
		paramDirFD, pathParam("path"), flagsParam("mode", accessNames, unsigned32(2)),
		flagsParam("flags", statFlagNames, unsigned32(3)),
	},
	probe.KindPkeyMprotect: {
		{name: "addr", format: asHex, get: register(0)},
		intParam("length", register(1)), protParam(2),
	},
	probe.KindTee:       {fdParam("fd_in", 0), fdParam("fd_out", 1), intParam("size", register(2))},
	probe.KindTruncate:  {pathParam("path"), intParam("len", register(1))},
	probe.KindFtruncate: {paramFD, intParam("len", register(1))},
	probe.KindPreadv2: {
		paramRes, intParam("size", sentSize), paramData, paramFD, intParam("pos", register(3)),
	},
	probe.KindPwritev2: {
		paramRes, paramData, paramFD, intParam("size", sentSize), intParam("pos", register(3)),
	},
	probe.KindGetxattr:     attributeOfPath(0),
	probe.KindLgetxattr:    attributeOfPath(0),
	probe.KindSetxattr:     attributeOfPath(0),
	probe.KindLsetxattr:    attributeOfPath(0),
	probe.KindRemovexattr:  attributeOfPath(0),
	probe.KindLremovexattr: attributeOfPath(0),
	probe.KindGetxattrat:   attributeOfPath(1),
	probe.KindSetxattrat:   attributeOfPath(1),
	probe.KindFgetxattr:    {paramFD, textParam("name", data)},
	probe.KindFsetxattr:    {paramFD, textParam("name", data)},
	probe.KindFremovexattr: {paramFD, textParam("name", data)},
	probe.KindRemovexattrat: {
		paramDirFD, pathParam("path"), textParam("name", data),
	},
}

// attributeOfPath are the parameters of a call about an extended attribute of a file.
func attributeOfPath(folders int) []param {
	ps := []param{pathParam("path"), textParam("name", data)}
	if folders > 0 {
		ps = append([]param{paramDirFD}, ps...)
	}
	return ps
}

package syscalls

import (
	"bytes"

	"github.com/saker-security/saker/sensor/probe"
)

// execParams are the parameters of an exec: of a successful one what the process became,
// of a failed one what was tried, as far as it is known.
func execParams() []param {
	fact := func(get func(*probe.Exec) int64) func(*Event) arg {
		return func(e *Event) arg {
			if e.Rec.Exec == nil {
				return arg{}
			}
			return number(get(e.Rec.Exec))
		}
	}
	ps := []param{
		paramRes,
		textParam("exe", execExe),
		{name: "args", format: asBytes, get: execArgs},
		{name: "tid", format: asPID, get: func(e *Event) arg { return number(int64(e.Rec.TID)) }},
		{name: "pid", format: asPID, get: func(e *Event) arg { return number(int64(e.Rec.PID)) }},
		{name: "ptid", format: asPID, get: func(e *Event) arg { return arg{num: int64(e.Proc.PPID), ok: e.Proc.PPID > 0} }},
		textParam("cwd", func(*Event) arg { return arg{ok: true} }),
	}
	for _, unknown := range []string{"fdlimit", "pgft_maj", "pgft_min", "vm_size", "vm_rss", "vm_swap"} {
		ps = append(ps, intParam(unknown, absent))
	}
	ps = append(
		ps,
		textParam("comm", func(e *Event) arg { return arg{text: e.Proc.Comm, ok: true} }),
		param{name: "cgroups", format: asBytes, get: func(e *Event) arg {
			return arg{text: e.Proc.Cgroup, ok: e.Proc.Cgroup != ""}
		}},
		param{name: "env", format: asBytes, get: execEnv},
		intParam("tty", fact(func(x *probe.Exec) int64 { return int64(x.TTY) })),
		param{name: "vpgid", format: asPID, get: fact(func(x *probe.Exec) int64 { return int64(x.VPGID) })},
		param{name: "loginuid", format: asUID, get: fact(func(x *probe.Exec) int64 { return int64(x.LoginUID) })},
		flagsParam("flags", execFlagNames, execFlags),
	)
	ps = append(ps, capabilityParams()...)
	return append(
		ps,
		intParam("exe_ino", fact(func(x *probe.Exec) int64 { return int64(x.Inode) })),
		param{name: "exe_ino_ctime", format: asTime, get: fact(func(x *probe.Exec) int64 { return int64(x.Ctime) })},
		param{name: "exe_ino_mtime", format: asTime, get: fact(func(x *probe.Exec) int64 { return int64(x.Mtime) })},
		param{name: "uid", format: asUID, get: func(e *Event) arg { return number(int64(e.Rec.UID)) }},
		textParam("trusted_exepath", func(e *Event) arg {
			if e.Rec.Exec == nil || e.Rec.Ret < 0 {
				return arg{}
			}
			return arg{text: e.Rec.Exec.ExePath, ok: true}
		}),
		param{name: "pgid", format: asPID, get: fact(func(x *probe.Exec) int64 { return int64(x.PGID) })},
		param{name: "gid", format: asGID, get: func(e *Event) arg { return number(int64(e.Rec.GID)) }},
	)
}

// execExe is the first argument.
func execExe(e *Event) arg {
	if e.Rec.Exec == nil {
		return arg{}
	}
	first, _, _ := bytes.Cut(e.Rec.Exec.Argv, []byte{0})
	return arg{text: bytesAsString(first), ok: true}
}

// execArgs are the arguments after the first, without the NUL at the end.
func execArgs(e *Event) arg {
	if e.Rec.Exec == nil {
		return arg{}
	}
	_, rest, _ := bytes.Cut(e.Rec.Exec.Argv, []byte{0})
	return arg{text: bytesAsString(bytes.TrimSuffix(rest, []byte{0})), ok: true}
}

func execEnv(e *Event) arg {
	if e.Rec.Exec == nil {
		return arg{}
	}
	return arg{text: bytesAsString(bytes.TrimSuffix(e.Rec.Exec.Env, []byte{0})), ok: true}
}

func execFlags(e *Event) arg {
	var n int64
	if x := e.Rec.Exec; x != nil && e.Rec.Ret >= 0 {
		for i, set := range [...]bool{x.Writable, e.Rec.UpperLayer, x.FromMemfd, e.Rec.LowerLayer} {
			if set {
				n |= 1 << i
			}
		}
	}
	return number(n)
}

// execFilename is the path that was executed. An execveat has the descriptor's path in
// front, as scripts get it.
func execFilename(e *Event) arg { return arg{text: e.Rec.Path, ok: e.Rec.PathValid} }

func forkParams() []param {
	ofChild := func(get func(*probe.Fork) int64) func(*Event) arg {
		return func(e *Event) arg {
			if e.Rec.Fork == nil {
				return arg{}
			}
			return number(get(e.Rec.Fork))
		}
	}
	ps := []param{
		{name: "res", format: asPID, get: ofChild(func(f *probe.Fork) int64 { return int64(f.ChildTID) })},
		textParam("exe", func(e *Event) arg { return arg{text: e.Proc.Image.Exe, ok: e.Proc.Image.Known} }),
		{name: "args", format: asBytes, get: func(e *Event) arg {
			return arg{text: trimNUL(e.Proc.Image.RawArgs()), ok: e.Proc.Image.Known}
		}},
		{name: "tid", format: asPID, get: func(e *Event) arg { return number(int64(e.Rec.TID)) }},
		{name: "pid", format: asPID, get: func(e *Event) arg { return number(int64(e.Rec.PID)) }},
		{name: "ptid", format: asPID, get: func(e *Event) arg { return arg{num: int64(e.Proc.PPID), ok: e.Proc.PPID > 0} }},
		textParam("cwd", func(*Event) arg { return arg{ok: true} }),
	}
	for _, unknown := range []string{"fdlimit", "pgft_maj", "pgft_min", "vm_size", "vm_rss", "vm_swap"} {
		ps = append(ps, intParam(unknown, absent))
	}
	return append(
		ps,
		textParam("comm", func(e *Event) arg { return arg{text: e.Proc.Comm, ok: true} }),
		param{name: "cgroups", format: asBytes, get: func(e *Event) arg {
			return arg{text: e.Proc.Cgroup, ok: e.Proc.Cgroup != ""}
		}},
		flagsParam("flags", cloneFlagNames, ofChild(func(f *probe.Fork) int64 { return numberCloneFlags(f.Flags) })),
		intParam("uid", func(e *Event) arg { return number(int64(e.Rec.UID)) }),
		intParam("gid", func(e *Event) arg { return number(int64(e.Rec.GID)) }),
		param{name: "vtid", format: asInt, get: ofChild(func(f *probe.Fork) int64 { return int64(f.VTID) })},
		param{name: "vpid", format: asInt, get: ofChild(func(f *probe.Fork) int64 { return int64(f.VPID) })},
		param{name: "pidns_init_start_ts", format: asInt, get: ofChild(func(f *probe.Fork) int64 { return int64(f.PidnsStart) })},
	)
}

func trimNUL(s string) string {
	if n := len(s); n > 0 && s[n-1] == 0 {
		return s[:n-1]
	}
	return s
}

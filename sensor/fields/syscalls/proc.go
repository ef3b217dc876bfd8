package syscalls

import (
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/process"
)

// ofProcess is what a field tells of a process.
type ofProcess func(*Event, *process.Process) fields.Value

// ofImage is null for a process whose program is not known.
func ofImage(f func(*Event, *process.Image) fields.Value) ofProcess {
	return func(e *Event, p *process.Process) fields.Value {
		if !p.Image.Known {
			return null
		}
		return f(e, p.Image)
	}
}

var (
	procName ofProcess = func(_ *Event, p *process.Process) fields.Value { return fields.Text(p.Comm) }
	procPID  ofProcess = func(_ *Event, p *process.Process) fields.Value { return fields.Signed(int64(p.PID)) }
	procExe            = ofImage(func(_ *Event, im *process.Image) fields.Value { return fields.Text(im.Exe) })
	procArgs           = ofImage(func(_ *Event, im *process.Image) fields.Value { return fields.Text(im.Args()) })
	procPath           = ofImage(func(_ *Event, im *process.Image) fields.Value { return fields.Text(im.Path) })

	procCmdline ofProcess = func(_ *Event, p *process.Process) fields.Value {
		if !p.Image.Known {
			return null
		}
		return fields.Text(p.Cmdline())
	}
)

func processFields() []fields.Field {
	field := func(name string, t fields.Type, doc string, f ofProcess) fields.Field {
		return fields.Field{Name: name, Type: t, Doc: doc, Extract: extractor(func(e *Event) fields.Value {
			return f(e, e.Proc)
		})}
	}
	exact := func(name, doc string, f func(*process.Image) bool) fields.Field {
		return field(name, fields.Bool, doc, ofImage(func(_ *Event, im *process.Image) fields.Value {
			return fields.Boolean(f(im))
		}))
	}
	moment := func(name string, t fields.Type, doc string, f func(*Event) uint64) fields.Field {
		return field(name, t, doc, func(e *Event, _ *process.Process) fields.Value {
			ns := f(e)
			return fields.Value{Valid: ns != 0, Num: ns}
		})
	}
	return []fields.Field{
		field("proc.pid", fields.Int, "Id of the process.", procPID),
		field("proc.name", fields.String, "Name that the process got when it executed its program or was forked, at most 15 bytes.", procName),
		field("proc.exe", fields.String, "First argument of the program, usually its name or path.", procExe),
		field("proc.exepath", fields.Path, "Path of the executable with links resolved.", procPath),
		{
			Name: "proc.args", Type: fields.String, Arg: fields.OptionalIndexArg,
			Doc: "Arguments of the program without the first, joined by spaces; with an index one of them, from 0.",
			Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value {
				if !a.Given {
					return procArgs(e, e.Proc)
				}
				if !e.Proc.Image.Known {
					return null
				}
				s, _ := e.Proc.Image.Arg(a.Index)
				return fields.Text(s)
			}),
		},
		field("proc.cmdline", fields.String, "proc.name and proc.args joined by a space.", procCmdline),
		field("proc.exeline", fields.String, "proc.exe and proc.args joined by a space.",
			ofImage(func(_ *Event, im *process.Image) fields.Value { return fields.Text(im.Exeline) })),
		field("proc.cmdnargs", fields.Uint, "Number of arguments without the first.",
			ofImage(func(_ *Event, im *process.Image) fields.Value { return fields.Unsigned(uint64(im.Nargs())) })),
		field("proc.cmdlenargs", fields.Uint, "Length of the arguments without the first, without spaces between them.",
			ofImage(func(_ *Event, im *process.Image) fields.Value {
				return fields.Unsigned(uint64(max(0, len(im.Args())-max(0, im.Nargs()-1))))
			})),
		{
			Name: "proc.env", Type: fields.String, Arg: fields.OptionalKeyArg,
			Doc: "Environment that the program was given, joined by spaces; with a name the value of that variable, empty if there is none.",
			Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value {
				if a.Given {
					return getenv(e.Proc, a.Key)
				}
				return e.environment(e.Proc)
			}),
		},
		field("proc.cwd", fields.Path, "Working directory, with a slash at its end.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Value{Valid: p.Cwd != "", Str: p.Cwd} }),
		field("proc.tty", fields.Uint, "Device number of the controlling terminal, 0 for none.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Unsigned(uint64(p.TTY)) }),
		field("proc.vpid", fields.Int, "Id of the process in its own pid namespace.",
			func(_ *Event, p *process.Process) fields.Value { return id(p.VPID) }),
		field("proc.sid", fields.Int, "Id of the session in the process's own pid namespace.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Signed(int64(p.VSID)) }),
		field("proc.vpgid", fields.Int, "Id of the process group in the process's own pid namespace.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Signed(int64(p.VPGID)) }),
		field("proc.pgid", fields.Int, "Id of the process group in the host's pid namespace.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Signed(int64(p.PGID)) }),
		field("proc.is_sid_leader", fields.Bool, "Whether the process leads its session.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Boolean(p.VSID == p.VPID) }),
		field("proc.is_vpgid_leader", fields.Bool, "Whether the process leads its process group.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Boolean(p.VPGID == p.VPID) }),
		field("proc.is_pgid_leader", fields.Bool, "Whether the process leads its process group, by the ids of the host.",
			func(_ *Event, p *process.Process) fields.Value { return fields.Boolean(p.PGID == p.PID) }),
		moment("proc.duration", fields.Duration, "Nanoseconds since the process was forked.",
			func(e *Event) uint64 { return e.since(e.Proc.StartTime) }),
		moment("proc.pid.ts", fields.Time, "When the process was forked, in nanoseconds since the epoch.",
			func(e *Event) uint64 { return e.Proc.StartTime }),
		moment("proc.pidns_init_start_ts", fields.Time, "When the first process of the pid namespace started, in nanoseconds since the epoch.",
			func(e *Event) uint64 { return e.Proc.PidnsStart }),
		exact("proc.is_exe_writable", "Whether the process may write to its executable.",
			func(im *process.Image) bool { return im.Writable }),
		exact("proc.is_exe_upper_layer",
			"Whether the executable is in the upper layer of an overlay file system: made or changed after the container's start.",
			func(im *process.Image) bool { return im.UpperLayer }),
		exact("proc.is_exe_lower_layer", "Whether the executable is in the lower layer of an overlay file system: part of a container's image.",
			func(im *process.Image) bool { return im.LowerLayer }),
		exact("proc.is_exe_from_memfd", "Whether the executable is a file that exists in memory only.",
			func(im *process.Image) bool { return im.FromMemfd }),
		moment("proc.exe_ino", fields.Int, "Inode number of the executable.",
			func(e *Event) uint64 { return e.Proc.Image.Inode }),
		moment("proc.exe_ino.ctime", fields.Time, "When the executable's inode was last changed, in nanoseconds since the epoch.",
			func(e *Event) uint64 { return e.Proc.Image.Ctime }),
		moment("proc.exe_ino.mtime", fields.Time, "When the executable was last written to, in nanoseconds since the epoch.",
			func(e *Event) uint64 { return e.Proc.Image.Mtime }),
		moment("proc.exe_ino.ctime_duration_proc_start", fields.Duration,
			"Nanoseconds from the last change of the executable's inode to the fork of the process.",
			func(e *Event) uint64 { return between(e.Proc.Image.Ctime, e.Proc.StartTime) }),
		moment("proc.exe_ino.ctime_duration_pidns_start", fields.Duration,
			"Nanoseconds from the start of the pid namespace to the last change of the executable's inode.",
			func(e *Event) uint64 { return between(e.Proc.PidnsStart, e.Proc.Image.Ctime) }),
	}
}

func id(n int32) fields.Value { return fields.Value{Valid: n > 0, Num: uint64(n)} }

// between is the time from one moment to a later one, 0 if either is not known or they are
// the other way round.
func between(from, to uint64) uint64 {
	if from == 0 || to < from {
		return 0
	}
	return to - from
}

func getenv(p *process.Process, name string) fields.Value {
	if !p.Image.Known {
		return null
	}
	s, _ := p.Image.Getenv(name)
	return fields.Text(s)
}

func (e *Event) environment(p *process.Process) fields.Value {
	if !p.Image.Known {
		return null
	}
	from := len(e.text)
	b := append(e.text, strings.TrimSuffix(p.Image.RawEnv(), "\x00")...)
	for i := from; i < len(b); i++ {
		if b[i] == 0 {
			b[i] = ' '
		}
	}
	return fields.Text(e.made(b, from))
}

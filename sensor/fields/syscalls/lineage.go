package syscalls

import (
	"strconv"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/process"
)

// lineageFields are those of the parent, the ancestors, and the leaders.
func lineageFields() []fields.Field {
	parent := func(name string, t fields.Type, doc string, f ofProcess) fields.Field {
		return fields.Field{Name: name, Type: t, Doc: doc, Extract: extractor(func(e *Event) fields.Value {
			if p := e.table().Parent(e.Proc); p != nil {
				return f(e, p)
			}
			return null
		})}
	}
	ancestor := func(name string, t fields.Type, doc string, f ofProcess) fields.Field {
		return fields.Field{
			Name: name, Type: t, Doc: doc, Arg: fields.OptionalIndexArg,
			AnyOf: true, NotEqualAny: true, NoRHS: true, NoTransform: true,
			Extract: extractorArg(func(e *Event, a fields.Arg) fields.Value { return e.ancestry(a, f) }),
		}
	}
	leader := func(name string, t fields.Type, doc string, find func(*Event) *process.Process, f ofProcess) fields.Field {
		return fields.Field{Name: name, Type: t, Doc: doc, Extract: extractor(func(e *Event) fields.Value {
			if p := find(e); p != nil {
				if v := f(e, p); v.Valid {
					return v
				}
			}
			return fields.Text("")
		})}
	}
	const fromParent = ", the parent first; with an index that of one, 1 being the parent."
	session := func(e *Event) *process.Process { return e.table().SessionLeader(e.Proc) }
	group := func(e *Event) *process.Process { return e.table().GroupLeader(e.Proc) }
	return []fields.Field{
		{
			Name: "proc.ppid", Type: fields.Int, Doc: "Id of the parent.",
			Extract: extractor(func(e *Event) fields.Value {
				if p := e.table().Parent(e.Proc); p != nil {
					return fields.Signed(int64(p.PID))
				}
				return id(e.Proc.PPID)
			}),
		},
		parent("proc.pname", fields.String, "proc.name of the parent.", procName),
		parent("proc.pexe", fields.String, "proc.exe of the parent.", procExe),
		parent("proc.pexepath", fields.Path, "proc.exepath of the parent.", procPath),
		parent("proc.pcmdline", fields.String, "proc.cmdline of the parent.", procCmdline),
		parent("proc.pvpid", fields.Int, "Id of the parent in its own pid namespace.",
			func(_ *Event, p *process.Process) fields.Value { return id(p.VPID) }),
		parent("proc.ppid.duration", fields.Duration, "Nanoseconds since the parent was forked.",
			func(e *Event, p *process.Process) fields.Value {
				return fields.Value{Valid: p.StartTime != 0, Num: e.since(p.StartTime)}
			}),
		parent("proc.ppid.ts", fields.Time, "When the parent was forked, in nanoseconds since the epoch.",
			func(_ *Event, p *process.Process) fields.Value {
				return fields.Value{Valid: p.StartTime != 0, Num: p.StartTime}
			}),
		ancestor("proc.apid", fields.Int, "Ids of the ancestors"+fromParent, procPID),
		ancestor("proc.aname", fields.String, "proc.name of the ancestors"+fromParent, procName),
		ancestor("proc.aexe", fields.String, "proc.exe of the ancestors"+fromParent, procExe),
		ancestor("proc.aexepath", fields.Path, "proc.exepath of the ancestors"+fromParent, procPath),
		ancestor("proc.acmdline", fields.String, "proc.cmdline of the ancestors"+fromParent, procCmdline),
		ancestor("proc.aargs", fields.String, "proc.args of the ancestors"+fromParent, procArgs),
		{
			Name: "proc.aenv", Type: fields.String, Arg: fields.OptionalKeyArg, NoRHS: true, NoTransform: true,
			Doc: "proc.env; with a number that of the ancestor, 1 being the parent; with a name the value of that " +
				"variable in the next ancestor that has it.",
			Extract: extractorArg(ancestorEnv),
		},
		{
			Name: "proc.loginshellid", Type: fields.Int, Doc: "Id of the eldest shell among the process and its ancestors, the programs whose name ends in sh.",
			Extract: extractor(loginShell),
		},
		leader("proc.sname", fields.String, "proc.name of the session's leader, empty if it is not known.", session, procName),
		leader("proc.sid.exe", fields.String, "proc.exe of the session's leader, empty if it is not known.", session, procExe),
		leader("proc.sid.exepath", fields.Path, "proc.exepath of the session's leader, empty if it is not known.", session, procPath),
		leader("proc.vpgid.name", fields.String, "proc.name of the process group's leader, empty if it is not known.", group, procName),
		leader("proc.vpgid.exe", fields.String, "proc.exe of the process group's leader, empty if it is not known.", group, procExe),
		leader("proc.vpgid.exepath", fields.Path, "proc.exepath of the process group's leader, empty if it is not known.", group, procPath),
		leader("proc.pgid.name", fields.String, "Like proc.vpgid.name.", group, procName),
		leader("proc.pgid.exe", fields.String, "Like proc.vpgid.exe.", group, procExe),
		leader("proc.pgid.exepath", fields.Path, "Like proc.vpgid.exepath.", group, procPath),
	}
}

// ancestry is the value of one ancestor, or the list of all.
func (e *Event) ancestry(a fields.Arg, f ofProcess) fields.Value {
	t := e.table()
	if a.Given {
		if p := t.Ancestor(e.Proc, a.Index); p != nil {
			return f(e, p)
		}
		return null
	}
	from := len(e.values)
	for p := range t.Ancestors(e.Proc) {
		if v := f(e, p); v.Valid {
			e.values = append(e.values, v)
		}
	}
	return e.list(from)
}

// envDepth is how far up a variable is looked for.
const envDepth = 20

func ancestorEnv(e *Event, a fields.Arg) fields.Value {
	if !a.Given {
		return e.environment(e.Proc)
	}
	if n, err := strconv.Atoi(a.Key); err == nil {
		if p := e.table().Ancestor(e.Proc, n); p != nil {
			return e.environment(p)
		}
		return null
	}
	depth := 0
	for p := range e.table().Ancestors(e.Proc) {
		if s, _ := p.Image.Getenv(a.Key); s != "" {
			return fields.Text(s)
		}
		if depth++; depth == envDepth {
			break
		}
	}
	return fields.Text("")
}

func loginShell(e *Event) fields.Value {
	v := null
	note := func(p *process.Process) {
		if strings.HasSuffix(p.Comm, "sh") {
			v = fields.Signed(int64(p.PID))
		}
	}
	note(e.Proc)
	for p := range e.table().Ancestors(e.Proc) {
		note(p)
	}
	return v
}

package written

import (
	"path"
	"strings"

	"github.com/saker-security/saker/sensor/fields"
)

// maxComm is the longest name of a process.
const maxComm = 15

var processFollows = func() map[string]follower {
	m := map[string]follower{
		"proc.name": func(e *Event, _ fields.Arg) fields.Value {
			if first := firstWord(e.given["proc.cmdline"]); first.Valid {
				return first
			}
			return nameOf(e.given["proc.exepath"], e.given["proc.exe"])
		},
		"proc.exe": func(e *Event, _ fields.Arg) fields.Value {
			if v := firstWord(e.given["proc.exeline"]); v.Valid {
				return v
			}
			return e.firstOf("proc.exepath", "proc.name")
		},
		"proc.args": func(e *Event, a fields.Arg) fields.Value {
			if a.Given {
				args := words(e.Field("proc.args"))
				if a.Index < len(args) {
					return fields.Text(args[a.Index])
				}
				return fields.Value{Valid: args != nil, Str: ""}
			}
			for _, line := range []string{"proc.cmdline", "proc.exeline"} {
				if v, ok := e.given[line]; ok && v.Valid {
					_, rest, _ := strings.Cut(v.Str, " ")
					return fields.Text(rest)
				}
			}
			return null
		},
		"proc.cmdline": lineOf("proc.name"),
		"proc.exeline": lineOf("proc.exe"),
		"proc.cmdnargs": func(e *Event, _ fields.Arg) fields.Value {
			args := words(e.Field("proc.args"))
			return fields.Value{Valid: args != nil, Num: uint64(len(args))}
		},
		"proc.cmdlenargs": func(e *Event, _ fields.Arg) fields.Value {
			args := words(e.Field("proc.args"))
			return fields.Value{Valid: args != nil, Num: uint64(len(strings.Join(args, "")))}
		},
	}
	for parent, ancestors := range map[string]string{
		"proc.pname": "proc.aname", "proc.pexe": "proc.aexe", "proc.pexepath": "proc.aexepath",
		"proc.pcmdline": "proc.acmdline", "proc.ppid": "proc.apid",
	} {
		m[parent] = func(e *Event, _ fields.Arg) fields.Value { return e.Field(ancestors + "[1]") }
		m[ancestors] = ancestry(parent, ancestors)
	}
	m["proc.aargs"] = ancestry("", "proc.aargs")
	return m
}()

var processUsual = map[string]follower{
	"proc.args": func(e *Event, a fields.Arg) fields.Value {
		// A program without arguments.
		return fields.Value{Valid: e.Field("proc.name").Valid}
	},
	"proc.tty":                constant(fields.Unsigned(0)),
	"proc.is_exe_writable":    constant(fields.Boolean(false)),
	"proc.is_exe_upper_layer": constant(fields.Boolean(false)),
	"proc.is_exe_lower_layer": constant(fields.Boolean(false)),
	"proc.is_exe_from_memfd":  constant(fields.Boolean(false)),
}

// ancestry is the follower of a field of ancestors: of the n-th, n being 1 for the parent and
// 0 for the process itself, from the list, and of the list from those that were given.
func ancestry(parent, ancestors string) follower {
	own := "proc." + strings.TrimPrefix(ancestors, "proc.a")
	return func(e *Event, a fields.Arg) fields.Value {
		if !a.Given {
			return e.ancestors(parent, ancestors)
		}
		if a.Index == 0 {
			return e.Field(own)
		}
		if list := e.given[ancestors].List; list != nil {
			if a.Index <= len(list) {
				return list[a.Index-1]
			}
			return null
		}
		if v, ok := e.given[parent]; ok && a.Index == 1 {
			return v
		}
		if ancestors != "proc.aname" {
			return null
		}
		// A name tells from the other things that were given of the same ancestor.
		line := e.Field(keyOf("proc.acmdline", a))
		if first := firstWord(line); first.Valid {
			return first
		}
		return nameOf(e.Field(keyOf("proc.aexepath", a)), e.Field(keyOf("proc.aexe", a)))
	}
}

// maxAncestors is how many ancestors a list that follows may have.
const maxAncestors = 50

// ancestors is the list of those ancestors that follow one another.
func (e *Event) ancestors(parent, ancestors string) fields.Value {
	var list []fields.Value
	for n := 1; n <= maxAncestors; n++ {
		v := e.Field(keyOf(ancestors, fields.Arg{Given: true, Index: n}))
		if !v.Valid {
			break
		}
		list = append(list, v)
	}
	return known(list...)
}

// lineOf is the follower of a command line: the field called first, and the arguments.
func lineOf(first string) follower {
	return func(e *Event, _ fields.Arg) fields.Value {
		name, args := e.Field(first), e.Field("proc.args")
		switch {
		case !name.Valid || !args.Valid:
			return null
		case args.Str == "":
			return name
		}
		return fields.Text(name.Str + " " + args.Str)
	}
}

func firstWord(line fields.Value) fields.Value {
	first, _, _ := strings.Cut(line.Str, " ")
	return fields.Value{Valid: line.Valid && first != "", Str: first}
}

// nameOf is the name that a process has by the first of the paths that is known.
func nameOf(paths ...fields.Value) fields.Value {
	for _, p := range paths {
		if p.Valid && p.Str != "" {
			name := path.Base(p.Str)
			return fields.Text(name[:min(len(name), maxComm)])
		}
	}
	return null
}

// words are the arguments in a line, nil if it is not known.
func words(line fields.Value) []string {
	if !line.Valid {
		return nil
	}
	return append([]string{}, strings.Fields(line.Str)...)
}

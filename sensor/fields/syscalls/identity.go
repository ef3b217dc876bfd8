package syscalls

import (
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/process"
)

func threadFields() []fields.Field {
	capabilities := func(name, doc string, set func(*Event) uint64) fields.Field {
		return eventField(name, fields.String, doc, func(e *Event) fields.Value {
			from := len(e.text)
			return fields.Text(e.made(process.AppendCapabilities(e.text, set(e)), from))
		})
	}
	return []fields.Field{
		eventField("thread.tid", fields.Int, "Id of the thread.",
			func(e *Event) fields.Value { return fields.Signed(int64(e.Rec.TID)) }),
		eventField("thread.ismain", fields.Bool, "Whether the thread is the first one of its process.",
			func(e *Event) fields.Value { return fields.Boolean(e.Rec.TID == e.Rec.PID) }),
		eventField("thread.vtid", fields.Int, "Id of the thread in its own pid namespace.",
			func(e *Event) fields.Value {
				vtid, ok := e.table().VTID(e.Proc, e.Rec.TID)
				return fields.Value{Valid: ok, Num: uint64(vtid)}
			}),
		capabilities("thread.cap_permitted", "Permitted capabilities of the thread, separated by spaces.",
			func(e *Event) uint64 { return e.Rec.CapPermitted }),
		capabilities("thread.cap_inheritable", "Inheritable capabilities of the thread, separated by spaces.",
			func(e *Event) uint64 { return e.Rec.CapInheritable }),
		capabilities("thread.cap_effective", "Effective capabilities of the thread, separated by spaces.",
			func(e *Event) uint64 { return e.Rec.CapEffective }),
		eventField("thread.cgroups", fields.Path, "Control group of the process.", cgroup),
		{
			Name: "thread.cgroup", Type: fields.Path, Arg: fields.KeyArg, Extract: extractor(cgroup),
			Doc: "Control group of the process, the same for every controller in brackets.",
		},
	}
}

func cgroup(e *Event) fields.Value {
	return fields.Value{Valid: e.Proc.Cgroup != "", Str: e.Proc.Cgroup}
}

func userFields() []fields.Field {
	user := func(e *Event) process.User { return e.users().User(e.Proc, e.Rec.UID) }
	return []fields.Field{
		eventField("user.uid", fields.Uint, "Effective user id of the thread.",
			func(e *Event) fields.Value { return fields.Unsigned(uint64(e.Rec.UID)) }),
		eventField("user.name", fields.String, "Name of the effective user, in a container by the container's accounts; <NA> if it has none.",
			func(e *Event) fields.Value { return fields.Text(user(e).Name) }),
		eventField("user.homedir", fields.Path, "Home folder of the effective user; <NA> if it has none.",
			func(e *Event) fields.Value { return fields.Text(user(e).Home) }),
		eventField("user.shell", fields.String, "Login shell of the effective user; <NA> if it has none.",
			func(e *Event) fields.Value { return fields.Text(user(e).Shell) }),
		eventField("user.loginuid", fields.Int, "Id of the user that logged in, whoever the process became since; -1 if nobody did.",
			func(e *Event) fields.Value { return fields.Signed(int64(int32(e.Proc.LoginUID))) }),
		eventField("user.loginname", fields.String, "Name of the user that logged in; <NA> if nobody did.",
			func(e *Event) fields.Value {
				if e.Proc.LoginUID == ^uint32(0) {
					return fields.Text(process.Unnamed)
				}
				return fields.Text(e.users().User(e.Proc, e.Proc.LoginUID).Name)
			}),
		eventField("group.gid", fields.Uint, "Effective group id of the thread.",
			func(e *Event) fields.Value { return fields.Unsigned(uint64(e.Rec.GID)) }),
		eventField("group.name", fields.String, "Name of the effective group, in a container by the container's accounts; <NA> if it has none.",
			func(e *Event) fields.Value { return fields.Text(e.users().Group(e.Proc, e.Rec.GID)) }),
	}
}

package written

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// follower works out a field from others, null if they do not tell.
type follower func(e *Event, a fields.Arg) fields.Value

// follows are the fields of a system call that others tell, usual those that are so unless
// somebody says otherwise. A field may be in both; what follows counts more.
var follows, usual map[string]follower

// They are made here, as they refer to one another through the fields of an Event.
func init() {
	follows = joined(eventFollows, fileFollows, connectionFollows, processFollows, whoFollows)
	usual = joined(eventUsual, fileUsual, connectionUsual, processUsual, whoUsual)
}

func joined(tables ...map[string]follower) map[string]follower {
	all := make(map[string]follower)
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// follow works out what was not given.
func (e *Event) follow(f *fields.Field, a fields.Arg) fields.Value {
	if e.registry.Source != syscalls.SourceName {
		return null
	}
	if of := follows[f.Name]; of != nil {
		if v := of(e, a); v.Valid {
			return v
		}
	}
	if strings.HasPrefix(f.Name, "evt.type.is.") {
		return e.bare(f, a)
	}
	if !e.usual {
		return null
	}
	if of := usual[f.Name]; of != nil {
		return of(e, a)
	}
	if ofItsKind[f.Name] || e.onHost() && ofTheHost(f.Name) {
		return e.bare(f, a)
	}
	return null
}

var null fields.Value

// ofItsKind are the fields that only depend on the kind of the event, as long as it has no
// descriptor.
var ofItsKind = map[string]bool{
	"evt.category": true, "evt.is_io": true, "evt.is_io_read": true, "evt.is_io_write": true,
	"evt.io_dir": true, "evt.is_wait": true, "evt.is_async": true, "evt.source": true, "evt.count": true,
	"evt.dir": true, "evt.is_syslog": true,
}

// host makes real events that are nothing but their kind, on the host.
type host struct {
	source *syscalls.Source
}

func (h *host) event(kind int) *syscalls.Event {
	if h.source == nil {
		h.source = syscalls.New(syscalls.Options{Hostname: "localhost"})
	}
	return h.source.Event(&probe.Record{Kind: probe.Kind(kind)})
}

// bare is the field's value of a real event of the same kind that is nothing else.
func (e *Event) bare(f *fields.Field, a fields.Arg) fields.Value {
	kind := e.typeNumber()
	if kind <= 0 {
		return null
	}
	v := f.Extract(e.host.event(kind), a)
	v.Str = strings.Clone(v.Str) // it may be gone with the next one
	return v
}

// text returns a text that is known, and not empty.
func (e *Event) text(name string) (string, bool) {
	v := e.Field(name)
	return v.Str, v.Valid && v.Str != ""
}

func (e *Event) number(name string) (int64, bool) {
	v := e.Field(name)
	return int64(v.Num), v.Valid
}

// isOneOf says that the event's type is among those.
func (e *Event) isOneOf(types ...string) bool {
	own := e.Type()
	return slices.Contains(types, own)
}

func (e *Event) opens() bool { return e.isOneOf("open", "openat", "openat2", "creat") }

// failed says that the call failed, as far as anybody knows.
func (e *Event) failed() bool {
	v := e.Field("evt.failed")
	return v.Valid && v.Num != 0
}

// constant is a follower that is always the same.
func constant(v fields.Value) follower { return func(*Event, fields.Arg) fields.Value { return v } }

// same is a follower with the value of another field.
func same(name string) follower {
	return func(e *Event, _ fields.Arg) fields.Value { return e.Field(name) }
}

// timeFollower is a follower with a time made from that of the event.
func timeFollower(of func(uint64) uint64) follower {
	return func(e *Event, _ fields.Arg) fields.Value {
		v := e.Field("evt.time")
		if v.Valid {
			v.Num = of(v.Num)
		}
		return v
	}
}

func whole(ns uint64) uint64 { return ns }

// epoch is when the first written event happens.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var eventFollows = map[string]follower{
	"syscall.type": func(e *Event, _ fields.Arg) fields.Value {
		if e.isOneOf("procexit") {
			return null
		}
		return e.Field("evt.type")
	},
	"evt.failed": func(e *Event, _ fields.Arg) fields.Value {
		if v, ok := e.given["evt.rawres"]; ok && v.Valid {
			return fields.Boolean(int64(v.Num) < 0)
		}
		if v, ok := e.given["evt.res"]; ok && v.Valid {
			return fields.Boolean(v.Str != "SUCCESS")
		}
		return null
	},
	"evt.count.error": func(e *Event, _ fields.Arg) fields.Value {
		v := e.Field("evt.failed")
		return fields.Value{Valid: v.Valid, Num: v.Num}
	},
	"evt.res": func(e *Event, _ fields.Arg) fields.Value {
		v, ok := e.given["evt.rawres"]
		if !ok || !v.Valid {
			return null
		}
		return fields.Text(resultName(int64(v.Num)))
	},
	"evt.rawres": func(e *Event, _ fields.Arg) fields.Value {
		if v, ok := e.given["evt.res"]; ok && v.Valid {
			if n := errorNumber(v.Str); n != 0 {
				return fields.Signed(-n)
			}
		}
		return null
	},
	"evt.rawtime":      timeFollower(whole),
	"evt.time.s":       timeFollower(whole),
	"evt.time.iso8601": timeFollower(whole),
	"evt.datetime":     timeFollower(whole),
	"evt.datetime.s":   timeFollower(whole),
	"evt.rawtime.s":    timeFollower(func(ns uint64) uint64 { return ns / uint64(time.Second) }),
	"evt.rawtime.ns":   timeFollower(func(ns uint64) uint64 { return ns % uint64(time.Second) }),
}

var eventUsual = map[string]follower{
	"evt.num": func(e *Event, _ fields.Arg) fields.Value { return fields.Unsigned(e.num) },
	"evt.time": func(e *Event, _ fields.Arg) fields.Value {
		return fields.Unsigned(uint64(epoch.UnixNano()) + e.num*uint64(time.Millisecond))
	},
	"evt.failed": constant(fields.Boolean(false)),
	"evt.res": func(e *Event, _ fields.Arg) fields.Value {
		switch {
		case e.isOneOf("procexit"):
			return null
		case e.failed():
			return fields.Text("EPERM")
		}
		return fields.Text("SUCCESS")
	},
	"evt.rawres": func(e *Event, _ fields.Arg) fields.Value {
		switch {
		case e.isOneOf("procexit"):
			return null
		case e.failed():
			return fields.Signed(-int64(unix.EPERM))
		}
		if n, ok := e.number("fd.num"); ok && e.makesDescriptor() {
			return fields.Signed(n)
		}
		return fields.Signed(0)
	},
	"evt.is_open_read":   constant(fields.Boolean(false)),
	"evt.is_open_write":  constant(fields.Boolean(false)),
	"evt.is_open_exec":   constant(fields.Boolean(false)),
	"evt.is_open_create": constant(fields.Boolean(false)),
}

// resultName is evt.res of a returned value.
func resultName(n int64) string {
	if n >= 0 {
		return "SUCCESS"
	}
	if name := unix.ErrnoName(unix.Errno(-n)); n >= -4095 && name != "" {
		return name
	}
	return strconv.FormatInt(n, 10)
}

// errorNumber is the number of the error called name, 0 if there is none.
func errorNumber(name string) int64 {
	const last = 133
	for n := int64(1); n <= last; n++ {
		if strings.EqualFold(unix.ErrnoName(unix.Errno(n)), name) {
			return n
		}
	}
	return 0
}

// makesDescriptor says that a successful call returns a descriptor.
func (e *Event) makesDescriptor() bool {
	return e.opens() || e.isOneOf("socket", "accept", "accept4", "memfd_create", "dup", "dup2", "dup3", "bpf", "userfaultfd")
}

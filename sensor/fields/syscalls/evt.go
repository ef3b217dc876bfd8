package syscalls

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

const noEnterEvents = "there are no enter events, so it is always the same"

func timeFields() []fields.Field {
	stamp := func(name, doc string, layout func(time.Time) string) fields.Field {
		return fields.Field{
			Name: name, Type: fields.Time, Doc: doc, Extract: extractor(eventTime),
			Format: func(v fields.Value) string { return layout(time.Unix(0, int64(v.Num))) },
		}
	}
	padded := func(name string, t fields.Type, doc string, f func(*Event) fields.Value) fields.Field {
		field := eventField(name, t, doc, f)
		field.Format = func(v fields.Value) string { return fmt.Sprintf("%09d", v.Num) }
		return field
	}
	return []fields.Field{
		stamp("evt.time", "Time of the event, printed as local time of day with nanoseconds.",
			func(t time.Time) string { return t.Local().Format("15:04:05.000000000") }),
		stamp("evt.time.s", "Time of the event, printed as local time of day in whole seconds.",
			func(t time.Time) string { return t.Local().Format("15:04:05") }),
		stamp("evt.time.iso8601", "Time of the event, printed in ISO 8601 with nanoseconds and time zone, in UTC.",
			func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000-0700") }),
		stamp("evt.outputtime", "Like evt.time.",
			func(t time.Time) string { return t.Local().Format("15:04:05.000000000") }),
		stamp("evt.datetime", "Date and time of the event, printed as local time with nanoseconds.",
			func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000000000") }),
		stamp("evt.datetime.s", "Date and time of the event, printed as local time in whole seconds.",
			func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }),
		eventField("evt.rawtime", fields.Time, "Time of the event in nanoseconds since the epoch.", eventTime),
		eventField("evt.rawtime.s", fields.Time, "Whole seconds of the time of the event since the epoch.",
			func(e *Event) fields.Value { return fields.Unsigned(e.time / uint64(time.Second)) }),
		padded("evt.rawtime.ns", fields.Time, "Nanoseconds of the time of the event beyond the whole second.",
			func(e *Event) fields.Value { return fields.Unsigned(e.time % uint64(time.Second)) }),
		padded("evt.reltime", fields.Duration, "Nanoseconds since the first event.",
			func(e *Event) fields.Value { return fields.Unsigned(e.since(e.src.first)) }),
		eventField("evt.reltime.s", fields.Duration, "Whole seconds since the first event.",
			func(e *Event) fields.Value { return fields.Unsigned(e.since(e.src.first) / uint64(time.Second)) }),
		padded("evt.reltime.ns", fields.Duration, "Nanoseconds since the first event beyond the whole second.",
			func(e *Event) fields.Value { return fields.Unsigned(e.since(e.src.first) % uint64(time.Second)) }),
		eventField("evt.deltatime", fields.Duration, "Nanoseconds since the previous event.",
			func(e *Event) fields.Value { return fields.Unsigned(e.delta()) }),
		eventField("evt.deltatime.s", fields.Duration, "Whole seconds since the previous event.",
			func(e *Event) fields.Value { return fields.Unsigned(e.delta() / uint64(time.Second)) }),
		padded("evt.deltatime.ns", fields.Duration, "Nanoseconds since the previous event beyond the whole second.",
			func(e *Event) fields.Value { return fields.Unsigned(e.delta() % uint64(time.Second)) }),
	}
}

func eventFields() []fields.Field {
	return append([]fields.Field{
		eventField("evt.num", fields.Uint, "Number of the event, counted from 1 when the sensor started.",
			func(e *Event) fields.Value { return fields.Unsigned(e.num) }),
		eventField("evt.source", fields.String, "Name of the event source: syscall.",
			func(*Event) fields.Value { return fields.Text(SourceName) }),
		eventField("evt.hostname", fields.String, "Name of the machine the sensor runs on.",
			func(e *Event) fields.Value { return fields.Text(e.src.opt.Hostname) }),
		eventField("evt.is_async", fields.Bool, "Whether the event is not one of the kernel: false.",
			func(*Event) fields.Value { return fields.Boolean(false) }),
		eventField("evt.type", fields.String, "Name of the event, such as open or execve; a successful execveat counts as execve.", eventType),
		eventField("syscall.type", fields.String, "Name of the system call, like evt.type; null for an event that is none, such as procexit.",
			func(e *Event) fields.Value {
				if e.kind() == probe.KindProcexit {
					return null
				}
				return eventType(e)
			}),
		eventField("evt.category", fields.String, "Kind of event: file, net, IPC, memory, process, user, signal, sleep, system, time, wait or other; for reading and writing that of the descriptor.",
			eventCategory),
		eventField("evt.cpu", fields.Int, "Number of the CPU on which it happened.",
			func(e *Event) fields.Value { return fields.Signed(int64(e.Rec.CPU)) }),
		eventField("evt.res", fields.String, "SUCCESS, or the name of the error that the system call returned, such as ENOENT.", eventResult),
		eventField("evt.rawres", fields.Int, "What the system call returned: a descriptor, 0, or the negative error number.",
			func(e *Event) fields.Value {
				if e.kind() == probe.KindProcexit {
					return null
				}
				return fields.Signed(e.result())
			}),
		eventField("evt.failed", fields.Bool, "Whether the system call returned an error.",
			func(e *Event) fields.Value { return fields.Boolean(e.failed()) }),
		eventField("evt.buffer", fields.Bytes, "Beginning of the data that was read, written, sent or received.",
			func(e *Event) fields.Value {
				if !carriesData(e.kind()) || e.failed() {
					return null
				}
				return fields.Text(bytesAsString(e.Rec.Data))
			}),
		eventField("evt.is_io", fields.Bool, "Whether the event reads from or writes to a descriptor.",
			func(e *Event) fields.Value { return fields.Boolean(transfers(e.kind()) || reads(e.kind())) }),
		eventField("evt.is_io_read", fields.Bool, "Whether the event reads from a descriptor.",
			func(e *Event) fields.Value { return fields.Boolean(reads(e.kind())) }),
		eventField("evt.is_io_write", fields.Bool, "Whether the event writes to a descriptor.",
			func(e *Event) fields.Value { return fields.Boolean(writes(e.kind())) }),
		eventField("evt.io_dir", fields.String, "read or write, null for other events.",
			func(e *Event) fields.Value {
				switch k := e.kind(); {
				case reads(k):
					return fields.Text("read")
				case writes(k):
					return fields.Text("write")
				}
				return null
			}),
		eventField("evt.is_wait", fields.Bool, "Whether the system call waits for something: poll, ppoll, select, epoll_wait and nanosleep do.",
			func(e *Event) fields.Value { return fields.Boolean(waits(e.kind())) }),
		eventField("evt.is_syslog", fields.Bool, "Whether the event writes to /dev/log.",
			func(e *Event) fields.Value {
				if !writes(e.kind()) || !e.descriptor().known {
					return fields.Boolean(false)
				}
				name, _ := e.descriptorName()
				return fields.Boolean(strings.HasSuffix(name, "/dev/log"))
			}),
	}, deprecatedEventFields()...)
}

// openFields are those of events about paths.
func openFields() []fields.Field {
	return []fields.Field{
		eventField("evt.is_open_read", fields.Bool, "Whether a file was opened, or was to be opened, for reading.",
			func(e *Event) fields.Value { return fields.Boolean(e.opens() && e.openFlags()&flagRead != 0) }),
		eventField("evt.is_open_write", fields.Bool, "Whether a file was opened, or was to be opened, for writing.",
			func(e *Event) fields.Value { return fields.Boolean(e.opens() && e.openFlags()&flagWrite != 0) }),
		eventField("evt.is_open_exec", fields.Bool, "Whether an open or creat may make a file that can be executed.", isOpenExec),
		eventField("evt.is_open_create", fields.Bool, "Whether an open made a file.", isOpenCreate),
		eventField("evt.abspath", fields.String, "Absolute form of the event's path argument.",
			func(e *Event) fields.Value { return e.absolute(firstPath) }),
		eventField("evt.abspath.src", fields.String, "Absolute form of the path that a rename, link or symlink starts from.",
			func(e *Event) fields.Value { return e.absolute(firstPath) }),
		eventField("evt.abspath.dst", fields.String, "Absolute form of the path that a rename, link or symlink makes.",
			func(e *Event) fields.Value { return e.absolute(secondPath) }),
	}
}

// typeFields are one for every name that evt.type may be compared with.
func typeFields() []fields.Field {
	names := slices.Collect(maps.Keys(unwatched))
	for _, name := range eventTypes {
		if name != "" {
			names = append(names, name)
		}
	}
	fs := make([]fields.Field, 0, len(names))
	for _, name := range names {
		fs = append(fs, eventField("evt.type.is."+name, fields.Uint, "1 if evt.type is "+name+", else 0.",
			func(e *Event) fields.Value {
				return fields.Value{Valid: true, Num: fields.Boolean(eventTypes[e.typeNumber()] == name).Num}
			}))
	}
	return fs
}

func deprecatedEventFields() []fields.Field {
	constant := func(name string, t fields.Type, doc string, v fields.Value) fields.Field {
		return fields.Field{
			Name: name, Type: t, Doc: doc, Deprecated: noEnterEvents,
			Extract: func(any, fields.Arg) fields.Value { return v },
		}
	}
	zero := fields.Unsigned(0)
	const latency = "Always 0: Falco's time between entering and leaving a system call."
	return []fields.Field{
		constant("evt.dir", fields.String, "Always <: events are about the end of a system call.", fields.Text("<")),
		constant("evt.latency", fields.Duration, latency, zero),
		constant("evt.latency.s", fields.Duration, latency, zero),
		constant("evt.latency.ns", fields.Duration, latency, zero),
		constant("evt.latency.human", fields.String, latency, fields.Text("0ns")),
		constant("evt.wait_latency", fields.Duration, latency, zero),
	}
}

func nothing(*Event) fields.Value { return null }

func eventTime(e *Event) fields.Value { return fields.Unsigned(e.time) }

func (e *Event) since(t uint64) uint64 {
	if t == 0 || t > e.time {
		return 0
	}
	return e.time - t
}

func (e *Event) delta() uint64 { return e.since(e.previous) }

func eventType(e *Event) fields.Value {
	k := e.kind()
	return fields.Value{Valid: k != probe.KindUnknown, Str: eventTypes[e.typeNumber()]}
}

func eventCategory(e *Event) fields.Value {
	c := categories[e.kind()]
	if c != categoryIO {
		return fields.Text(c.String())
	}
	switch d := e.descriptor(); {
	case !d.known:
		return fields.Text("unknown")
	case d.class == classFile, d.class == classDirectory:
		return fields.Text("file")
	case d.class == classIPv4, d.class == classIPv6:
		return fields.Text("net")
	case d.class == classUnix, d.class == classPipe:
		return fields.Text("ipc")
	}
	return fields.Text("unknown")
}

// failed says that the system call returned an error. The end of a process returns nothing.
func (e *Event) failed() bool { return e.Rec.Ret < 0 && e.kind() != probe.KindProcexit }

// result is what the system call returned, for its caller: of a fork the child.
func (e *Event) result() int64 {
	if e.Rec.Fork != nil && e.kind() == probe.KindFork {
		return int64(e.Rec.Fork.ChildTID)
	}
	return e.Rec.Ret
}

func eventResult(e *Event) fields.Value {
	switch {
	case e.kind() == probe.KindProcexit:
		return null
	case e.Rec.Ret >= 0:
		return fields.Text("SUCCESS")
	}
	if name := errnoName(e.Rec.Ret); name != "" {
		return fields.Text(name)
	}
	from := len(e.text)
	return fields.Text(e.made(strconv.AppendInt(e.text, e.Rec.Ret, 10), from))
}

// errnoName names the error of a negative return value, empty for one without a name.
func errnoName(ret int64) string {
	if ret >= 0 || ret < -4095 {
		return ""
	}
	return unix.ErrnoName(unix.Errno(-ret))
}

func reads(k probe.Kind) bool {
	switch k {
	case probe.KindRecvfrom, probe.KindRecvmsg, probe.KindFinitModule,
		probe.KindRead, probe.KindPread, probe.KindReadv, probe.KindPreadv, probe.KindPreadv2,
		probe.KindRecv, probe.KindRecvmmsg, probe.KindCopyFileRange:
		return true
	}
	return false
}

func writes(k probe.Kind) bool {
	switch k {
	case probe.KindSendto, probe.KindSendmsg,
		probe.KindWrite, probe.KindPwrite, probe.KindWritev, probe.KindPwritev, probe.KindPwritev2,
		probe.KindSend, probe.KindSendmmsg, probe.KindSendfile:
		return true
	}
	return false
}

func waits(k probe.Kind) bool {
	switch k {
	case probe.KindPoll, probe.KindPpoll, probe.KindSelect, probe.KindEpollWait, probe.KindNanosleep:
		return true
	}
	return false
}

// transfers says that the event's result is a number of bytes that were moved.
func transfers(k probe.Kind) bool {
	switch k {
	case probe.KindFinitModule, probe.KindSendmmsg, probe.KindRecvmmsg:
		return false
	}
	return reads(k) || writes(k)
}

// carriesData says that the event has the beginning of what it moved.
func carriesData(k probe.Kind) bool {
	return transfers(k) && k != probe.KindSendfile && k != probe.KindCopyFileRange
}

// opens says that the event is one of the open family, creat excepted.
func (e *Event) opens() bool {
	switch e.kind() {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindOpenByHandleAt:
		return true
	}
	return false
}

const anyExec = unix.S_IXUSR | unix.S_IXGRP | unix.S_IXOTH

func isOpenExec(e *Event) fields.Value {
	switch {
	case e.kind() == probe.KindCreat:
		return fields.Boolean(e.Rec.Mode&anyExec != 0)
	case e.opens() && e.openFlags()&(flagCreat|flagTmpfile) != 0:
		return fields.Boolean(e.Rec.Mode&anyExec != 0)
	}
	return fields.Boolean(false)
}

func isOpenCreate(e *Event) fields.Value {
	if !e.opens() {
		return fields.Boolean(false)
	}
	return fields.Boolean(e.Rec.Created || e.openFlags()&flagTmpfile != 0 && e.Rec.Ret >= 0)
}

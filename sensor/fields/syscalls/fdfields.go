package syscalls

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

func descriptorFields() []fields.Field {
	field := func(name string, t fields.Type, doc string, f func(*Event, *descriptor) fields.Value) fields.Field {
		return fields.Field{Name: name, Type: t, Doc: doc, Extract: extractor(func(e *Event) fields.Value {
			d := e.descriptor()
			if !d.used {
				return null
			}
			return f(e, d)
		})}
	}
	known := func(name string, t fields.Type, doc string, f func(*Event, *descriptor) fields.Value) fields.Field {
		return field(name, t, doc, func(e *Event, d *descriptor) fields.Value {
			if !d.known {
				return null
			}
			return f(e, d)
		})
	}
	device := known("fd.dev", fields.Uint, "Number of the device that holds the file, printed in hexadecimal.",
		func(e *Event, _ *descriptor) fields.Value { return fields.Unsigned(uint64(e.Rec.File.Dev)) })
	device.Format = func(v fields.Value) string { return strings.ToUpper(strconv.FormatUint(v.Num, 16)) }
	return []fields.Field{
		field("fd.num", fields.Int, "Number of the descriptor; -1 for a failed open, the system's constant where a path starts from the working directory.",
			func(_ *Event, d *descriptor) fields.Value { return fields.Signed(d.num) }),
		known("fd.type", fields.String, "What the descriptor refers to: file, directory, ipv4, ipv6, unix, pipe, event, signalfd, eventpoll, "+
			"inotify, timerfd, netlink, bpf, userfaultfd, io_uring, memfd, pidfd.",
			func(_ *Event, d *descriptor) fields.Value { return fields.Text(classNames[d.class].name) }),
		field("fd.typechar", fields.String, "fd.type as one character: f, d, 4, 6, u, p, e, s, l, i, t, n, b, u, r, m, P, or o for any other.",
			func(e *Event, _ *descriptor) fields.Value { return fields.Text(e.typeChar()) }),
		field("fd.name", fields.Path, "Absolute path of a file; of a connection client->server with ports; the address a socket listens on.",
			func(e *Event, _ *descriptor) fields.Value { return e.nameValue() }),
		field("fd.nameraw", fields.Path, "Path of a file as it was passed.", rawName),
		field("fd.directory", fields.Path, "Folder of the file; of a folder its own name.", directory),
		known("fd.filename", fields.Path, "Last part of the file's name.", filename),
		device,
		known("fd.dev.major", fields.Uint, "Major number of the device that holds the file.",
			func(e *Event, _ *descriptor) fields.Value {
				return fields.Unsigned(uint64(unix.Major(uint64(e.Rec.File.Dev))))
			}),
		known("fd.dev.minor", fields.Uint, "Minor number of the device that holds the file.",
			func(e *Event, _ *descriptor) fields.Value {
				return fields.Unsigned(uint64(unix.Minor(uint64(e.Rec.File.Dev))))
			}),
		known("fd.ino", fields.Uint, "Inode number of the file.",
			func(e *Event, _ *descriptor) fields.Value { return fields.Unsigned(e.Rec.File.Inode) }),
		known("fd.is_upper_layer", fields.Bool, "Whether the file is in the upper layer of an overlay file system.",
			func(e *Event, _ *descriptor) fields.Value { return fields.Boolean(e.Rec.UpperLayer) }),
		known("fd.is_lower_layer", fields.Bool, "Whether the file is in the lower layer of an overlay file system.",
			func(e *Event, _ *descriptor) fields.Value { return fields.Boolean(e.Rec.LowerLayer) }),
		field("fd.uid", fields.String, "Number that tells the descriptor from others: thread id and descriptor number joined.",
			func(e *Event, d *descriptor) fields.Value {
				from := len(e.text)
				b := strconv.AppendInt(e.text, int64(e.Rec.TID), 10)
				return fields.Text(e.made(strconv.AppendInt(b, d.num, 10), from))
			}),
		field("fd.containername", fields.String, "Container id and fd.name joined by a colon.",
			func(e *Event, _ *descriptor) fields.Value { return e.withContainer(e.nameValue()) }),
		field("fd.containerdirectory", fields.String, "Container id and fd.directory joined by a colon.",
			func(e *Event, d *descriptor) fields.Value { return e.withContainer(directory(e, d)) }),
	}
}

func (e *Event) nameValue() fields.Value {
	name, ok := e.descriptorName()
	return fields.Value{Valid: ok, Str: name}
}

func (e *Event) withContainer(v fields.Value) fields.Value {
	if !v.Valid {
		return null
	}
	from := len(e.text)
	b := append(e.text, e.Proc.Container.Short()...)
	b = append(b, ':')
	return fields.Text(e.made(append(b, v.Str...), from))
}

// rawName is the path as it was passed, with runs of slashes as one; empty where the
// descriptor was not opened by path.
func rawName(e *Event, _ *descriptor) fields.Value {
	switch e.kind() {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
	default:
		return fields.Text("")
	}
	path, ok := e.raw(firstPath)
	if !ok {
		return null
	}
	if !strings.Contains(path, "//") {
		return fields.Text(path)
	}
	from, b := len(e.text), e.text
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return fields.Text(e.made(b, from))
}

func directory(e *Event, d *descriptor) fields.Value {
	if d.known && d.class != classFile && d.class != classDirectory {
		return null
	}
	name, ok := e.descriptorName()
	if !ok {
		return null
	}
	if d.known && d.class == classDirectory {
		return fields.Text(name)
	}
	switch i := strings.LastIndexByte(name, '/'); {
	case i <= 0:
		return fields.Text("/")
	case i == len(name)-1:
		return fields.Text(name)
	default:
		return fields.Text(name[:i])
	}
}

func filename(e *Event, d *descriptor) fields.Value {
	if d.class != classFile {
		return null
	}
	name, ok := e.descriptorName()
	if !ok {
		return null
	}
	switch i := strings.LastIndexByte(name, '/'); {
	case i < 0:
		return fields.Text("/")
	case i == len(name)-1:
		return fields.Text(name)
	default:
		return fields.Text(name[i+1:])
	}
}

package syscalls

import (
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

// area is what evt.count.error.* and evt.buflen.* tell apart.
type area uint8

const (
	otherArea area = iota
	fileArea
	netArea
	memoryArea
)

// area is that of the event's descriptor, or of what the call is about where it has none.
func (e *Event) area() area {
	d := e.descriptor()
	if d.known {
		switch d.class {
		case classFile, classDirectory:
			return fileArea
		case classIPv4, classIPv6, classUnix:
			return netArea
		}
		return otherArea
	}
	switch k := e.kind(); {
	case e.opens() || k == probe.KindCreat:
		return fileArea
	case k == probe.KindAccept || k == probe.KindAccept4 || k == probe.KindConnect:
		return netArea
	case categories[k] == categoryMemory:
		return memoryArea
	}
	return otherArea
}

// countFields are 0 and 1, and lengths, for sums over many events. A condition can say all of
// them by other fields.
func countFields() []fields.Field {
	one := func(name, doc string) fields.Field {
		return eventField(name, fields.Uint, doc, func(*Event) fields.Value { return fields.Unsigned(1) })
	}
	zero := func(name string) fields.Field {
		return eventField(name, fields.Uint, "Always 0: the sensor's look into /proc is no event.",
			func(*Event) fields.Value { return fields.Unsigned(0) })
	}
	failed := func(e *Event) fields.Value {
		return fields.Value{Valid: true, Num: fields.Boolean(e.failed()).Num}
	}
	failedIn := func(name, what string, a area) fields.Field {
		return eventField(name, fields.Uint, "1 if a system call about "+what+" returned an error, 0 if it succeeded; null for other calls.",
			func(e *Event) fields.Value {
				if e.area() != a {
					return null
				}
				return failed(e)
			})
	}
	return append([]fields.Field{
		one("evt.count", "Always 1."),
		one("evt.count.exit", "Always 1: events are about the end of a system call."),
		zero("evt.count.procinfo"),
		zero("evt.count.threadinfo"),
		eventField("evt.count.error", fields.Uint, "1 if the system call returned an error, else 0.", failed),
		failedIn("evt.count.error.file", "a file", fileArea),
		failedIn("evt.count.error.net", "a socket", netArea),
		failedIn("evt.count.error.memory", "memory", memoryArea),
		failedIn("evt.count.error.other", "neither a file, a socket nor memory", otherArea),
	}, lengthFields()...)
}

func lengthFields() []fields.Field {
	anything := func(*Event) bool { return true }
	in := func(e *Event) bool { return reads(e.kind()) }
	out := func(e *Event) bool { return writes(e.kind()) }
	within := func(a area, way func(*Event) bool) func(*Event) bool {
		return func(e *Event) bool { return way(e) && e.area() == a }
	}
	length := func(name, doc string, of func(*Event) bool) fields.Field {
		return eventField(name, fields.Uint, doc, func(e *Event) fields.Value {
			if !transfers(e.kind()) || e.failed() || !of(e) {
				return null
			}
			return fields.Unsigned(uint64(e.Rec.Ret))
		})
	}
	return []fields.Field{
		length("evt.buflen", "Number of bytes that were sent or received.", anything),
		length("evt.buflen.in", "Number of bytes that were received.", in),
		length("evt.buflen.out", "Number of bytes that were sent.", out),
		length("evt.buflen.file", "Number of bytes that were read from or written to a file.", within(fileArea, anything)),
		length("evt.buflen.file.in", "Number of bytes that were read from a file.", within(fileArea, in)),
		length("evt.buflen.file.out", "Number of bytes that were written to a file.", within(fileArea, out)),
		length("evt.buflen.net", "Number of bytes that were sent or received through a socket.", within(netArea, anything)),
		length("evt.buflen.net.in", "Number of bytes that were received through a socket.", within(netArea, in)),
		length("evt.buflen.net.out", "Number of bytes that were sent through a socket.", within(netArea, out)),
	}
}

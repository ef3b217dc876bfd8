package syscalls

import (
	"strconv"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/process"
)

// usageFields tell what a process takes of the machine. They are read from /proc when a rule
// asks, so they are as of now and not as of the event, and null for a process that is gone.
func usageFields() []fields.Field {
	const soon = " Read when a rule asks; null for a process that has ended."
	usage := func(name, doc string, f func(process.Usage) uint64) fields.Field {
		return eventField(name, fields.Uint, doc+soon, func(e *Event) fields.Value {
			u, ok := e.table().Usage(e.Proc)
			return fields.Value{Valid: ok, Num: f(u)}
		})
	}
	// ofThread is 0 for all threads of a process but the first, so that sums are right.
	ofThread := func(name, doc string, f func(process.Usage) uint64) fields.Field {
		return eventField(name, fields.Uint, doc+", 0 for a thread that is not the first."+soon, func(e *Event) fields.Value {
			if e.Rec.TID != e.Rec.PID {
				return fields.Unsigned(0)
			}
			u, ok := e.table().Usage(e.Proc)
			return fields.Value{Valid: ok, Num: f(u)}
		})
	}
	faults := func(name, doc string, pick func(major, minor uint64) uint64) fields.Field {
		return eventField(name, fields.Uint, doc+soon, func(e *Event) fields.Value {
			major, minor, ok := e.table().PageFaults(e.Proc, e.Rec.TID)
			return fields.Value{Valid: ok, Num: pick(major, minor)}
		})
	}
	size := func(u process.Usage) uint64 { return u.VMSize }
	resident := func(u process.Usage) uint64 { return u.VMRSS }
	inBytes := func(f func(process.Usage) uint64) func(process.Usage) uint64 {
		return func(u process.Usage) uint64 { return f(u) << 10 }
	}
	return []fields.Field{
		usage("proc.nthreads", "Number of threads of the process.", func(u process.Usage) uint64 { return u.Threads }),
		usage("proc.nchilds", "Number of threads of the process besides the first.",
			func(u process.Usage) uint64 { return max(u.Threads, 1) - 1 }),
		usage("proc.vmsize", "Virtual memory of the process in KiB.", size),
		usage("proc.vmrss", "Resident memory of the process in KiB.", resident),
		usage("proc.vmswap", "Memory of the process in swap in KiB.", func(u process.Usage) uint64 { return u.VMSwap }),
		eventField("proc.fdopencount", fields.Uint, "Number of open descriptors of the process."+soon, func(e *Event) fields.Value {
			n, ok := e.table().DescriptorCount(e.Proc)
			return fields.Value{Valid: ok, Num: n}
		}),
		eventField("proc.fdlimit", fields.Int, "How many descriptors the process may have open, -1 for any number."+soon, func(e *Event) fields.Value {
			n, ok := e.table().DescriptorLimit(e.Proc)
			return fields.Value{Valid: ok, Num: uint64(n)}
		}),
		eventField("proc.fdusage", fields.Uint, "Open descriptors of the process in whole percent of those it may have, 0 where there is no limit."+soon, fdUsage),
		ofThread("thread.vmsize", "Virtual memory of the process in KiB", size),
		ofThread("thread.vmsize.b", "Virtual memory of the process in bytes", inBytes(size)),
		ofThread("thread.vmrss", "Resident memory of the process in KiB", resident),
		ofThread("thread.vmrss.b", "Resident memory of the process in bytes", inBytes(resident)),
		faults("thread.pfmajor", "How often the thread had to wait for a page of memory.",
			func(major, _ uint64) uint64 { return major }),
		faults("thread.pfminor", "How often the thread was given a page of memory that was at hand.",
			func(_, minor uint64) uint64 { return minor }),
		eventField("thread.nametid", fields.String, "proc.name and the id of the thread, joined.", func(e *Event) fields.Value {
			from := len(e.text)
			return fields.Text(e.made(strconv.AppendInt(append(e.text, e.Proc.Comm...), int64(e.Rec.TID), 10), from))
		}),
	}
}

func fdUsage(e *Event) fields.Value {
	limit, known := e.table().DescriptorLimit(e.Proc)
	n, counted := e.table().DescriptorCount(e.Proc)
	switch {
	case !known || !counted:
		return null
	case limit <= 0:
		return fields.Unsigned(0)
	}
	return fields.Unsigned(n * 100 / uint64(limit))
}

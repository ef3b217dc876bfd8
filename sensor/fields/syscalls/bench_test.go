package syscalls_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/probe"
)

// common are the fields that upstream's rules ask most often, by event.
var common = map[string][]string{
	"openat": {
		"evt.type", "evt.is_open_read", "evt.is_open_write", "fd.typechar", "fd.num", "fd.name", "fd.directory", "fd.filename",
		"proc.name", "proc.pname", "proc.cmdline", "proc.exepath", "container.id", "container.image.repository", "user.name", "evt.arg.flags",
	},
	"execve": {
		"evt.type", "proc.name", "proc.args", "proc.cmdline", "proc.pname", "proc.aname", "proc.aname[2]", "proc.exe", "proc.exepath", "proc.tty",
		"proc.env", "proc.is_exe_upper_layer", "container.id", "container.privileged", "user.name", "user.loginuid", "proc.sname", "thread.cap_effective",
	},
	"connect": {
		"evt.type", "evt.res", "evt.rawres", "fd.typechar", "fd.sip", "fd.snet", "fd.sport", "fd.ip", "fd.net", "fd.port", "fd.l4proto",
		"fd.connected", "fd.name_changed", "fd.name", "container.id", "proc.name",
	},
}

// typical is an event of each kind in a tree of five processes.
func typical(w world) map[string]*probe.Record {
	w.Event(exec(1, 0, "/sbin/init"))
	w.Event(exec(5, 1, "/usr/sbin/sshd", "-D"))
	w.Event(exec(6, 5, "/usr/sbin/sshd", "-R"))
	w.Event(exec(7, 6, "-bash"))
	execve := exec(10, 7, "/usr/bin/grep", "-r", "--include=*.go", "pattern", "/usr/src")
	execve.Exec.Env, execve.CapEffective = block("PATH=/usr/bin:/bin", "HOME=/root", "TERM=xterm"), 1<<41-1
	w.Event(execve)
	open := opened("src/main.go", unix.O_RDONLY|unix.O_CLOEXEC, 3)
	conn := connect(tcp(1, "10.0.0.2:40000", "93.184.216.34:443"), "93.184.216.34:443", 0)
	for _, rec := range []*probe.Record{open, conn} {
		rec.PID, rec.TID, rec.Time = 10, 10, execve.Time
	}
	return map[string]*probe.Record{"openat": open, "execve": execve, "connect": conn}
}

type extraction struct {
	field *fields.Field
	arg   fields.Arg
}

func extractions(w world, names []string) []extraction {
	var xs []extraction
	for _, name := range names {
		var x extraction
		if n, _ := fmt.Sscanf(name, "proc.aname[%d]", &x.arg.Index); n == 1 {
			name, x.arg.Given = "proc.aname", true
		}
		x.field, _ = w.Registry().Lookup(name)
		xs = append(xs, x)
	}
	return xs
}

func TestCommonFieldsDoNotAllocate(t *testing.T) {
	w := newWorld(t)
	records := typical(w)
	for kind, names := range common {
		if kind == "execve" {
			continue // the table keeps a copy of the program
		}
		xs := extractions(w, names)
		run := func() {
			ev := w.Event(records[kind])
			for _, x := range xs {
				x.field.Extract(ev, x.arg)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %.1f allocations", kind, n)
		}
	}
}

func BenchmarkExtract(b *testing.B) {
	w := newWorld(b)
	records := typical(w)
	for _, kind := range []string{"openat", "execve", "connect"} {
		b.Run(kind, func(b *testing.B) {
			xs := extractions(w, common[kind])
			b.ReportAllocs()
			for b.Loop() {
				ev := w.Event(records[kind])
				for _, x := range xs {
					x.field.Extract(ev, x.arg)
				}
			}
		})
	}
}

func BenchmarkEventOnly(b *testing.B) {
	w := newWorld(b)
	rec := typical(w)["openat"]
	b.ReportAllocs()
	for b.Loop() {
		w.Event(rec)
	}
}

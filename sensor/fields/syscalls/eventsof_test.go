package syscalls_test

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

func TestAFieldIsNullForEventsThatAreNotAmongItsOwn(t *testing.T) {
	w := newWorld(t)
	for _, k := range probe.Kinds() {
		for _, ret := range []int64{-2, 0} {
			rec := &probe.Record{
				Kind: k, PID: 10, TID: 10, Ret: ret, Time: boot, Path: "/a", PathValid: true, Path2: "/b", Path2Valid: true,
				File: probe.File{Kind: probe.FileRegular, Path: "/a"}, Data: []byte("x"),
			}
			ev := w.Event(rec)
			name := w.Registry().EventTypes[w.Registry().EventType(ev)]
			for _, f := range w.Registry().All() {
				if f.Events == nil || slices.Contains(f.Events, name) {
					continue
				}
				if v := f.Extract(ev, fields.Arg{}); v.Valid {
					t.Errorf("%s has a value for %s, which is not one of %v", f.Name, name, f.Events)
				}
			}
		}
	}
	for field, events := range map[string][]string{
		"evt.arg.linkpath": {"symlink", "symlinkat"},
		"evt.buffer": {
			"pread", "preadv", "preadv2", "pwrite", "pwritev", "pwritev2", "read", "readv", "recv", "recvfrom", "recvmsg",
			"send", "sendmsg", "sendto", "write", "writev",
		},
		"fdlist.nums": {}, "evt.arg.whence": {"lseek"}, "evt.arg.cpu_usr": {}, "evt.arg.vtid": {"clone", "clone3", "fork", "vfork"}, "proc.name": nil,
	} {
		f, ok := w.Registry().Lookup(field)
		if !ok || !slices.Equal(f.Events, events) || (f.Events == nil) != (events == nil) {
			t.Errorf("%s is of %v, want %v", field, f.Events, events)
		}
	}
}

func TestLengthsAndErrorsAreCountedByWhatTheyAreAbout(t *testing.T) {
	w := newWorld(t)
	sent := &probe.Record{Kind: probe.KindSendto, Ret: 7, File: probe.File{Kind: probe.FileIPv4}}
	w.check(sent, want{
		"evt.buflen", "7", "evt.buflen.out", "7", "evt.buflen.in", "null", "evt.buflen.net", "7", "evt.buflen.net.out", "7",
		"evt.buflen.net.in", "null", "evt.buflen.file", "null", "evt.count.error.net", "0", "evt.count.error.file", "null",
		"evt.count", "1", "evt.count.exit", "1", "evt.count.procinfo", "0",
	})
	w.check(&probe.Record{Kind: probe.KindOpenat, Ret: -2}, want{
		"evt.count.error", "1", "evt.count.error.file", "1", "evt.count.error.net", "null", "evt.buflen", "null",
	})
	w.check(&probe.Record{Kind: probe.KindMemfdCreate, Ret: -22}, want{"evt.count.error.other", "1"})
	w.check(&probe.Record{Kind: probe.KindSetuid, Ret: -1}, want{"evt.count.error.other", "1", "evt.count.error.memory", "null"})
}

func TestWhatAProcessUsesIsReadWhenARuleAsks(t *testing.T) {
	w := newWorld(t)
	self := int32(os.Getpid())
	w.Source = syscalls.New(syscalls.Options{Processes: process.NewTable(process.Options{})})
	ev := w.Event(&probe.Record{Kind: probe.KindOpen, PID: self, TID: self, Time: boot})
	for _, field := range []string{
		"proc.nthreads", "proc.vmsize", "proc.vmrss", "proc.fdopencount", "proc.fdlimit", "thread.vmsize", "thread.vmrss.b", "thread.pfminor",
	} {
		if got := w.get(ev, field); got == "null" || got == "0" {
			t.Errorf("%s is %s", field, got)
		}
	}
	for _, field := range []string{"proc.nchilds", "proc.vmswap", "proc.fdusage", "thread.pfmajor"} {
		if got := w.get(ev, field); got == "null" {
			t.Errorf("%s is null", field)
		}
	}
	if got := w.get(ev, "thread.nametid"); got != strconv.Quote("syscalls.test"+strconv.Itoa(int(self))) {
		t.Errorf("thread.nametid is %s", got)
	}
	ev = w.Event(&probe.Record{Kind: probe.KindOpen, PID: self, TID: self + 1, Time: boot})
	if got := w.get(ev, "thread.vmsize"); got != "0" {
		t.Errorf("thread.vmsize of a later thread is %s", got)
	}
	w = newWorld(t)
	w.check(&probe.Record{Kind: probe.KindOpen}, want{
		"proc.nthreads", "null", "proc.fdopencount", "null", "proc.fdlimit", "null", "proc.fdusage", "null", "thread.pfmajor", "null",
	})
}

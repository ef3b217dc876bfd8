package probe

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var openOften = action("open the same file often", func() error {
	path := must(unix.BytePtrFromString("/dev/null"))
	for range 80_000 {
		fd, _, _ := unix.Syscall6(unix.SYS_OPENAT, atFDCWD, uintptr(unsafe.Pointer(path)), unix.O_RDONLY, 0, 0, 0)
		_ = unix.Close(int(fd))
	}
	return nil
})

// TestOpensAreShedBeforeProcesses holds the reader while a flood fills the ring: every
// process is still reported, what is left out is counted, and afterwards nothing is.
func TestOpensAreShedBeforeProcesses(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{
		RingSize: 16 << 20, // half of it is for what other programs start meanwhile
		Interest: Interest{
			Kinds:   []Kind{KindExecve, KindFork, KindProcexit, KindOpenat, KindMkdirat},
			Clauses: []Clause{{Kinds: []Kind{KindMkdirat}, Results: Succeeded}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var held sync.Mutex
	var mu sync.Mutex
	var delivered atomic.Uint64
	execs, exits := map[int]bool{}, map[int]bool{}
	changed := sync.NewCond(&mu)
	done := make(chan error)
	held.Lock()
	go func() {
		done <- p.Run(ctx, func(r *Record) {
			held.Lock()
			held.Unlock() //nolint:staticcheck // the handler is held up, nothing more
			delivered.Add(1)
			mu.Lock()
			defer mu.Unlock()
			switch r.Kind {
			case KindExecve:
				execs[int(r.PID)] = true
			case KindProcexit:
				// Another process may have had the number before.
				exits[int(r.PID)] = execs[int(r.PID)]
				changed.Broadcast()
			}
		})
	}()
	var pids []int
	child := func(name string) {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), actionVariable+"="+name, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		pids = append(pids, cmd.Process.Pid)
	}
	child(openOften)
	for range 20 {
		child(nothing)
	}
	flooded, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "opens are shed", flooded.Kinds[KindOpenat].Shed > 1000, true)
	check(t, "opens lost", flooded.Kinds[KindOpenat].Lost, 0)
	for _, k := range []Kind{KindExecve, KindFork, KindProcexit} {
		check(t, k.String()+" shed and lost", flooded.Kinds[k].Shed+flooded.Kinds[k].Lost, 0)
	}
	held.Unlock()
	late := false
	timeout := time.AfterFunc(time.Minute, func() {
		mu.Lock()
		defer mu.Unlock()
		late = true
		changed.Broadcast()
	})
	defer timeout.Stop()
	await := func() {
		for !late && slices.ContainsFunc(pids, func(pid int) bool { return !exits[pid] }) {
			changed.Wait()
		}
	}
	mu.Lock()
	await()
	check(t, "the end of a process is not seen", late, false)
	for _, pid := range pids {
		check(t, "exec of "+strconv.Itoa(pid)+" is seen", execs[pid], true)
	}
	mu.Unlock()

	child(nothing)
	mu.Lock()
	await()
	check(t, "the end of a process is not seen afterwards", late, false)
	mu.Unlock()
	// Nothing new may come while the rest is read.
	for _, l := range p.links {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	p.links = nil
	p.waitForPrograms()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	after, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	var counted uint64
	for _, k := range after.Kinds {
		counted += k.Seen - k.Filtered - k.Shed - k.Lost
	}
	check(t, "seen, but not filtered, shed or lost", counted, delivered.Load())
	check(t, "received", after.Received, delivered.Load())
}

package probe

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// judged makes the same calls before and after it is judged, and once more after an exec. It
// says after each that it has, and goes on when it is told to.
var judged = action("a judged process", func() error {
	steps := []string{"before", "after"}
	if os.Getenv(judgedAgain) != "" {
		steps = []string{"again"}
	}
	for _, name := range steps {
		_ = call1(unix.SYS_OPENAT, atFDCWD, ptr("/nothing/"+name), 0, 0)
		_ = call1(unix.SYS_MKDIRAT, atFDCWD, ptr("/nothing/"+name), 0)
		if _, err := os.Stdout.WriteString("."); err != nil {
			return err
		}
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			return err
		}
	}
	if os.Getenv(judgedAgain) != "" {
		return nil
	}
	return unix.Exec("/proc/self/exe", []string{"again"}, append(os.Environ(), judgedAgain+"=1"))
})

const judgedAgain = "SAKER_PROBE_TEST_JUDGED_AGAIN"

func TestAVerdictCountsUntilTheNextExec(t *testing.T) {
	w := startWatch(t, Interest{
		Kinds: []Kind{KindExecve, KindOpenat, KindMkdirat},
		Clauses: []Clause{
			{Kinds: []Kind{KindOpenat, KindMkdirat}, Results: Failed, Judged: true},
			{Kinds: []Kind{KindMkdirat}, Results: Succeeded, Judged: true},
			{Kinds: []Kind{KindMkdirat}, Results: Failed},
		},
	})
	cmd := w.child(t, judged, tempDir(t))
	said, say := must(cmd.StdoutPipe()), must(cmd.StdinPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for step := range 3 {
		if _, err := said.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			r := w.firstOf(t, int32(cmd.Process.Pid), KindOpenat, "/nothing/before")
			// The last clause does not depend on the process, whatever is said of it.
			if err := w.probe.Judge(r.PID, r.Start, r.ExecID, 1|1<<2); err != nil {
				t.Error(err)
			}
		}
		if _, err := say.Write([]byte{'.'}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	records := w.of(t, int32(cmd.Process.Pid))
	for path, want := range map[string]int{"/nothing/before": 1, "/nothing/after": 0, "/nothing/again": 1} {
		opens, folders := 0, 0
		for _, r := range records {
			if r.Path != path {
				continue
			}
			switch r.Kind {
			case KindOpenat:
				opens++
			case KindMkdirat:
				folders++
			}
		}
		check(t, "opens of "+path, opens, want)
		check(t, "attempts to make "+path, folders, 1)
	}
}

// firstOf waits for a process's record of a path.
func (w *watch) firstOf(t *testing.T, pid int32, kind Kind, path string) *Record {
	t.Helper()
	late := false
	timeout := time.AfterFunc(time.Minute, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		late = true
		w.changed.Broadcast()
	})
	defer timeout.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if late {
			t.Fatalf("no %s of %s is reported", kind, path)
		}
		for _, r := range w.records[pid] {
			if r.Kind == kind && r.Path == path {
				return r
			}
		}
		w.changed.Wait()
	}
}

func TestAProcessIsToldByItsStartAndItsExecs(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{KindExecve, KindOpenat}})
	records := w.run(t, opens, tempDir(t))
	exec := only(t, records, KindExecve, anyRecord)
	check(t, "Exec.ExecID", exec.Exec.ExecID, exec.ExecID)
	check(t, "Exec.BootStart", exec.Exec.BootStart, exec.Start)
	for _, r := range records {
		if r.Kind == KindOpenat {
			check(t, "an open's ExecID", r.ExecID, exec.ExecID)
			check(t, "an open's Start", r.Start, exec.Start)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fork := only(t, w.records[int32(os.Getpid())], KindFork, func(r *Record) bool { return r.Fork.ChildPID == exec.PID })
	check(t, "Fork.ExecID", fork.Fork.ExecID, fork.ExecID)
	check(t, "an exec changes it", fork.Fork.ExecID != exec.ExecID, true)
	check(t, "Fork.BootStart", fork.Fork.BootStart, exec.Start)
	check(t, "the parent's start differs", fork.Start != exec.Start, true)
}

func TestVerdictsAreForgottenWithTheInterest(t *testing.T) {
	i := Interest{
		Kinds:   []Kind{KindMkdirat},
		Clauses: []Clause{{Kinds: []Kind{KindMkdirat}, Judged: true}},
	}
	requireProbe(t)
	p, err := Open(Options{Interest: i, WatchSelf: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	make1 := func() *Record {
		_ = unix.Mkdirat(-1, "x", 0)
		for raw := p.reader.peek(); raw != nil; raw = p.reader.peek() {
			r, err := newDecoder().decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			r = r.Clone()
			p.reader.advance(raw)
			if r.PID == int32(os.Getpid()) {
				return r
			}
		}
		return nil
	}
	r := make1()
	if r == nil {
		t.Fatal("the first call is not reported")
	}
	for _, c := range []struct {
		what       string
		start, id  uint64
		isReported bool
	}{
		{"another start", r.Start + 1, r.ExecID, true},
		{"another program", r.Start, r.ExecID + 1, true},
		{"this program", r.Start, r.ExecID, false},
	} {
		if err := p.Judge(r.PID, c.start, c.id, 1); err != nil {
			t.Fatal(err)
		}
		check(t, c.what+" is reported", make1() != nil, c.isReported)
	}
	if err := p.SetInterest(i); err != nil {
		t.Fatal(err)
	}
	check(t, "reported by the next interest", make1() != nil, true)
}

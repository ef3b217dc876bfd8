package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var opens = action("opens of all sorts", func() error {
	for name, flags := range map[string]int{
		"reading": unix.O_RDONLY, "writing": unix.O_WRONLY, "both": unix.O_RDWR,
		"emptying": unix.O_TRUNC, "creating": unix.O_CREAT,
	} {
		if flags != unix.O_CREAT {
			_ = write(name + "-file")
		}
		_ = call1(unix.SYS_OPENAT, 0xffffff9c, ptr(name+"-file"), uintptr(flags), 0o600)
		_ = call1(unix.SYS_OPENAT, 0xffffff9c, ptr("no/"+name), uintptr(flags), 0o600)
	}
	return nil
})

func opening(classes OpenClass) Interest { return clausedOpens(Clause{Opens: classes}) }

// clausedOpens is interested in the openats for which a clause holds.
func clausedOpens(c Clause) Interest {
	c.Kinds = []Kind{KindOpenat}
	return Interest{Clauses: []Clause{c}}
}

func TestOpensAreFilteredByWhatTheyAskFor(t *testing.T) {
	all := []string{"both", "creating", "emptying", "reading", "writing"}
	for _, c := range []struct {
		name     string
		interest Interest
		want     []string
		failed   bool
	}{
		{"all", Interest{}, all, true},
		{"reading", opening(OpenReading), []string{"both", "creating", "emptying", "reading"}, true},
		{"writing", opening(OpenWriting), []string{"both", "emptying", "writing"}, true},
		{"creating", opening(OpenCreating), []string{"creating"}, true},
		{"writing or creating", opening(OpenWriting | OpenCreating), []string{"both", "creating", "emptying", "writing"}, true},
		{"successful", clausedOpens(Clause{Results: Succeeded}), all, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.interest.Kinds = []Kind{KindOpenat}
			w := startWatch(t, c.interest)
			var got, failed []string
			for _, r := range w.run(t, opens, tempDir(t)) {
				if name, ok := strings.CutPrefix(r.Path, "no/"); ok {
					failed = append(failed, name)
				} else if name, ok := strings.CutSuffix(r.Path, "-file"); ok && !slices.Contains(got, name) && r.OpenFlags&unix.O_CLOEXEC == 0 {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			slices.Sort(failed)
			if !slices.Equal(got, c.want) {
				t.Errorf("successful opens are %q, want %q", got, c.want)
			}
			if c.failed && !slices.Equal(failed, c.want) {
				t.Errorf("failed opens are %q, want %q", failed, c.want)
			}
			if !c.failed && len(failed) > 0 {
				t.Errorf("failed opens are %q, want none", failed)
			}
		})
	}
}

func TestSocketsAreFilteredByFamily(t *testing.T) {
	w := startWatch(t, Interest{
		Kinds: socketKinds, Clauses: []Clause{{Kinds: socketKinds, Families: 1 << unix.AF_INET}},
	})
	for _, r := range w.run(t, serveUnix, tempDir(t)) {
		if r.File.Kind == FileUnix && r.Kind != KindDup3 {
			t.Errorf("%s of a unix socket is reported", r.Kind)
		}
	}
	records := w.run(t, serve4, tempDir(t))
	check(t, "kind of a v4 socket", only(t, records, KindListen, anyRecord).File.Kind, FileIPv4)
	stats, err := w.probe.Stats()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "binds that were filtered", stats.Kinds[KindBind].Filtered > 0, true)
}

func TestWhatIsOmittedIsEmpty(t *testing.T) {
	w := startWatch(t, Interest{
		Kinds: []Kind{KindExecve, KindOpenat, KindSendmsg}, OmitEnv: true, OmitData: true, OmitOpenPaths: true,
	})
	records := w.run(t, serve4, tempDir(t))
	check(t, "Env", len(only(t, records, KindExecve, anyRecord).Exec.Env), 0)
	check(t, "Data", len(only(t, records, KindSendmsg, anyRecord).Data), 0)
	for _, r := range records {
		if r.Kind == KindOpenat && r.Ret >= 0 {
			check(t, "File.Path", r.File.Path, "")
			check(t, "File.Kind", r.File.Kind, FileRegular)
		}
	}
}

func TestInterestChangesWhileRunning(t *testing.T) {
	w := startWatch(t, Interest{})
	kindsOf := func() []Kind {
		var kinds []Kind
		for _, r := range w.run(t, serve4, tempDir(t)) {
			if !slices.Contains(kinds, r.Kind) && r.Kind != KindFork {
				kinds = append(kinds, r.Kind)
			}
		}
		slices.Sort(kinds)
		return kinds
	}
	for _, want := range [][]Kind{
		{KindProcexit},
		{KindProcexit, KindConnect},
		{KindExecve, KindProcexit, KindBind, KindListen},
		{KindProcexit},
	} {
		if err := w.probe.SetInterest(Interest{Kinds: append(slices.Clone(want), KindFork)}); err != nil {
			t.Fatal(err)
		}
		if got := kindsOf(); !slices.Equal(got, want) {
			t.Errorf("kinds are %v, want %v", got, want)
		}
	}
}

func TestThreadsAreReportedOnRequest(t *testing.T) {
	for _, threads := range []bool{false, true} {
		w := startWatch(t, Interest{Threads: threads})
		seen := false
		for _, r := range w.run(t, nothing, tempDir(t)) {
			if r.Kind == KindFork {
				seen = true
				check(t, "thread's process", r.Fork.ChildPID, r.PID)
				check(t, "thread differs", r.Fork.ChildTID != r.PID, true)
			}
		}
		check(t, "threads are seen", seen, threads)
	}
}

func TestAnUnusableInterestIsRefused(t *testing.T) {
	for name, i := range map[string]Interest{
		"unknown kind":             {Kinds: []Kind{kindCount}},
		"clause about nothing":     {Clauses: []Clause{{}}},
		"clause of unknown kind":   {Clauses: []Clause{{Kinds: []Kind{kindCount}}}},
		"too many values":          {Clauses: []Clause{{Kinds: []Kind{KindDup}, Values: make([]int64, 9)}}},
		"more clauses than places": {Clauses: make([]Clause, MaxClauses+1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := i.table()
			_, err2 := i.clauses()
			if err == nil && err2 == nil {
				t.Error("it is accepted")
			}
		})
	}
	if _, err := (Interest{}).config(make([]int, 9)); err == nil {
		t.Error("nine ignored processes are accepted")
	}
}

func TestEveryKindHasACallOnThisMachineOrNone(t *testing.T) {
	for _, k := range Kinds() {
		if k == KindFork || k == KindProcexit {
			continue
		}
		if calls[k].kind != k {
			t.Errorf("%s is not in the table", k)
		}
		if _, err := (Interest{Kinds: []Kind{k}}).table(); err != nil {
			t.Error(err)
		}
	}
}

func TestKindsAreFoundByName(t *testing.T) {
	for _, k := range Kinds() {
		got, ok := KindOf(k.String())
		if !ok || got != k {
			t.Errorf("%q is %v, want %d", k.String(), got, k)
		}
	}
	if _, ok := KindOf("unknown"); ok {
		t.Error("unknown is a kind")
	}
}

func TestOwnCallsAreIgnored(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{Interest: Interest{Kinds: []Kind{KindChdir}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	done := make(chan error)
	go func() {
		done <- p.Run(ctx, func(r *Record) {
			if r.PID == int32(os.Getpid()) {
				seen++
			}
		})
	}()
	_ = unix.Chdir(".")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check(t, "own calls", seen, 0)
	stats, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "own calls were filtered", stats.Kinds[KindChdir].Filtered > 0, true)
}

// KindChdir is a call that nothing but the test makes often.

func TestWhatDoesNotFitIsCounted(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{Interest: Interest{Kinds: []Kind{KindChdir}}, RingSize: os.Getpagesize(), WatchSelf: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const calls = 1000
	for range calls {
		_ = unix.Chdir(".")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx, func(*Record) {}); err != nil {
		t.Fatal(err)
	}
	stats, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	k := stats.Kinds[KindChdir]
	check(t, "shed calls", k.Shed > 0, true)
	check(t, "shed, lost and received calls", k.Shed+k.Lost+stats.Received, k.Seen-k.Filtered)
	check(t, "seen calls", k.Seen >= calls, true)
	check(t, "malformed records", stats.Malformed, 0)
}

func TestRunEndsWhenTheProbeIsClosed(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- p.Run(context.Background(), func(*Record) {}) }()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("Run returns nil")
	}
	if err := p.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

var fewCapabilities = action("probe with few capabilities", func() error {
	p, err := Open(Options{Interest: Interest{Kinds: Kinds()}})
	if err != nil {
		return err
	}
	if err := p.SetInterest(Interest{Kinds: Kinds()}); err != nil {
		return err
	}
	if err := p.Judge(1, 1, 1, 1); err != nil {
		return err
	}
	if _, err := p.Stats(); err != nil {
		return err
	}
	return p.Close()
})

func TestFewCapabilitiesAreEnough(t *testing.T) {
	requireProbe(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can give a process capabilities")
	}
	for name, capabilities := range map[string][]uintptr{
		"what the probe needs":  {unix.CAP_BPF, unix.CAP_PERFMON},
		"what the sensor needs": {unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_SYS_RESOURCE},
	} {
		t.Run(name, func(t *testing.T) {
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				t.Fatal(err)
			}
			own := must(effectiveCapabilities(string(status)))
			for _, c := range capabilities {
				if own&(1<<c) == 0 {
					t.Skipf("this process has not the capability %d itself", c)
				}
			}
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
			cmd.Env = append(os.Environ(), actionVariable+"="+fewCapabilities)
			cmd.SysProcAttr = asNobody()
			cmd.SysProcAttr.AmbientCaps = capabilities
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestARingOfAnOddSizeIsRefused(t *testing.T) {
	requireProbe(t)
	for _, size := range []int{-1, 100, 3 << 20, 1 << 31} {
		if p, err := Open(Options{RingSize: size}); err == nil {
			t.Errorf("%d bytes are accepted", size)
			_ = p.Close()
		}
	}
}

var unprivileged = action("check without privileges", func() error {
	if err := Check(); err == nil || !strings.Contains(err.Error(), "CAP_BPF and CAP_PERFMON") {
		_, _ = os.Stderr.WriteString(errorText(err))
		os.Exit(3)
	}
	return nil
})

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestCheckNamesMissingPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process without privileges")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), actionVariable+"="+unprivileged)
	cmd.SysProcAttr = asNobody()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheProbeFindsItsOwnProcess(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{WatchSelf: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pid, err := p.askOwnPID()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "own process", pid, os.Getpid())
}

var inNamespace = action("probe in a pid namespace", func() error {
	p, err := Open(Options{Interest: Interest{Kinds: []Kind{KindChdir}}})
	if err != nil {
		return err
	}
	defer p.Close()
	_ = unix.Chdir(".")
	stats, err := p.Stats()
	if err != nil {
		return err
	}
	if stats.Kinds[KindChdir].Filtered == 0 {
		return errors.New("own calls are not filtered")
	}
	return nil
})

func TestOwnCallsAreIgnoredInAPidNamespace(t *testing.T) {
	requireProbe(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), actionVariable+"="+inNamespace)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

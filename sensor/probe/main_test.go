package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// actionVariable makes this test binary a child that does one thing and exits.
const actionVariable = "SAKER_PROBE_TEST_ACTION"

func TestMain(m *testing.M) {
	if name := os.Getenv(actionVariable); name != "" {
		if err := actions[name](); err != nil {
			_, _ = os.Stderr.WriteString(name + ": " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for _, w := range watches {
		if err := w.stop(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// actions are what children can do, by name.
var actions = map[string]func() error{}

// action registers what a child does; it is called at package level, so that the child
// knows it too.
func action(name string, do func() error) string {
	if actions[name] != nil {
		panic("two actions are called " + name)
	}
	actions[name] = do
	return name
}

// watch is a running probe that keeps the records of this process's descendants.
type watch struct {
	probe   *Probe
	stop    func() error
	mu      sync.Mutex
	changed *sync.Cond
	records map[int32][]*Record
	ended   map[int32]bool
}

// watches are shared by the tests, for loading a probe takes longer than most of them.
var watches = map[bool]*watch{}

// startWatch sets the interest of a running probe, or skips the test where there cannot be
// one. Forks and exits are always of interest.
func startWatch(t *testing.T, i Interest) *watch {
	t.Helper()
	requireProbe(t)
	w := watches[helpersOnly]
	if w == nil {
		w = newWatch(t)
		watches[helpersOnly] = w
	}
	i.Kinds = append(slices.Clone(i.Kinds), KindFork, KindProcexit)
	if err := w.probe.SetInterest(i); err != nil {
		t.Fatal(err)
	}
	w.forget()
	return w
}

// forget drops what earlier tests have left: a process of this one may get the number of one
// of theirs.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.records)
	clear(w.ended)
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	p, err := Open(Options{helpersOnly: helpersOnly})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{probe: p, records: map[int32][]*Record{}, ended: map[int32]bool{}}
	w.changed = sync.NewCond(&w.mu)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx, w.keep) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-done, p.Close())
	}
	return w
}

// helpersOnly runs the programs as an older kernel would.
var helpersOnly bool

func TestOlderKernelsSeeTheSame(t *testing.T) {
	helpersOnly = true
	defer func() { helpersOnly = false }()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"files", TestFileCalls},
		{"anonymous files", TestFilesWithoutAPathAreToldApart},
		{"deep folders", TestAFolderThatIsTooDeepIsUnknownRatherThanWrong},
		{"processes", TestAProcessIsForkedExecutedAndExits},
		{"failed execs", TestAFailedExecHasWhatWasAttempted},
		{"credentials", TestACallHasTheCredentialsThatItLeaves},
		{"namespaces", TestNamespacesAreSeenAndPathsCrossMounts},
		{"clauses", TestTheFilterDropsWhatNoClauseHoldsForAndNothingElse},
		{"layers", TestLayersOfAnOverlayAreToldApart},
		{"tcp", TestTCPConnectionsHaveBothEnds},
		{"unix sockets", TestUnixSocketsHaveTheirPath},
		{"datagrams", TestDatagramsHaveAddressAndData},
	} {
		t.Run(test.name, test.run)
	}
}

// requireProbe skips where the kernel or the privileges are missing, which CI forbids by
// setting SAKER_TEST_REQUIRE.
func requireProbe(t testing.TB) {
	t.Helper()
	if err := Check(); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func (w *watch) keep(r *Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ours := w.records[r.PID]
	switch {
	case r.Kind == KindFork && (ours || r.PID == int32(os.Getpid())):
		if r.Fork.ChildPID != r.PID {
			w.records[r.Fork.ChildPID] = nil
			delete(w.ended, r.Fork.ChildPID)
		}
		w.records[r.PID] = append(w.records[r.PID], r.Clone())
	case ours:
		w.records[r.PID] = append(w.records[r.PID], r.Clone())
	}
	if r.Kind == KindProcexit && ours {
		w.ended[r.PID] = true
	}
	w.changed.Broadcast()
}

// run runs an action in a child whose working directory is dir and returns the child's
// records.
func (w *watch) run(t *testing.T, name, dir string, env ...string) []*Record {
	t.Helper()
	return w.command(t, w.child(t, name, dir, env...))
}

// child is a command that runs an action.
func (w *watch) child(t *testing.T, name, dir string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Dir = dir
	// Under the race detector a process would sleep before it exits.
	cmd.Env = append(os.Environ(), append(env, "GORACE=atexit_sleep_ms=0", actionVariable+"="+name)...)
	return cmd
}

func (w *watch) command(t *testing.T, cmd *exec.Cmd) []*Record {
	t.Helper()
	cmd.Stderr = t.Output()
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("the child failed: %v", err)
		}
		t.Skipf("the child cannot be started: %v", err)
	}
	return w.of(t, int32(cmd.Process.Pid))
}

// of waits for the end of a process and returns its records.
func (w *watch) of(t *testing.T, pid int32) []*Record {
	t.Helper()
	timeout := time.AfterFunc(time.Minute, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Errorf("the end of process %d was not seen", pid)
		w.ended[pid] = true
		w.changed.Broadcast()
	})
	defer timeout.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.ended[pid] {
		w.changed.Wait()
	}
	return slices.Clone(w.records[pid])
}

// only returns the one record of a kind that pick accepts.
func only(t *testing.T, records []*Record, kind Kind, pick func(*Record) bool) *Record {
	t.Helper()
	var found []*Record
	for _, r := range records {
		if r.Kind == kind && pick(r) {
			found = append(found, r)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	var seen []string
	for _, r := range records {
		seen = append(seen, r.Kind.String()+" "+r.Path)
	}
	t.Fatalf("%d records of %s, want one, among:\n%s", len(found), kind, strings.Join(seen, "\n"))
	return nil
}

func anyRecord(*Record) bool { return true }

func pathIs(path string) func(*Record) bool {
	return func(r *Record) bool { return r.Path == path }
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// tempDir is a temporary folder by its path without symlinks.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

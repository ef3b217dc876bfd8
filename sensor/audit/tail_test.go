package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/sensor/audit"
)

// follower is a source that follows a log, in fake time.
type follower struct {
	t      *testing.T
	config audit.Log
	source *audit.Source
	log    *safeBuffer
	seen   []string
	stop   func()
}

func newFollower(t *testing.T) *follower {
	folder := t.TempDir()
	return &follower{t: t, log: &safeBuffer{}, config: audit.Log{
		Path: filepath.Join(folder, "audit.log"), From: "start", State: filepath.Join(folder, "state", "audit.json"),
	}}
}

// start begins to follow; what was seen before is forgotten.
func (f *follower) start() {
	f.t.Helper()
	f.seen = nil
	source, err := audit.New(audit.Config{Log: f.config}, audit.Options{Log: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		f.t.Fatal(err)
	}
	f.source = source
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := source.Run(ctx, func(e *audit.Event) { f.seen = append(f.seen, eventName(e)) }); err != nil {
			f.t.Error(err)
		}
	})
	f.stop = func() {
		cancel()
		running.Wait()
	}
}

func eventName(e *audit.Event) string {
	_, rest, _ := strings.Cut(e.Text(), `"auditID":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// write appends lines with events of these names.
func (f *follower) write(names ...string) {
	f.t.Helper()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintln(&b, line(name))
	}
	f.writeText(b.String())
}

func line(name string) string {
	return fmt.Sprintf(`{"kind":"Event","auditID":%q,"stageTimestamp":"2026-11-23T21:30:00Z"}`, name)
}

func (f *follower) writeText(text string) {
	f.t.Helper()
	file, err := os.OpenFile(f.config.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
}

// expect waits until the source has had time to look, and compares what it has seen so far.
func (f *follower) expect(want ...string) {
	f.t.Helper()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if !slices.Equal(f.seen, want) {
		f.t.Errorf("saw %q, want %q", f.seen, want)
	}
}

func (f *follower) rename(to string) {
	f.t.Helper()
	if err := os.Rename(f.config.Path, f.config.Path+to); err != nil {
		f.t.Fatal(err)
	}
}

// following runs a test in fake time.
func following(t *testing.T, test func(t *testing.T, f *follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFollower(t)) })
}

func TestALogThatDoesNotExistIsWaitedFor(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.config.From = "end"
		f.start()
		defer f.stop()
		f.expect()
		f.write("a", "b")
		f.expect("a", "b")
		if n := strings.Count(f.log.String(), "cannot be read for now"); n != 1 {
			t.Errorf("the log says %d times that the file is missing:\n%s", n, f.log)
		}
	})
}

func TestALineCountsOnceItHasAnEnd(t *testing.T) {
	following(t, func(_ *testing.T, f *follower) {
		f.start()
		defer f.stop()
		text := line("a") + "\n"
		f.writeText(text[:20])
		f.expect()
		f.writeText(text[20:])
		f.expect("a")
		f.writeText("\n\n  \n[" + line("b") + "," + line("c") + "]\n")
		f.expect("a", "b", "c")
	})
}

func TestAFileSeenForTheFirstTimeBeginsWhereTheConfigurationSays(t *testing.T) {
	for from, want := range map[string][]string{"start": {"old", "new"}, "end": {"new"}} {
		following(t, func(_ *testing.T, f *follower) {
			f.config.From = from
			f.write("old")
			f.start()
			time.Sleep(time.Second)
			f.write("new")
			f.expect(want...)
			f.stop()
			f.start()
			f.expect()
			f.stop()
		})
	}
}

func TestALineThatIsBeingWrittenAtTheStartIsLeftOut(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.config.From = "end"
		text := line("a") + "\n"
		f.writeText(text[:30])
		f.start()
		defer f.stop()
		f.expect()
		f.writeText(text[30:])
		f.write("b")
		f.expect("b")
		if got := f.source.Stats().Dropped[audit.DropMalformed]; got != 0 {
			t.Errorf("%d events were given up", got)
		}
	})
}

func TestARotatedLogIsFollowedWithoutAGap(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.start()
		defer f.stop()
		f.write("a")
		f.expect("a")
		// Written after the last look and before the rename, the last one without a line end.
		f.write("b")
		f.writeText(line("c"))
		f.rename(".1")
		f.write("d")
		f.expect("a", "b", "c", "d")
		f.rename(".2")
		f.expect("a", "b", "c", "d")
		f.write("e")
		f.expect("a", "b", "c", "d", "e")
		if got := f.source.Stats().Rotations; got != 2 {
			t.Errorf("counted %d rotations", got)
		}
	})
}

func TestACutLogIsReadFromItsStart(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.start()
		defer f.stop()
		f.write("a", "b", "c")
		f.expect("a", "b", "c")
		if err := os.Truncate(f.config.Path, 0); err != nil {
			t.Fatal(err)
		}
		f.write("d")
		f.expect("a", "b", "c", "d")
		if got := f.source.Stats().Truncations; got != 1 {
			t.Errorf("counted %d truncations", got)
		}
	})
}

func TestARestartGoesOnWhereTheLastRunStopped(t *testing.T) {
	following(t, func(_ *testing.T, f *follower) {
		f.start()
		f.write("a", "b")
		f.expect("a", "b")
		f.stop()
		f.write("c")
		f.start()
		f.expect("c")
		f.stop()
		// The log was rotated meanwhile: what is left of the renamed file comes first.
		f.write("d")
		f.rename("-2026-11-23.log")
		f.write("e")
		f.start()
		f.expect("d", "e")
		f.stop()
	})
}

func TestAnotherFileWithTheSameNumberIsReadFromItsStart(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.write("a", "b")
		f.start()
		f.expect("a", "b")
		f.stop()
		// Written over in place: the number in the file system stays, the content does not.
		if err := os.WriteFile(f.config.Path, []byte(line("x")+"\n"+line("y")+"\n"+line("z")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f.start()
		f.expect("x", "y", "z")
		f.stop()
	})
}

func TestABrokenStateBeginsAnew(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.write("a")
		if err := os.MkdirAll(filepath.Dir(f.config.State), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.config.State, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		f.start()
		f.expect("a")
		f.stop()
		if !strings.Contains(f.log.String(), "begins anew") {
			t.Errorf("the log says nothing:\n%s", f.log)
		}
	})
}

func TestBadLinesAreGivenUpAlone(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		f.start()
		defer f.stop()
		f.write("a")
		f.writeText("no JSON\n")
		f.writeText(strings.Repeat("x", 3<<20) + "\n")
		f.writeText(`{"kind":"Event","auditID":"big","stageTimestamp":"2026-11-23T21:30:00Z","x":"` + strings.Repeat("y", audit.MaxEventBytes) + `"}` + "\n")
		f.write("b")
		f.expect("a", "b")
		got := f.source.Stats()
		if got.Dropped[audit.DropMalformed] != 1 || got.Dropped[audit.DropTooLarge] != 2 {
			t.Errorf("counted %v", got.Dropped)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := strings.Count(f.log.String(), "audit events were given up"); n != 2 {
			t.Errorf("the log says %d times that events were given up, want once at once and once for the rest:\n%s", n, f.log)
		}
	})
}

func TestAStateThatCannotBeWrittenIsWarnedOfOnce(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		// A folder's place is taken by a file.
		if err := os.WriteFile(filepath.Dir(f.config.State), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f.start()
		for _, name := range []string{"a", "b", "c"} {
			f.write(name)
			time.Sleep(2 * time.Second)
		}
		f.expect("a", "b", "c")
		f.stop()
		if n := strings.Count(f.log.String(), "cannot be written"); n != 1 {
			t.Errorf("the log says it %d times:\n%s", n, f.log)
		}
	})
}

func TestAStateIsWrittenOnceThatIsPossibleThoughNothingNewComes(t *testing.T) {
	following(t, func(t *testing.T, f *follower) {
		folder := filepath.Dir(f.config.State)
		if err := os.WriteFile(folder, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f.start()
		f.write("a")
		time.Sleep(2 * time.Second)
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		f.expect("a")
		f.stop()
		f.start()
		f.expect()
		f.stop()
	})
}

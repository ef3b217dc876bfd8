package file

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func open(t *testing.T, text string) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	s, err := outputstest.New("file", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func send(t *testing.T, s outputs.Sender, batch ...event.Event) {
	t.Helper()
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func numbered(i int) event.Event {
	e := outputstest.Plain()
	e.UUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	return e
}

func TestLinesMatchTheGoldenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	s := open(t, "{path: "+path+"}")
	var got strings.Builder
	for _, f := range outputstest.Events() {
		before := 0
		if info, err := os.Stat(path); err == nil {
			before = int(info.Size())
		}
		send(t, s, f.Event)
		line := read(t, path)[before:]
		if strings.Count(line, "\n") != 1 {
			t.Errorf("%s has %d lines", f.Name, strings.Count(line, "\n"))
		}
		if len(line) > 8<<10 {
			line = line[:500] + "\n"
		}
		got.WriteString("-- " + f.Name + " --\n" + line)
	}
	outputstest.Golden(t, "testdata/payload.golden", got.String())
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: mode %v", err, info.Mode())
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                             "path",
		"{path: events.json}":            "path: must be an absolute path",
		"{path: /var/log/}":              "path: must be an absolute path",
		"{path: /x, maxsize: 10}":        "maxsize: must be at least 1MiB",
		"{path: /x, maxfiles: 0}":        "maxfiles",
		"{path: /x, sync: yes please}":   "sync",
		"{path: /x, maxsize: very much}": "maxsize",
	} {
		if _, err := outputstest.New("file", text, outputstest.Env(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}

func TestTheFileIsRotatedAndNoEventIsLost(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.json")
	s := open(t, "{path: "+path+", maxsize: 1MiB, maxfiles: 3, sync: false}")
	const n = 30
	for i := range n {
		e := numbered(i)
		e.Output = strings.Repeat("x", 150_000)
		send(t, s, e)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 4 {
		t.Fatalf("files %q (%v), want four", files, err)
	}
	var all strings.Builder
	for _, name := range []string{path + ".3", path + ".2", path + ".1", path} {
		text := read(t, name)
		if len(text) > 1<<20 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		all.WriteString(text)
	}
	// The oldest have gone; those that are kept are whole and in order.
	first := -1
	for line := range strings.Lines(all.String()) {
		e, err := event.Decode([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscanf(e.UUID, "00000000-0000-4000-8000-%d", &i); err != nil {
			t.Fatal(err)
		}
		if first >= 0 && i != first+1 {
			t.Errorf("event %d follows %d", i, first)
		}
		first = i
	}
	if first != n-1 {
		t.Errorf("the last event is %d, want %d", first, n-1)
	}
}

func TestAFileThatIsMovedAwayIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	s := open(t, "{path: "+path+", maxsize: 0}")
	send(t, s, numbered(1))
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	send(t, s, numbered(2))
	for name, want := range map[string]event.Event{path + ".old": numbered(1), path: numbered(2)} {
		if got := read(t, name); got != string(want.AppendJSON(nil))+"\n" {
			t.Errorf("%s holds %q", name, got)
		}
	}
}

func TestALineThatACrashHasCutIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	if err := os.WriteFile(path, []byte(`{"uuid":"cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	e := numbered(1)
	send(t, open(t, "{path: "+path+"}"), e)
	if got, want := read(t, path), `{"uuid":"cut`+"\n"+string(e.AppendJSON(nil))+"\n"; got != want {
		t.Errorf("got %q", got)
	}
}

// limited is set in the process of its own that the next test runs in: the limit that it
// sets is one of the whole process, and what else writes files there would meet it, too.
const limited = "SAKER_TEST_LIMITED_FILES"

func TestAWriteThatFailsLeavesNoPartOfALine(t *testing.T) {
	if os.Getenv(limited) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), limited+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "events.json")
	s := open(t, "{path: "+path+"}")
	send(t, s, numbered(1))
	before := read(t, path)
	// The kernel takes what fits below this limit, and then refuses.
	limit := func(n uint64) {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Fatal(err)
		}
		now.Cur = min(n, now.Max)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Fatal(err)
		}
	}
	limit(uint64(len(before) + 100))
	err := s.Send(t.Context(), []event.Event{numbered(2), numbered(3)})
	limit(math.MaxUint64)
	if outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send is %q (%v), want %q", outputstest.OutcomeOf(err), err, outputstest.NotNow)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file holds %q", got)
	}
	send(t, s, numbered(2))
	if got := read(t, path); bytes.Count([]byte(got), []byte("\n")) != 2 {
		t.Errorf("the file holds %q", got)
	}
}

func TestAPathThatIsWrongHoldsEvents(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "events.json"), pipe, "/dev/null"} {
		if err := open(t, "{path: "+path+"}").Send(t.Context(), []event.Event{numbered(1)}); !outputs.Held(err) {
			t.Errorf("%s: %v is not held", path, err)
		}
	}
}

func TestACancelledContextWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, "{path: "+path+"}").Send(ctx, []event.Event{numbered(1)}); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there")
	}
}

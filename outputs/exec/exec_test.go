package exec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// script writes a program and returns the output's configuration that runs it; DIR in it
// stands for its folder.
func script(t *testing.T, text, extra string) (config, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+strings.ReplaceAll(text, "DIR", dir)+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return "{enabled: true, program: " + path + strings.ReplaceAll(extra, "DIR", dir) + "}", dir
}

func open(t *testing.T, config string) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	s, err := outputstest.New("exec", config, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain() []event.Event { return []event.Event{outputstest.Plain()} }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheProgramReadsTheEvent(t *testing.T) {
	config, dir := script(t, "cat >> DIR/got", "")
	s := open(t, config)
	var got strings.Builder
	for _, f := range outputstest.Events() {
		if err := s.Send(t.Context(), []event.Event{f.Event}); err != nil {
			t.Fatal(err)
		}
		text := read(t, filepath.Join(dir, "got"))
		if want := string(f.Event.AppendJSON(nil)) + "\n"; text != want {
			t.Errorf("%s: the program has read %.100q", f.Name, text)
		}
		if err := os.Remove(filepath.Join(dir, "got")); err != nil {
			t.Fatal(err)
		}
		got.WriteString("-- " + f.Name + " --\n" + text[:min(len(text), 8<<10)] + "\n")
	}
	outputstest.Golden(t, "testdata/payload.golden", got.String())
}

func TestNothingOfTheEventIsOnTheCommandLineOrInTheEnvironment(t *testing.T) {
	t.Setenv("FORWARDERS_SECRET", "s3cret")
	config, dir := script(t, `cat >/dev/null; env > DIR/env; echo "$#:$1:$2" > DIR/args; pwd > DIR/pwd`,
		`, args: ["$(id)", "{{.Rule}}"], dir: DIR, env: {TOKEN: abc}`)
	if err := open(t, config).Send(t.Context(), plain()); err != nil {
		t.Fatal(err)
	}
	env := read(t, filepath.Join(dir, "env"))
	if strings.Contains(env, "FORWARDERS_SECRET") || !strings.Contains(env, "TOKEN=abc\n") || !strings.Contains(env, "PATH=/") {
		t.Errorf("the environment is %q", env)
	}
	if got := read(t, filepath.Join(dir, "args")); got != "2:$(id):{{.Rule}}\n" {
		t.Errorf("the arguments are %q", got)
	}
	if got := strings.TrimSpace(read(t, filepath.Join(dir, "pwd"))); got != dir {
		t.Errorf("the folder is %q", got)
	}
}

func TestTheExitStatusDecides(t *testing.T) {
	for status, want := range map[int]outputstest.Outcome{
		0: outputstest.Delivered, 1: outputstest.NotNow, 65: outputstest.Rejected, 64: outputstest.Held,
		75: outputstest.NotNow, 77: outputstest.Held, 78: outputstest.Held, 127: outputstest.Held,
	} {
		config, _ := script(t, fmt.Sprintf("cat >/dev/null; echo went wrong with $TOKEN >&2; exit %d", status), ", env: {TOKEN: s3cretToken}")
		err := open(t, config).Send(t.Context(), plain())
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("status %d is %q (%v), want %q", status, got, err, want)
		}
		if err != nil {
			outputstest.NoSecret(t, "s3cretToken", err.Error())
			if !strings.Contains(err.Error(), "went wrong with [hidden]") {
				t.Errorf("the error %q does not say what the program said", err)
			}
		}
	}
}

func TestAProgramNeedNotReadTheEvent(t *testing.T) {
	config, _ := script(t, "exec 0<&-; exit 0", "")
	e := outputstest.Plain()
	e.Output = strings.Repeat("x", 1<<20) // more than a pipe holds
	if err := open(t, config).Send(t.Context(), []event.Event{e}); err != nil {
		t.Error(err)
	}
}

func TestTheWholeGroupEndsWithTheContext(t *testing.T) {
	config, dir := script(t, "cat >/dev/null; sleep 1000 & echo $! > DIR/child.tmp; mv DIR/child.tmp DIR/child; wait", "")
	s := open(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Send(ctx, plain()) }()
	var child int
	outputstest.Eventually(t, "the program has a child", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "child"))
		if err != nil {
			return false
		}
		child, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	cancel()
	if err := <-done; outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send: %v", err)
	}
	gone(t, child)
}

func TestWhatTheProgramLeavesRunningEndsWithIt(t *testing.T) {
	config, dir := script(t, "cat >/dev/null; sleep 1000 >/dev/null 2>&1 & echo $! > DIR/child", "")
	if err := open(t, config).Send(t.Context(), plain()); err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, "child"))))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, child)
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	outputstest.Eventually(t, "the child has ended", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestLimitsHold(t *testing.T) {
	config, _ := script(t, "cat >/dev/null; ulimit -n > DIR/files; grep NoNewPrivs /proc/self/status > DIR/privs; dd if=/dev/zero of=DIR/big bs=1M count=4 2>/dev/null; exit 0",
		", limits: {files: 32, filesize: 1MiB}")
	dir := filepath.Dir(strings.TrimSuffix(strings.Fields(config)[3], ","))
	_ = open(t, config).Send(t.Context(), plain())
	if got := read(t, filepath.Join(dir, "files")); got != "32\n" {
		t.Errorf("open files are limited to %q", got)
	}
	if got := read(t, filepath.Join(dir, "privs")); !strings.HasSuffix(got, "1\n") {
		t.Errorf("privileges can be gained: %q", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "big")); err != nil || info.Size() > 1<<20 {
		t.Errorf("a file of %v bytes was written (%v)", info, err)
	}
}

func TestItRunsAsTheUserThatIsNamed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run programs as somebody else")
	}
	config, dir := script(t, "cat >/dev/null; id -u > DIR/out/id; id -G >> DIR/out/id", ", uid: 65534")
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(out, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for parent := dir; parent != "/"; parent = filepath.Dir(parent) {
		if info, err := os.Stat(parent); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(parent, info.Mode().Perm()|0o011); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := open(t, config).Send(t.Context(), plain()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(out, "id")); got != "65534\n65534\n" {
		t.Errorf("it ran as %q", got)
	}
}

func TestAProgramThatOthersCouldReplaceIsRefused(t *testing.T) {
	config, dir := script(t, "cat >/dev/null", "")
	s := open(t, config)
	path := filepath.Join(dir, "program")
	for name, change := range map[string]func() error{
		"a file that others can write":   func() error { return os.Chmod(path, 0o777) },
		"a folder that others can write": func() error { return os.Chmod(dir, 0o777) },
		"a file that is no program":      func() error { return os.Chmod(path, 0o644) },
		"a file that is gone":            func() error { return os.Rename(path, path+"x") },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := outputstest.New("exec", config, outputstest.Env(t)); err == nil {
			t.Errorf("%s is taken at start", name)
		}
		if err := s.Send(t.Context(), plain()); !outputs.Held(err) {
			t.Errorf("%s: %v is not held", name, err)
		}
		_ = os.Rename(path+"x", path)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Send(t.Context(), plain()); err != nil {
		t.Error(err)
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                                 "enabled",
		"{enabled: true}":                    "program",
		"{program: /bin/true}":               "enabled",
		"{enabled: true, program: bin/true}": "program: must be an absolute path",
		"{enabled: true, program: /bin/true, dir: x}":               "dir: must be an absolute path",
		"{enabled: true, program: /bin/true, uid: -2}":              "uid: must be -1",
		"{enabled: true, program: /bin/true, env: {'A=B': s3cret}}": "no name of a variable",
		"{enabled: true, program: /bin/true, limits: {files: 3}}":   "limits.files",
		"{enabled: true, program: /bin/true, limits: {memory: -1}}": "limits.memory",
		"{enabled: true, program: /no/such/program}":                "no such file",
		"{enabled: true, program: /tmp}":                            "is not a file",
	} {
		_, err := outputstest.New("exec", text, outputstest.Env(t))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
			continue
		}
		outputstest.NoSecret(t, "s3cret", err.Error())
	}
}

func TestACancelledContextRunsNothing(t *testing.T) {
	config, dir := script(t, "touch DIR/ran", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, config).Send(ctx, plain()); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("send: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the program ran")
	}
}

func TestManyProgramsRunAtOnce(t *testing.T) {
	config, dir := script(t, "cat >/dev/null; mktemp DIR/ran.XXXXXX >/dev/null", "")
	s := open(t, config)
	const n = 8
	errs := make(chan error, n)
	for range n {
		go func() { errs <- s.Send(t.Context(), plain()) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if ran, err := filepath.Glob(filepath.Join(dir, "ran.*")); err != nil || len(ran) != n {
		t.Errorf("%d programs ran (%v)", len(ran), err)
	}
}

func TestATimeoutIsTheContexts(t *testing.T) {
	config, _ := script(t, "cat >/dev/null; sleep 1000", "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := open(t, config).Send(ctx, plain())
	if outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("send: %v", err)
	}
}

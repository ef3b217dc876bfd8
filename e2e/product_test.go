// Package e2e tests the whole product from outside, as its users run it: the built
// programs, a real kernel, real containers, real HTTP. It knows the product's files, ports
// and formats and nothing of its insides.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen. It is a bound, not an
// expectation: nothing here measures time.
const patience = 60 * time.Second

// programs are the built binaries, by name.
var programs map[string]string

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeVariable); text != "" {
		runNode(text)
		return
	}
	if os.Getenv("SAKER_E2E") == "" {
		fmt.Println("whole-product tests run with: make e2e")
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "saker-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Programs are also run as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = map[string]string{}
	for name, path := range map[string]string{"saker": "../cmd/saker", "saker-sensor": "../cmd/saker-sensor", "trigger": "./trigger"} {
		programs[name] = filepath.Join(dir, name)
		build := exec.Command("go", "build", "-trimpath", "-o", programs[name], path)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", path, err, out)
			os.Exit(1)
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// needRoot skips, or fails where the tests are required, when the kernel cannot be watched.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
			return
		}
	}
	missing(t, "watching the kernel needs root and /sys/kernel/btf/vmlinux")
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SAKER_TEST_REQUIRE") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// process is a running program of ours.
type process struct {
	*exec.Cmd
	lines chan string // what it printed, line by line
	done  chan struct{}
	mu    sync.Mutex
	all   bytes.Buffer
}

// start runs a program until the test ends. Its output goes to the test's log if it fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, name, args...)
}

// startAs is start, as another user unless that is nil.
func startAs(t *testing.T, user *syscall.Credential, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(programs[name], args...), lines: make(chan string, 10_000), done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stdout, p.Stderr = w, w
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: user}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(p.done)
		defer close(p.lines)
		defer r.Close()
		for s := bufio.NewReader(r); ; {
			line, err := s.ReadString('\n')
			p.mu.Lock()
			p.all.WriteString(line)
			p.mu.Unlock()
			if line != "" {
				select {
				case p.lines <- strings.TrimSuffix(line, "\n"):
				default: // nobody reads that much; the whole text is in all
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			text := p.all.String()
			if len(text) > 20_000 {
				text = "…" + text[len(text)-20_000:]
			}
			t.Logf("%s said:\n%s", name, text)
		}
	})
	return p
}

// stop ends the process as an operator would and waits for it.
func (p *process) stop() {
	if p.ProcessState != nil {
		return
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	_ = p.Wait()
	<-p.done
}

// kill ends the process without a word of warning.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	<-p.done
}

// waitFor reads what the process prints until a line holds text.
func (p *process) waitFor(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the process ended before it said %q:\n%s", text, p.all.String())
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("the process did not say %q within %v", text, patience)
		}
	}
}

// freePort returns a loopback port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeFile puts text into a file of the test's own folder.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// alert is what a receiver gets.
type alert struct {
	UUID         string         `json:"uuid"`
	Rule         string         `json:"rule"`
	Priority     string         `json:"priority"`
	Output       string         `json:"output"`
	Hostname     string         `json:"hostname"`
	Source       string         `json:"source"`
	OutputFields map[string]any `json:"output_fields"`
}

// receiver is a webhook that keeps what it gets.
type receiver struct {
	*httptest.Server
	alerts chan alert
}

// newReceiver starts a webhook. before, if not nil, runs before each answer.
func newReceiver(t *testing.T, before func()) *receiver {
	t.Helper()
	r := &receiver{alerts: make(chan alert, 100_000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var a alert
		if err == nil {
			err = json.Unmarshal(body, &a)
		}
		if err != nil {
			t.Errorf("webhook got %q: %v", body, err)
			return
		}
		if before != nil {
			before()
		}
		r.alerts <- a
	}))
	t.Cleanup(r.Close)
	return r
}

// expect waits for an alert that satisfies ok.
func expect(t *testing.T, alerts <-chan alert, what string, ok func(alert) bool) alert {
	t.Helper()
	deadline := time.After(patience)
	var seen []string
	for {
		select {
		case a := <-alerts:
			if ok(a) {
				return a
			}
			seen = append(seen, a.Rule)
		case <-deadline:
			t.Fatalf("no alert %s within %v; got %q", what, patience, seen)
		}
	}
}

// run runs a command and gives its output when it fails.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

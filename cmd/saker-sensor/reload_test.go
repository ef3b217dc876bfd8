package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/probe"
)

// process is saker-sensor as a process of its own.
type process struct {
	*exec.Cmd
	t     *testing.T
	lines chan string
}

// start runs saker-sensor until the test ends and waits until it watches.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	if err := probe.Check(); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), self), t: t, lines: make(chan string, 1000)}
	p.Args = append([]string{"saker-sensor"}, args...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	p.until("the sensor is watching this host")
	return p
}

// until waits for a line of the log.
func (p *process) until(text string) {
	p.t.Helper()
	for end := time.After(time.Minute); ; {
		select {
		case line, ok := <-p.lines:
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				p.t.Fatalf("the program has ended without saying %q", text)
			}
		case <-end:
			p.t.Fatalf("nothing says %q", text)
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends the program as systemd does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.until("the sensor stops")
	for range p.lines { // until it has ended
	}
	if err := p.Wait(); err != nil {
		p.t.Error(err)
	}
}

// A SIGHUP that nobody listens to would end the program.
func TestAHangUpHasTheConfigurationReadAgain(t *testing.T) {
	dir := t.TempDir()
	file, more := filepath.Join(dir, "sensor.yaml"), filepath.Join(dir, "more.d")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(more, 0o700); err != nil {
		t.Fatal(err)
	}
	base := "config_files: [" + more + "]\nstdout_output: {enabled: false}\nsyslog_output: {enabled: false}\nwebserver: {enabled: false}\n"
	write(file, base+"watch_config_files: true\n")

	p := start(t, "-c", file)
	p.signal(syscall.SIGHUP)
	p.until("the rules have been loaded anew")

	// A file that is new in a folder of settings is noticed without a signal.
	write(filepath.Join(more, "site.yaml"), "priority: critical\nengine: {modern_ebpf: {buf_size_preset: 2}}\n")
	p.until("the rules have been loaded anew")
	p.until(`come into force with a restart only" keys=[engine.modern_ebpf.buf_size_preset]`)

	write(filepath.Join(more, "site.yaml"), "priority: high\n")
	p.signal(syscall.SIGHUP)
	p.until("rules and settings cannot be loaded anew; those in force stay")
	write(filepath.Join(more, "site.yaml"), "priority: error\n")
	p.until("the rules have been loaded anew")
	p.stop()
}

// A rule that looks at what the program does would never end otherwise.
func TestAProgramThatAlertsAreGivenToCausesNone(t *testing.T) {
	dir := t.TempDir()
	rules, got, trigger := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "got"), filepath.Join(dir, "trigger")
	text := "- rule: Named\n  desc: d\n  priority: INFO\n  output: \"%proc.cmdline\"\n" +
		"  condition: evt.type in (execve, execveat) and proc.cmdline contains " + trigger + "\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-r", rules, "-o", "stdout_output.enabled=false", "-o", "syslog_output.enabled=false", "-o", "webserver.enabled=false",
		"-o", "program_output.enabled=true", "-o", "program_output.program=cat >> "+got+" # "+trigger)
	lines := func() int {
		text, err := os.ReadFile(got)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	const times = 5
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range times {
		if err := exec.Command("/bin/true", trigger).Run(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); lines() <= i; {
			if time.Now().After(end) {
				t.Fatalf("%d alerts reached the program, want %d", lines(), i+1)
			}
			<-tick.C
		}
	}
	p.stop()
	if n := lines(); n != times {
		t.Errorf("the program got %d alerts for %d events", n, times)
	}
}

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program is `saker forwarder` as a process of its own.
type program struct {
	*exec.Cmd
	log  chan string
	done chan error
}

// startForwarder runs `saker forwarder` with the configuration in file until the test
// ends, and waits until it runs. Prepare, if any, changes the command.
func startForwarder(t *testing.T, file string, prepare func(*exec.Cmd)) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.CommandContext(t.Context(), self), log: make(chan string, 1000), done: make(chan error, 1)}
	p.Args = []string{"saker", "forwarder", "-c", file, "--data-dir", t.TempDir()}
	p.Env = append(os.Environ(), "LISTENADDRESS=127.0.0.1", "LISTENPORT=0", "UI_LISTENPORT=0")
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(p.Cmd)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.log <- lines.Text()
		}
		close(p.log)
		p.done <- p.Wait()
	}()
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.until(t, "the forwarder has started")
	return p
}

// until waits for a line of the log with text in it and returns it.
func (p *program) until(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var all []string
	for {
		select {
		case line, ok := <-p.log:
			if !ok {
				t.Fatalf("the program has ended without the line %q:\n%s", text, strings.Join(all, "\n"))
			}
			all = append(all, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("the log has no line with %q:\n%s", text, strings.Join(all, "\n"))
		}
	}
}

func (p *program) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the program does not end")
		return nil
	}
}

func writeConfig(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAHangUpMakesTheForwarderReadItsFileAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saker.yaml")
	writeConfig(t, file, "customtags: [a]\n")
	p := startForwarder(t, file, nil)
	hangUp := func() {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	writeConfig(t, file, "outputs: {out: {type: stdout, enabled: true}}\n")
	hangUp()
	if line := p.until(t, "the new configuration is in force"); !strings.Contains(line, "outputs_added=[out]") {
		t.Error(line)
	}
	writeConfig(t, file, "customtags: [a]\ncustomtag: [b]\n")
	hangUp()
	p.until(t, file+":2: customtag: unknown key (did you mean customtags?)")
	p.until(t, "the new configuration was not taken up, the one before stays in force")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.end(t); err != nil {
		t.Error(err)
	}
}

// Whoever closes the window of a program expects the program to end.
func TestTheForwarderEndsWithItsTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saker.yaml")
	writeConfig(t, file, "")
	master, terminal := openTerminal(t)
	p := startForwarder(t, file, func(c *exec.Cmd) {
		c.Stdin = terminal
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	})
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the forwarder stops")
	if err := p.end(t); err != nil {
		t.Error(err)
	}
}

// openTerminal returns the two ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (master io.Closer, terminal *os.File) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	fd := int(ptmx.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ptmx, terminal
}

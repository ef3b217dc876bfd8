package outputstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is a real server to run beside a test.
type Program struct {
	// Path is where the distribution installs it. For a server that is built from source it
	// is empty and Module names the folder below servers/ that pins it; such servers run
	// only when the environment has SAKER_E2E=1.
	Path, Module string
	// Args returns its arguments, given the address to listen on and an empty folder for
	// what it stores.
	Args func(address, dir string) []string
	// Env are variables for it, beside the test's own.
	Env []string
	// User is the account it runs as when the test is root, which then owns the folder; ""
	// for the test's own.
	User string
	// Prepare, if set, runs before it starts: it writes configuration, or makes a database.
	Prepare func(t *testing.T, address, dir string)
	// Ready is the path that answers 200 once the server is up: "/-/ready". IsUp, if set,
	// is asked instead: it returns nil once the server is up.
	Ready string
	IsUp  func(ctx context.Context, address string) error
}

// How long a server may take to be up, and to end when it is told to.
const (
	startTime = 60 * time.Second
	stopTime  = 10 * time.Second
)

// Start runs p on a free loopback port, waits until it is ready and returns its base URL.
// It ends with the test. Without the program the test is skipped, or fails when the
// environment has SAKER_TEST_REQUIRE=1.
func Start(t *testing.T, p Program) string {
	t.Helper()
	return "http://" + StartAddress(t, p)
}

// StartAddress is Start for a server that speaks another protocol; it returns its address,
// host:port.
func StartAddress(t *testing.T, p Program) string {
	t.Helper()
	if p.Module != "" {
		p.Path = build(t, p.Module)
	}
	if _, err := os.Stat(p.Path); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") == "1" {
			t.Fatalf("the test needs %s: %v", p.Path, err)
		}
		t.Skipf("the test needs %s, which is not installed", p.Path)
	}
	// Between our closing a free port and the server's opening it somebody may take it.
	const attempts = 3
	for i := 1; ; i++ {
		address, output, err := p.start(t)
		if err == nil {
			return address
		}
		if i == attempts {
			t.Fatalf("start %s: %v; it said:\n%s", p.Path, err, output)
		}
	}
}

// build builds the server that servers/module pins, which is the tool that its go.mod
// names, and returns the program's path in Go's build cache.
func build(t *testing.T, module string) string {
	t.Helper()
	if os.Getenv("SAKER_E2E") != "1" {
		t.Skip("builds a server from source; runs with SAKER_E2E=1")
	}
	_, here, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(here), "servers", module)
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"-C", folder}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = &transcript{}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("build %s: %v\n%s", module, err, cmd.Stderr)
		}
		return strings.TrimSpace(string(out))
	}
	return run("tool", "-n", run("list", "-f", "{{.ImportPath}}", "tool"))
}

func (p Program) start(t *testing.T) (address, output string, err error) {
	if address, err = freeAddress(); err != nil {
		return "", "", err
	}
	dir, account, err := p.folder(t)
	if err != nil {
		return "", "", err
	}
	if p.Prepare != nil {
		p.Prepare(t, address, dir)
	}
	ctx, stop := context.WithCancel(context.Background())
	said := &transcript{}
	cmd := exec.CommandContext(ctx, p.Path, p.Args(address, dir)...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.SysProcAttr = account
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		stop()
		return "", "", err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is told to end, so that how it ended says nothing
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	if err := p.waitReady(address, ended); err != nil {
		stop()
		<-ended
		return "", said.String(), err
	}
	return address, "", nil
}

// folder makes the server's folder, and says as whom it runs.
func (p Program) folder(t *testing.T) (string, *syscall.SysProcAttr, error) {
	account := As(t, p.User)
	if account == nil {
		return t.TempDir(), nil, nil
	}
	// Not t.TempDir, whose parents other users may not enter.
	dir, err := os.MkdirTemp("", "saker-"+p.User+"-") //nolint:usetesting // for the reason above
	if err != nil {
		return "", nil, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir, account, os.Chown(dir, int(account.Credential.Uid), int(account.Credential.Gid))
}

// As lets a program run as the user of that name; it is nil for "" and when the test is not
// root, so that the program runs as the test does.
func As(t *testing.T, name string) *syscall.SysProcAttr {
	t.Helper()
	if name == "" || os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	id := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id(u.Uid), Gid: id(u.Gid)}}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// waitReady asks the server until it is up.
func (p Program) waitReady(address string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := p.isUp(ctx, address)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("the server ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", err)
		case <-again.C:
		}
	}
}

func (p Program) isUp(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if p.IsUp != nil {
		return p.IsUp(ctx, address)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+p.Ready, http.NoBody)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}

// Accepts reports whether something listens at address; it is an IsUp for servers that are
// ready as soon as they do.
func Accepts(ctx context.Context, address string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// transcript keeps the beginning of what a program says.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p[:min(len(p), max(0, most-t.text.Len()))])
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

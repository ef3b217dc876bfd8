package outputstest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is a real server to run beside a test.
type Program struct {
	// Path is where the distribution installs it.
	Path string
	// Args returns its arguments, given the address to listen on and an empty folder for
	// what it stores.
	Args func(address, dir string) []string
	// Ready is the path that answers 200 once the server is up: "/-/ready".
	Ready string
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
	if _, err := os.Stat(p.Path); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") == "1" {
			t.Fatalf("the test needs %s: %v", p.Path, err)
		}
		t.Skipf("the test needs %s, which is not installed", p.Path)
	}
	// Between our closing a free port and the server's opening it somebody may take it.
	const attempts = 3
	for i := 1; ; i++ {
		url, output, err := p.start(t)
		if err == nil {
			return url
		}
		if i == attempts {
			t.Fatalf("start %s: %v; it said:\n%s", p.Path, err, output)
		}
	}
}

func (p Program) start(t *testing.T) (url, output string, err error) {
	address, err := freeAddress()
	if err != nil {
		return "", "", err
	}
	ctx, stop := context.WithCancel(context.Background())
	said := &transcript{}
	cmd := exec.CommandContext(ctx, p.Path, p.Args(address, t.TempDir())...)
	cmd.Stdout, cmd.Stderr = said, said
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
	if err := waitReady("http://"+address+p.Ready, ended); err != nil {
		stop()
		<-ended
		return "", said.String(), err
	}
	return "http://" + address, "", nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// waitReady polls url until it answers 200.
func waitReady(url string, ended <-chan struct{}) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if res, err := client.Get(url); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			return errors.New("the server ended before it was ready")
		case <-timeout.C:
			return errors.New("the server was not ready in time")
		case <-again.C:
		}
	}
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

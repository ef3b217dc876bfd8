package runtimes_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/runtimes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// missing skips a test for want of something, or fails it where the tests are required.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("SAKER_TEST_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// need skips the test unless it may run containers with these programs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("containers are not started with -short")
	}
	if os.Geteuid() != 0 {
		missing(t, "only root can start containers")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, "%s is not installed", p)
		}
	}
	if _, err := os.Stat(busybox); err != nil {
		missing(t, "the static busybox is not installed")
	}
}

const busybox = "/bin/busybox"

// rootfs is the one layer of the tests' image: a static busybox and nothing else.
func rootfs(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "data"} {
		write(t, w, tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	write(t, w, tar.Header{Name: "bin/busybox", Mode: 0o755}, content)
	for _, applet := range []string{"sh", "sleep", "true", "cat"} {
		write(t, w, tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return layer.Bytes()
}

func write(t *testing.T, w *tar.Writer, h tar.Header, content []byte) {
	t.Helper()
	h.Size = int64(len(content))
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
}

// run runs a program to its end and returns what it prints.
func run(t *testing.T, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// output runs a program to its end and returns all that it prints.
func output(stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// watch runs a Watcher for the test.
func watch(t *testing.T, c runtimes.Config, r *container.Resolver) *runtimes.Watcher {
	t.Helper()
	w := runtimes.New(c, runtimes.Options{Resolver: r, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// daemon starts a program that ends with the test, and returns once the socket exists.
func daemon(t *testing.T, socket, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: %s", name, text[max(0, len(text)-2000):])
		}
	})
	eventually(t, name+" listens", func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v", name, err)
		default:
		}
		_, err := os.Stat(socket)
		return err
	})
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// short returns a folder with a path short enough for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sk") //nolint:usetesting // its paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(fmt.Errorf("something is left behind: %w", err))
		}
	})
	return dir
}

package report

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"testing"
)

// childURL and childSpool tell the test binary to be a sensor that gets killed.
const (
	childURL   = "REPORT_TEST_CHILD_URL"
	childSpool = "REPORT_TEST_CHILD_SPOOL"
)

// runChild reports alerts for ever if the process is the child of the test below. It
// prints a line whenever more of them are in the spool.
func runChild() {
	if os.Getenv(childSpool) == "" {
		return
	}
	t := &testing.B{}
	c := testConfig(t, os.Getenv(childURL))
	c.Spool.Dir = os.Getenv(childSpool)
	r, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	go func() { _ = r.Run(context.Background()) }()
	spooled := uint64(0)
	for n := 0; ; {
		s := r.Stats()
		if s.Queued < laneCapacity/2 && s.SpoolAlerts < 10000 {
			r.Report(alertNumber(n))
			n++
		}
		if s.Spooled >= spooled+100 {
			spooled = s.Spooled
			os.Stdout.WriteString("more\n")
		}
	}
}

func TestAlertsSurviveKill9(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childURL+"=http://127.0.0.1:1", childSpool+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	const more = 5
	for range more {
		if !lines.Scan() {
			t.Fatalf("the child ends early: %v", lines.Err())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed

	srv := newReceiver(t, nil)
	c := testConfig(t, srv.URL)
	c.Spool.Dir = dir
	start(t, c, Options{})
	srv.expect(0, more*100)
}

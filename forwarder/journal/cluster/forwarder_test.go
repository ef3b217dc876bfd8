package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

// forwarderVariable holds, in the environment of a process that a test started, what it is
// to deliver.
const forwarderVariable = "SAKER_TEST_FORWARDER"

type forwarderConfig struct{ URL, Prefix, Output string }

// runForwarder delivers to its standard output until it is killed: the sequence and UUID
// of each event, which it then acknowledges.
func runForwarder(text string) {
	var c forwarderConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	ctx := context.Background()
	j, err := open(ctx, configFor(c.URL, c.Prefix, 3), slog.New(slog.DiscardHandler), shortWait)
	if err != nil {
		panic(err)
	}
	consumer, err := j.consumer(ctx, c.Output, event.None)
	if err != nil {
		panic(err)
	}
	go func() { // the test is gone
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	for {
		ds, err := consumer.Fetch(ctx, perFetch, 0, time.Second)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for _, d := range ds {
			fmt.Println(d.Sequence, d.Event.UUID)
			_ = d.Ack()
		}
	}
}

// perFetch is how many events the tests' forwarders take at once.
const perFetch = 20

// got is an event that a forwarder delivered.
type got struct {
	sequence uint64
	uuid     string
}

// childForwarder runs a forwarder in a process of its own, which tells what it delivers,
// until kill kills it.
func childForwarder(t *testing.T, c forwarderConfig, told func(got)) (kill func()) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), forwarderVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			sequence, id, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.ParseUint(sequence, 10, 64)
			if err != nil || len(id) != 36 {
				continue // a line that the kill cut off
			}
			told(got{n, id})
		}
	}()
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	t.Cleanup(kill)
	return kill
}

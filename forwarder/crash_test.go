package forwarder

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/config"
)

// childEnv makes the test binary run a forwarder, with the configuration it holds.
const childEnv = "SAKER_TEST_FORWARDER"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(runChild(text))
	}
	goleak.VerifyTestMain(m)
}

// runChild runs a forwarder until it is killed, and prints where it takes events.
func runChild(text string) int {
	l, err := LoadConfig(config.Source{File: "child.yaml", Text: []byte(text)})
	if err == nil {
		err = Run(context.Background(), l, Options{
			Log: quiet, Ready: func(a Addresses) { fmt.Println(a.Ingest) },
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startChild runs a forwarder as a process of its own.
func startChild(t *testing.T, text string) (addr string, kill func()) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+text)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = child.Process.Kill() // SIGKILL
		_ = child.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

// burst is what senders have sent.
type burst struct {
	mu       sync.Mutex
	accepted map[string]bool // by rule
	enough   chan struct{}   // closed once there are as many as wanted
}

// send posts n events in requests of 20 until all are sent or the forwarder is gone, and
// closes enough when the first wanted of them are accepted.
func (s *burst) send(t *testing.T, url string, n, wanted int) (wait func()) {
	t.Helper()
	const perRequest = 20
	var next atomic.Int64
	var senders sync.WaitGroup
	c := client(t, nil)
	for range 4 {
		senders.Go(func() {
			for {
				first := int(next.Add(perRequest)) - perRequest
				if first >= n {
					return
				}
				var body strings.Builder
				for i := range perRequest {
					body.WriteString(alert(first + i))
				}
				resp, err := c.Post(url, "", strings.NewReader(body.String()))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					s.note(first, perRequest, wanted)
				}
			}
		})
	}
	return senders.Wait
}

func (s *burst) note(first, n, wanted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.accepted)
	for i := range n {
		s.accepted[fmt.Sprintf("rule %d", first+i)] = true
	}
	if before < wanted && len(s.accepted) >= wanted {
		close(s.enough)
	}
}

func TestNoAcceptedEventIsLostWhenTheProcessIsKilledInABurst(t *testing.T) {
	r := newReceiver(t)
	r.slow(2 * time.Millisecond)
	text := fmt.Sprintf("listenaddress: 127.0.0.1\nlistenport: 0\nui: {enabled: false}\ndatadir: %q\n"+
		"webhook: {address: %q, maxconcurrentrequests: 8}", t.TempDir(), r.URL)
	addr, kill := startChild(t, text)
	s := &burst{accepted: map[string]bool{}, enough: make(chan struct{})}
	wait := s.send(t, "http://"+addr, 10000, 8000)
	select {
	case <-s.enough:
	case <-time.After(30 * time.Second):
		t.Error("the events were not accepted in time")
	}
	kill()
	wait()
	before := len(r.wait(t, 1))
	r.slow(0)
	startChild(t, text)
	for {
		got := r.wait(t, 0)
		arrived := map[string]bool{}
		for _, e := range got {
			arrived[e.Rule] = true
		}
		missing := 0
		for rule := range s.accepted {
			if !arrived[rule] {
				missing++
			}
		}
		if missing == 0 {
			t.Logf("%d events were accepted and %d delivered before the kill; %d were delivered in all, %d of them twice",
				len(s.accepted), before, len(got), len(got)-len(arrived))
			return
		}
		r.wait(t, len(got)+missing)
	}
}

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The ports of a site and of an endpoint. Each has a loopback address of its own, so that
// nobody takes its port while it is down.
const (
	ingestPort   = 2801
	pagePort     = 2802
	endpointPort = 8080
)

// token lets the tests in; only who has one keeps the UUIDs of its events.
const token = "the-token-of-the-tests"

var addresses atomic.Int64

// ownAddress returns a loopback address that nobody else has.
func ownAddress() string {
	pid, n := os.Getpid(), addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&127, pid&255, n)
}

// site is a forwarder with its configuration and data, which a test starts, stops and kills
// as it likes. When the test fails, it shows the seed and the end of the forwarder's log.
type site struct {
	*testing.T
	address    string
	config     string   // file
	data, logs string   // folder and file
	inside     []string // command that runs the forwarder, if any
	seed       uint64
	random     *rand.Rand

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// newSite prepares a forwarder with the given configuration, beside its addresses.
func newSite(t *testing.T, format string, args ...any) *site {
	t.Helper()
	s := &site{T: t, address: ownAddress(), data: t.TempDir(), logs: filepath.Join(t.TempDir(), "log"), seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("SAKER_E2E_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.seed = seed
	}
	s.random = rand.New(rand.NewPCG(s.seed, 0))
	s.configure(format, args...)
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("SAKER_E2E_SEED=%d; the forwarder's log ends with:\n%s", s.seed, s.log(20_000))
		}
	})
	return s
}

// configure writes the configuration, at once for whoever reads it.
func (s *site) configure(format string, args ...any) {
	s.Helper()
	if s.config == "" {
		s.config = filepath.Join(s.TempDir(), "saker.yaml")
	}
	text := fmt.Sprintf("listenaddress: %s\nlistenport: %d\nui: {listenaddress: %s, listenport: %d}\nauth: {token: %s}\n",
		s.address, ingestPort, s.address, pagePort, token)
	if err := os.WriteFile(s.config+".new", fmt.Appendf([]byte(text), format, args...), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(s.config+".new", s.config); err != nil {
		s.Fatal(err)
	}
}

// run starts the forwarder and waits until it takes events.
func (s *site) run() {
	s.Helper()
	s.launch()
	s.eventually("the forwarder takes events", s.ready)
}

// launch starts the forwarder.
func (s *site) launch() {
	s.Helper()
	logs, err := os.OpenFile(s.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer logs.Close()
	args := append(slices.Clone(s.inside), programs["saker"], "forwarder", "-c", s.config, "--data-dir", s.data)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	s.cmd, s.ended = cmd, ended
}

// ready asks the forwarder whether it takes events.
func (s *site) ready() error {
	status, body, err := s.get(s.ingest("readyz"))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/readyz answers %d: %s", status, body)
	}
	return err
}

func (s *site) ingest(path string) string {
	return fmt.Sprintf("http://%s:%d/%s", s.address, ingestPort, path)
}

func (s *site) page() string { return fmt.Sprintf("http://%s:%d", s.address, pagePort) }

// client asks the forwarder about itself. It keeps no connections, so that it holds up no
// stop.
var client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

func (s *site) get(url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// kill ends the forwarder as kill -9 does.
func (s *site) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// stop ends the forwarder as an operator does, who expects it to end by itself and well.
func (s *site) stop() {
	s.Helper()
	s.signal(syscall.SIGTERM)
	s.waitEnd()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.Errorf("the forwarder ended with status %d after SIGTERM", code)
	}
}

func (s *site) signal(sig syscall.Signal) {
	s.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.Fatal(err)
	}
}

// waitEnd waits until the forwarder has ended.
func (s *site) waitEnd() {
	s.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.Fatalf("the forwarder has not ended after %v", patience)
	}
}

// log is the end of what the forwarder has said, at most so many bytes.
func (s *site) log(most int) string {
	text, err := os.ReadFile(s.logs)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// said counts the lines of the log that hold text.
func (s *site) said(text string) int {
	all, err := os.ReadFile(s.logs)
	if err != nil {
		s.Fatal(err)
	}
	return bytes.Count(all, []byte(text))
}

// metric returns the sum of the series whose line begins so, and whether there are any.
func (s *site) metric(series string) (sum float64, found bool, err error) {
	_, body, err := s.get(s.ingest("metrics"))
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, series) {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			return 0, false, err
		}
		sum, found = sum+v, true
	}
	return sum, found, nil
}

// mustMetric is metric where there must be one.
func (s *site) mustMetric(series string) float64 {
	s.Helper()
	v, found, err := s.metric(series)
	if err != nil {
		s.Fatal(err)
	}
	if !found {
		s.Fatalf("there is no metric %s", series)
	}
	return v
}

// count is metric where no series means that nothing has happened.
func (s *site) count(series string) float64 {
	s.Helper()
	v, _, err := s.metric(series)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// memory is the forwarder's resident memory in MiB.
func (s *site) memory() int {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		s.Fatal(err)
	}
	return kib >> 10
}

var errNotYet = errors.New("not yet")

// eventually asks again and again until there is no error any more. It fails early when
// the forwarder has ended.
func (s *site) eventually(what string, ask func() error) {
	s.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-s.ended:
			s.Fatalf("%s: the forwarder has ended, %v", what, s.cmd.ProcessState)
		case <-deadline:
			s.Fatalf("%s: not within %v: %v", what, patience, err)
		}
	}
}

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The rules of the test's own, about programs and files of its own.
const (
	markerRule = "Marker of the flood"
	baitRule   = "Bait opened"
	lureRule   = "Lure opened"
	dropRule   = "Falco internal: syscall event drop"
)

const floodRules = `
- rule: %[2]s
  desc: The test's own.
  condition: evt.type = execve and proc.name = flood-marker and proc.exepath startswith %[1]s
  output: A marker (number=%%proc.args)
  priority: WARNING
- rule: %[3]s
  desc: The test's own.
  condition: evt.type in (open, openat, openat2) and fd.name = %[1]s/bait
  output: The bait was opened
  priority: WARNING
- rule: %[4]s
  desc: The test's own.
  condition: evt.type in (open, openat, openat2) and fd.name = %[1]s/lure
  output: The lure was opened (name=%%proc.name parent=%%proc.pname ancestor=%%proc.aname[2] path=%%proc.exepath command=%%proc.cmdline)
  priority: WARNING
`

// flood is a sensor whose limits are low, and what it is flooded with.
type flood struct {
	dir    string
	port   int // of the sensor's status
	sensor *process
	hook   *receiver
	marked int // markers that were run so far
	// alerts are those that have arrived, by rule.
	alerts map[string][]alert
}

// newFlood starts the sensor.
func newFlood(t *testing.T) *flood {
	t.Helper()
	f := &flood{dir: t.TempDir(), port: freePort(t), hook: newReceiver(t, nil), alerts: map[string][]alert{}}
	for _, name := range []string{"flood-marker", "flood-parent", "flood-child", "flood-agent"} {
		if err := os.Link(programs["trigger"], f.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"quiet", "bait", "lure"} {
		if err := os.WriteFile(f.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.sensor = start(t, "saker-sensor",
		"-r", writeFile(t, "flood_rules.yaml", fmt.Sprintf(floodRules, f.dir, markerRule, baitRule, lureRule)),
		"-o", "stdout_output.enabled=false", "-o", "syslog_output.enabled=false",
		"-o", "http_output.enabled=true", "-o", "http_output.url="+f.hook.URL, "-o", "spool.dir="+t.TempDir(),
		"-o", "webserver.listen_port="+strconv.Itoa(f.port),
		"-o", "rule_limit.rate=100", "-o", "rule_limit.burst=500", "-o", "rule_limit.summary_interval=1",
	)
	f.sensor.waitFor(t, "watching this host")
	return f
}

func (f *flood) path(name string) string { return filepath.Join(f.dir, name) }

// run runs a program of the test's folder.
func (f *flood) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), f.path(name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// mark runs a marker, which has the next number.
func (f *flood) mark(t *testing.T) {
	t.Helper()
	f.run(t, "flood-marker", strconv.Itoa(f.marked))
	f.marked++
}

// await keeps the alerts that arrive until there is what is waited for.
func (f *flood) await(t *testing.T, what string, enough func() bool) {
	t.Helper()
	// Alerts tell that there is more to look at, and counts change without any.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !enough() {
		select {
		case a := <-f.hook.alerts:
			f.alerts[a.Rule] = append(f.alerts[a.Rule], a)
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s within %v; %d of %d markers have arrived; the sensor counts:\n%s",
				what, patience, f.markers(), f.marked, strings.Join(f.metrics(t, "saker_sensor_events_total"), "\n"))
		}
	}
}

// markers is how many different markers have been told of.
func (f *flood) markers() int {
	seen := map[string]bool{}
	for _, a := range f.alerts[markerRule] {
		seen[a.Output] = true
	}
	return len(seen)
}

// allMarkers says that each marker has been told of.
func (f *flood) allMarkers() bool { return f.markers() == f.marked }

// metrics are the lines of the sensor's metrics that hold all of the texts.
func (f *flood) metrics(t *testing.T, texts ...string) []string {
	t.Helper()
	client := http.Client{Timeout: patience}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", f.port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "#") && !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// count is the sum of the metrics that hold all of the texts.
func (f *flood) count(t *testing.T, texts ...string) int {
	t.Helper()
	sum := 0.0
	for _, line := range f.metrics(t, texts...) {
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += n
	}
	return int(sum)
}

// resident is how much memory the sensor takes, in bytes.
func (f *flood) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.sensor.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// signal sends a signal to the sensor.
func (f *flood) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := f.sensor.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Whatever floods the sensor, it goes on to see which programs run, tells what it could not
// look at, and is the same as before once the flood is over: once, or for ten minutes where
// there is time for it.
func TestTheSensorSurvivesFloods(t *testing.T) {
	needRoot(t)
	rounds := 1
	if os.Getenv("SAKER_SOAK") != "" {
		rounds = 50
	}
	f := newFlood(t)
	for range rounds {
		t.Run("fork bomb", f.forkBomb)
		t.Run("opens", f.opens)
		t.Run("alerts", f.burst)
		t.Run("afterwards", f.afterwards)
	}
}

// forkBomb runs a bomb that may have a limited number of processes, and markers beside it.
func (f *flood) forkBomb(t *testing.T) {
	const ticks, most = 50, 200
	fuse := writeFile(t, "fuse", "")
	group := ownCgroup(t, most)
	before := f.count(t, "saker_sensor_events_total", `fate="seen"`, `type="execve"`)
	// A shell that cannot fork gives up, and with it what it was to start.
	bomb := exec.CommandContext(t.Context(), "sh", "-c", `while [ -e "$FUSE" ]; do sh -c "$BOMB"; done`)
	bomb.Env = append(os.Environ(), "FUSE="+fuse, "GROUP="+group, `BOMB=
		echo $$ > $GROUP/cgroup.procs
		bomb() { while [ -e "$FUSE" ]; do /bin/true; bomb & done; }
		bomb`)
	if err := bomb.Start(); err != nil {
		t.Fatal(err)
	}
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for range ticks {
		f.mark(t)
		<-every.C
	}
	if err := os.Remove(fuse); err != nil {
		t.Fatal(err)
	}
	_ = bomb.Wait() // what it ends with says nothing
	f.await(t, "alert of each marker beside a fork bomb", f.allMarkers)
	execs := f.count(t, "saker_sensor_events_total", `fate="seen"`, `type="execve"`) - before
	if execs < 20*ticks {
		t.Errorf("the bomb was a dud: %d programs ran beside %d markers", execs, ticks)
	}
	t.Logf("%d programs ran, %d markers among them", execs, ticks)
}

// opens floods the sensor with opens that only it can judge. While they come it is held up
// once, so that more of them wait than there is room for.
func (f *flood) opens(t *testing.T) {
	const ticks = 50
	shed := func() int { return f.count(t, "saker_sensor_events_total", `fate="shed"`, `type="openat"`) }
	before := shed()
	load := exec.CommandContext(t.Context(), programs["trigger"], "open-flood", f.dir+"/../"+filepath.Base(f.dir)+"/quiet", "2")
	until, err := load.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := load.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	steps := bufio.NewScanner(out)
	f.signal(t, syscall.SIGSTOP)
	f.mark(t)
	for range 3 { // of 100 000 opens, of which a tenth would fill the room for them
		if !steps.Scan() {
			t.Fatalf("the flood ends early: %v", steps.Err())
		}
		f.mark(t)
	}
	agent := startAgent(t, f.path("flood-agent"), "agent")
	f.signal(t, syscall.SIGCONT)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for range ticks {
		f.mark(t)
		<-every.C
	}
	if err := errors.Join(until.Close(), load.Wait()); err != nil {
		t.Fatal(err)
	}
	f.await(t, "alert of each marker beside a flood of opens", f.allMarkers)
	if shed() == before {
		t.Errorf("no open was left out: nothing was held up")
	}
	for _, kind := range []string{"execve", "fork", "procexit"} {
		fates := map[string]int{}
		for _, fate := range []string{"seen", "shed", "lost"} {
			fates[fate] = f.count(t, "saker_sensor_events_total", `type="`+kind+`"`, `fate="`+fate+`"`)
		}
		if fates["seen"] == 0 || fates["shed"]+fates["lost"] > 0 {
			t.Errorf("events of type %s: %v", kind, fates)
		}
	}
	f.await(t, "alert that opens were left out", func() bool { return len(f.alerts[dropRule]) > 0 })

	// What was started in the flood is known as well as anything.
	if err := agent.do("/", nil, f.path("flood-child"), "read", f.path("lure")); err != nil {
		t.Fatal(err)
	}
	f.await(t, "alert of a program that was started in the flood", func() bool { return len(f.alerts[lureRule]) > 0 })
	f.expectLure(t, "flood-child", "flood-agent", commOf(os.Getpid()))
}

// burst causes many more alerts than a rule may.
func (f *flood) burst(t *testing.T) {
	const times = 20_000
	matched := func() int {
		return f.count(t, "saker_sensor_rule_matched_total", `rule="`+baitRule+`"`)
	}
	shed := func() int { return f.count(t, "saker_sensor_events_total", `fate="shed"`) }
	matchedBefore, shedBefore := matched(), shed()
	f.run(t, "flood-child", "open-times", f.path("bait"), strconv.Itoa(times))
	f.mark(t)
	f.await(t, "alert of the marker after the burst", f.allMarkers) // what came before it was looked at
	if n, less := matched()-matchedBefore, shed()-shedBefore; n > times || n+less < times {
		t.Errorf("the rule has matched %d times and %d events were left out; the file was opened %d times", n, less, times)
	}
	var told, suppressed int
	f.await(t, "alerts and summaries that add up to what the rule has matched", func() bool {
		told, suppressed = 0, 0
		for _, a := range f.alerts[baitRule] {
			if n, ok := a.OutputFields["saker.suppressed"].(float64); ok {
				suppressed += int(n)
			} else {
				told++
			}
		}
		return told+suppressed >= matched()
	})
	if n := matched(); told+suppressed != n || suppressed == 0 {
		t.Errorf("%d alerts, and %d that summaries speak of, for %d matches", told, suppressed, n)
	}
	t.Logf("%d alerts, %d that summaries speak of", told, suppressed)
}

// afterwards everything is as it was.
func (f *flood) afterwards(t *testing.T) {
	f.run(t, "flood-parent", "spawn", f.path("flood-child"), "read", f.path("lure"))
	f.await(t, "alert of an open after the flood", func() bool { return len(f.alerts[lureRule]) > 0 })
	f.expectLure(t, "flood-child", "flood-parent", commOf(os.Getpid()))
	if n := f.count(t, "saker_sensor_alerts_dropped_total"); n != 0 {
		t.Errorf("%d alerts were given up", n)
	}
	const most = 160 << 20
	f.await(t, fmt.Sprintf("memory below %d MiB", most>>20), func() bool { return f.resident(t) < most })
	t.Logf("the sensor takes %d MiB", f.resident(t)>>20)
}

// expectLure says what is wrong with the alert about the lure, and forgets it.
func (f *flood) expectLure(t *testing.T, name, parent, ancestor string) {
	t.Helper()
	a := f.alerts[lureRule][0]
	f.alerts[lureRule] = nil
	for field, want := range map[string]string{
		"proc.name": name, "proc.pname": parent, "proc.aname[2]": ancestor, "proc.exepath": f.path(name),
		"proc.cmdline": name + " read " + f.path("lure"),
	} {
		if got := a.OutputFields[field]; got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

// ownCgroup makes a control group of version 1 or 2 that may have so many processes. At the
// end of the test what is left in it is killed.
func ownCgroup(t *testing.T, most int) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		m := strings.Fields(line)
		unified := m[2] == "cgroup2"
		if !unified && (m[2] != "cgroup" || !slices.Contains(strings.Split(m[3], ","), "pids")) {
			continue
		}
		if unified && os.WriteFile(filepath.Join(m[1], "cgroup.subtree_control"), []byte("+pids"), 0) != nil {
			continue
		}
		group := filepath.Join(m[1], fmt.Sprintf("saker-e2e-flood-%d", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeCgroup(t, group) })
		if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte(strconv.Itoa(most)), 0); err != nil {
			t.Fatal(err)
		}
		return group
	}
	missing(t, "a limit of processes needs the controller pids")
	return ""
}

// removeCgroup kills what is in a control group until it can be removed.
func removeCgroup(t *testing.T, group string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		pids, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for text := range strings.FieldsSeq(string(pids)) {
			if pid, err := strconv.Atoi(text); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if err := os.Remove(group); err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	t.Errorf("the control group %s cannot be removed", group)
}

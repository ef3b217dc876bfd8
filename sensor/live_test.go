package sensor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/probe"
)

// patience is how long something may take on a machine that is busy with other things.
const patience = 30 * time.Second

// alert is what a test looks at of an alert.
type alert struct {
	Rule, Output, Priority, Source string
	Tags                           []string
	Fields                         map[string]any `json:"output_fields"`
}

// running is a sensor that watches this machine's kernel, with rules of the test's own.
type running struct {
	t      *testing.T
	rules  string // path
	reload chan struct{}
	alerts chan alert
	log    *logLines
	stop   func() error
}

// logLines is a log that can be waited for.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// until waits for a text to be there n times.
func (l *logLines) until(t *testing.T, text string, n int) {
	t.Helper()
	end := time.After(patience)
	for l.count(text) < n {
		select {
		case <-l.more:
		case <-end:
			t.Fatalf("the log lacks %q (%d times):\n%s", text, n, l.text.String())
		}
	}
}

// value waits for a line and returns what it says of an attribute.
func (l *logLines) value(t *testing.T, text, attribute string) string {
	t.Helper()
	l.until(t, text, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, line, _ := strings.Cut(l.text.String(), text)
	_, value, _ := strings.Cut(line, attribute+"=")
	value, _, _ = strings.Cut(value, "\n")
	return value
}

// startLive starts a sensor and waits until it watches. Settings are in the form of
// falco.yaml.
func startLive(t *testing.T, rules, settings string) *running {
	t.Helper()
	if err := probe.Check(); err != nil {
		if os.Getenv("SAKER_TEST_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	r := &running{
		t: t, rules: filepath.Join(t.TempDir(), "rules.yaml"), reload: make(chan struct{}),
		alerts: make(chan alert, 20_000), log: &logLines{more: make(chan struct{}, 1)},
	}
	r.write(rules)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		for dec := json.NewDecoder(req.Body); ; {
			var a alert
			if err := dec.Decode(&a); err != nil {
				if err != io.EOF {
					t.Errorf("the sensor posts what is no alert: %v", err)
				}
				return
			}
			r.alerts <- a
		}
	}))
	t.Cleanup(server.Close)
	c, _, err := sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte(settings), Set: []string{
		"rules_files=" + r.rules, "stdout_output.enabled=false", "syslog_output.enabled=false",
		"http_output.enabled=true", "http_output.url=" + server.URL, "http_output.batch=100", "spool.dir=" + t.TempDir(),
		// What others do on a busy machine must neither crowd out what the test does nor cause alerts.
		"engine.modern_ebpf.buf_size_preset=6", "syscall_event_drops.actions=ignore",
	}, Environ: []string{"SENSOR_WEBSERVER_LISTEN_PORT=0"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- sensor.Run(ctx, c, sensor.Options{
			Log: slog.New(slog.NewTextHandler(r.log, nil)), Reload: r.reload, Ready: func(sensor.Started) { close(ready) },
		})
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = r.stop() })
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	return r
}

func (r *running) write(rules string) {
	r.t.Helper()
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// next returns the next alert.
func (r *running) next() alert {
	r.t.Helper()
	select {
	case a := <-r.alerts:
		return a
	case <-time.After(patience):
		r.t.Fatalf("no alert came; the log:\n%s", r.log.text.String())
		return alert{}
	}
}

// open has another process open a file a number of times.
func open(t *testing.T, path string, times int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt "$1" ]; do : < "$2"; i=$((i+1)); done`, "sh", fmt.Sprint(times), path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// file makes a file for a trigger.
func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "watched")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func opens(name, path string) string {
	return fmt.Sprintf("- rule: %s\n  desc: d\n  priority: WARNING\n  tags: [t1]\n  output: opened %%fd.name\n  condition: evt.type in (open, openat, openat2) and fd.name = %s\n", name, path)
}

func TestRulesAreExchangedWhileTheSensorRuns(t *testing.T) {
	before, after := file(t), file(t)
	r := startLive(t, opens("Before", before), "")
	open(t, before, 1)
	if a := r.next(); a.Rule != "Before" {
		t.Fatalf("got %+v", a)
	}
	// A change of the file is enough.
	r.write(opens("After", after))
	r.log.until(t, "the rules have been loaded anew", 1)
	open(t, before, 1)
	open(t, after, 1)
	if a := r.next(); a.Rule != "After" || a.Fields["fd.name"] != after {
		t.Fatalf("got %+v", a)
	}

	// Rules with a mistake change nothing, and that is told with its place.
	r.write("- rule: Broken\n  desc: d\n  priority: INFO\n  output: o\n  condition: evt.type = open and proc.nmae = x\n")
	a := r.next()
	if a.Rule != "Saker internal: rules not loaded" || a.Source != "internal" || !strings.Contains(a.Output, r.rules+":5:") {
		t.Fatalf("got %+v", a)
	}
	open(t, after, 1)
	if a := r.next(); a.Rule != "After" {
		t.Fatalf("got %+v", a)
	}

	// What is asked for happens without a change too.
	r.write(opens("Again", after))
	r.reload <- struct{}{}
	r.log.until(t, "the rules have been loaded anew", 2)
	open(t, after, 1)
	if a := r.next(); a.Rule != "Again" {
		t.Fatalf("got %+v", a)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestNoEventIsLostWhileRulesAreExchanged(t *testing.T) {
	const times = 5000
	path := file(t)
	r := startLive(t, opens("Kept", path), "watch_config_files: false\nrule_limit: {rate: 0}\noutputs_queue: {capacity: 20000}")
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		open(t, path, times)
	}()
	reloads := 0
	for working := true; working; reloads++ {
		more := ""
		if reloads%2 == 0 { // other kinds of event, so that the kernel's interest changes too
			more = "- rule: Other\n  desc: d\n  priority: INFO\n  output: o\n  condition: evt.type in (connect, rename, unlink) and proc.name = nobody\n"
		}
		r.write(opens("Kept", path) + more)
		r.reload <- struct{}{}
		r.log.until(t, "the rules have been loaded anew", reloads+1)
		select {
		case <-opened:
			working = false
		default:
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	got := 0
	for len(r.alerts) > 0 {
		if a := <-r.alerts; a.Rule == "Kept" {
			got++
		}
	}
	if got != times {
		t.Errorf("%d alerts of %d came through %d reloads; the log:\n%s", got, times, reloads, r.log.text.String())
	}
}

func TestAStormOfAlertsIsSummedUp(t *testing.T) {
	storm, quiet := file(t), file(t)
	r := startLive(t, opens("Storm", storm)+opens("Quiet", quiet), "rule_limit: {rate: 0.001, burst: 3}")
	open(t, storm, 500)
	open(t, quiet, 1)
	for range 3 {
		if a := r.next(); a.Rule != "Storm" {
			t.Fatalf("got %+v", a)
		}
	}
	if a := r.next(); a.Rule != "Quiet" {
		t.Fatalf("got %+v", a)
	}
	// What is left to tell is told at the end.
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	a := r.next()
	if a.Rule != "Storm" || a.Priority != "Warning" || a.Source != "syscall" || len(a.Tags) != 1 || a.Fields["saker.suppressed"] != 497. ||
		!strings.Contains(a.Output, `497 more alerts of the rule "Storm"`) {
		t.Errorf("the summary is %+v", a)
	}
}

// An alert about what is done to report alerts would cause the next one.
func TestReportingAlertsCausesNone(t *testing.T) {
	path := file(t)
	loop := "- rule: Loop\n  desc: d\n  priority: INFO\n  output: \"%evt.type by %proc.name\"\n" +
		"  condition: evt.type in (connect, accept, accept4, sendto, sendmsg, recvfrom, recvmsg, open, openat, rename, unlink) and proc.exepath = " + self(t) + "\n"
	r := startLive(t, opens("First", path)+loop, "http_output: {keep_alive: false}")
	for range 20 {
		open(t, path, 1)
		if a := r.next(); a.Rule != "First" {
			t.Fatalf("got %+v", a)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if len(r.alerts) > 0 {
		t.Errorf("%d more came: %+v", len(r.alerts), <-r.alerts)
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStaticFieldsAreKnownToRules(t *testing.T) {
	path := file(t)
	rules := strings.Replace(opens("Here", path), "opened %fd.name", "at %static.site", 1) + opens("There", path)
	rules = strings.Replace(rules, "fd.name = ", "static.site = berlin and fd.name = ", 1)
	r := startLive(t, rules, "static_fields: {site: berlin}")
	open(t, path, 1)
	if a := r.next(); a.Rule != "Here" || a.Fields["static.site"] != "berlin" || !strings.Contains(a.Output, "at berlin") {
		t.Errorf("got %+v", a)
	}
}

func TestTheSensorTellsHowItIs(t *testing.T) {
	path := file(t)
	r := startLive(t, opens("Counted", path), "metrics: {enabled: true, interval: 100ms}")
	open(t, path, 1)
	for {
		a := r.next()
		if a.Rule == "Falco internal: metrics snapshot" && a.Fields["falco.rules.Counted"] == 1. {
			break
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r = startLive(t, opens("Counted", path), "")
	address := r.log.value(t, "the sensor's status is served", "address")
	open(t, path, 1)
	r.next()
	body := fetch(t, "http://"+address+"/metrics")
	for _, want := range []string{
		`falcosecurity_falco_rules_matches_total{priority="4",rule_name="Counted",source="syscall",tag_t1="true"} 1`,
		`falcosecurity_falco_evt_source_info{evt_source="syscall"} 1`, `saker_sensor_events_total{fate="seen",type="openat"} `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s:\n%s", want, body)
		}
	}
	if body := fetch(t, "http://"+address+"/healthz"); body != `{"status": "ok"}` {
		t.Errorf("the health is %s", body)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

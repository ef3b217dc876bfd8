package status

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, -want +got:\n%s", path, diff)
	}
}

var start = time.Unix(1_700_000_000, 0)

func sample() Snapshot {
	return Snapshot{
		Version: "1.2.3", EngineVersion: "0.63.0", Hostname: "node-1", Kernel: "6.18.0", Started: start,
		Sources: []string{"syscall", "k8s_audit"},
		Events: []Events{
			{Type: "execve", Seen: 10}, {Type: "openat", Seen: 1000, Filtered: 900, Shed: 5, Lost: 7},
		},
		Received: 98, Malformed: 1, Missed: 2, Unwatched: 3, Other: map[string]uint64{"k8s_audit": 12},
		Rules: []Rule{
			{Name: "Read \"secrets\"", Source: "syscall", Priority: event.Warning, Tags: []string{"T1555", "mitre_credential_access", "a-b", "a.b"}, Evaluated: 50, Matched: 4, Time: 1500 * time.Microsecond},
			{Name: "Never", Source: "k8s_audit", Priority: event.Emergency, Evaluated: 5},
		},
		Alerts: 4, Suppressed: 2,
		Processes: Processes{Known: 80, Bytes: 4096, Evicted: 1, Healed: 2, HealMissed: 3, HealRefused: 4},
		Report: Report{
			Sent: map[string]uint64{"http": 3}, Dropped: map[Drop]uint64{{"http", "spool_full"}: 6},
			Retried: 1, Spooled: 2, Queued: 3, SpoolAlerts: 4, SpoolBytes: 512,
		},
		Files:   []File{{"/etc/saker/rules.yaml", "abc123"}},
		Reloads: 1, FailedReloads: 2, LastReload: start.Add(time.Hour),
		Extra: []Value{{Name: "saker_sensor_map_bytes", Help: "Memory of the probe's maps.", Number: 1 << 20}},
	}
}

func options() Options {
	return Options{
		Config: Config{Healthz: "/healthz", Prometheus: true}, Log: slog.New(slog.DiscardHandler),
		Health: func() error { return nil }, Snapshot: sample, Plugins: map[string]string{"k8saudit": "0.7.0"},
	}
}

func get(t *testing.T, o Options, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestKubernetesIsToldWhetherTheSensorLives(t *testing.T) {
	o := options()
	if code, body := get(t, o, "/healthz"); code != http.StatusOK || body != `{"status": "ok"}` {
		t.Errorf("got %d %s", code, body)
	}
	o.Health = func() error { return errors.New("the loop is stuck") }
	if code, body := get(t, o, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "the loop is stuck") {
		t.Errorf("got %d %s", code, body)
	}
	o.Config.Healthz = "/live"
	if code, _ := get(t, o, "/live"); code != http.StatusServiceUnavailable {
		t.Errorf("the path of the configuration answers %d", code)
	}
	if code, _ := get(t, o, "/healthz"); code != http.StatusNotFound {
		t.Errorf("another path answers %d", code)
	}
}

func TestThePathOfTheHealthCheckIsOneThatCanBeServed(t *testing.T) {
	for path, good := range map[string]bool{
		"/healthz": true, "/": true, "/live/": true, "/a/b": true, "/%zz": true,
		"": false, "healthz": false, "/a//b": false, "/../a": false, "/a/./b": false, "/a b": false, "/{x}": false,
		"/metrics": false, "/versions": false,
	} {
		o := options()
		o.Config.Healthz = path
		if err := o.Config.Validate(); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
		if good {
			Handler(o) // does not panic
		}
	}
}

// falcoctl reads engine_version_semver to choose rules.
func TestFalcoctlFindsTheVersionOfTheEngine(t *testing.T) {
	code, body := get(t, options(), "/versions")
	var got struct {
		Semver  string            `json:"engine_version_semver"`
		Engine  string            `json:"engine_version"`
		Plugins map[string]string `json:"plugin_versions"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if got.Semver != "0.63.0" || got.Engine != "63" || got.Plugins["k8saudit"] != "0.7.0" {
		t.Errorf("got %+v", got)
	}
}

func TestMetricsHaveFalcosNamesWhereThereAreAny(t *testing.T) {
	code, body := get(t, options(), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	var own strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "falcosecurity_") || strings.Contains(line, "saker_") {
			own.WriteString(line)
		}
	}
	golden(t, "metrics.golden", own.String())
	o := options()
	o.Config.Prometheus = false
	if code, _ := get(t, o, "/metrics"); code != http.StatusNotFound {
		t.Errorf("metrics that are off answer %d", code)
	}
}

func TestASnapshotIsAnAlertOfFalcos(t *testing.T) {
	file := filepath.Join(t.TempDir(), "metrics.jsonl")
	teller := NewTeller(Metrics{Rules: true, KernelEvents: true, State: true, OutputFile: file})
	first := teller.Alert(sample(), start.Add(10*time.Second))
	if first.Rule != "Falco internal: metrics snapshot" || first.Output != "Falco metrics snapshot" || first.Priority != event.Informational {
		t.Errorf("got %+v", first)
	}
	later := sample()
	later.Received += 50
	later.Events[1].Seen, later.Events[1].Lost = 1200, 57
	second := teller.Alert(later, start.Add(15*time.Second))
	for _, e := range []event.Event{first, second} {
		if err := teller.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.golden", strings.ReplaceAll(string(text), `,"`, ",\n\""))
}

func TestASnapshotLeavesOutWhatIsNotWanted(t *testing.T) {
	names := func(m Metrics) string {
		var all []string
		e := NewTeller(m).Alert(sample(), start.Add(time.Minute))
		for _, f := range e.Fields {
			all = append(all, f.Name)
		}
		return strings.Join(all, " ")
	}
	if all := names(Metrics{}); strings.Contains(all, "scap.") || strings.Contains(all, "falco.rules.") || strings.Contains(all, "memory") {
		t.Errorf("nothing was asked for, and told is %s", all)
	}
	if all := names(Metrics{Resources: true, Megabytes: true}); !strings.Contains(all, "falco.memory_rss_mb") || !strings.Contains(all, "falco.host_num_cpus") {
		t.Errorf("of resources told is %s", all)
	}
	if all := names(Metrics{Rules: true}); strings.Contains(all, "falco.rules.Never") {
		t.Errorf("a rule without alerts is told: %s", all)
	}
	if all := names(Metrics{Rules: true, Empty: true}); !strings.Contains(all, "falco.rules.Never") {
		t.Errorf("a rule without alerts is not told: %s", all)
	}
}

func TestTheServerAnswersUntilItIsStopped(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o := options()
	o.Config.Address = "127.0.0.1"
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	o.Ready = func(a net.Addr) { ready <- a }
	go func() { done <- Serve(ctx, o) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + (<-ready).String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if closing := resp.Body.Close(); err != nil || closing != nil || string(body) != `{"status": "ok"}` {
		t.Errorf("got %q %v %v", body, err, closing)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenDoesNotEndTheSensor(t *testing.T) {
	defer goleak.VerifyNone(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan struct{}, 1)
	o := options()
	o.Config.Address, o.Config.Port = "127.0.0.1", taken.Addr().(*net.TCPAddr).Port
	o.Log = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		if strings.Contains(string(line), "cannot be served yet") {
			told <- struct{}{}
		}
		return len(line), nil
	}), nil))
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, o) }()
	<-told
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestACertificateThatIsMissingIsAnError(t *testing.T) {
	o := options()
	o.Config.TLS, o.Config.Certificate = true, filepath.Join(t.TempDir(), "none.pem")
	if err := Serve(t.Context(), o); err == nil || !strings.Contains(err.Error(), "load the certificate of the web server") {
		t.Errorf("got %v", err)
	}
}

package interest_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
	"github.com/saker-security/saker/sensor/rules"
)

// watcher is a sensor in small: a probe with its own process table and evaluator.
type watcher struct {
	// folder is where the programs of the workload are: other tests may run beside.
	folder    string
	probe     *probe.Probe
	judge     *interest.Judge // nil gives no verdicts
	source    *syscalls.Source
	evaluator *rules.Evaluator
	// alerts counts each alert of a process of the workload, by what it says.
	alerts map[string]int
	// records are those of the workload.
	records, verdicts int
	errors            []error
}

func newWatcher(t *testing.T, folder string, rs *rules.Ruleset, in probe.Interest, judge *interest.Judge) *watcher {
	t.Helper()
	table := process.NewTable(process.Options{Env: !in.OmitEnv})
	w := &watcher{
		folder: folder, judge: judge, source: syscalls.New(syscalls.Options{Processes: table, Hostname: "node"}),
		evaluator: rs.NewEvaluator(syscalls.SourceName), alerts: make(map[string]int),
	}
	var err error
	if w.probe, err = probe.Open(probe.Options{Interest: in, RingSize: 32 << 20}); err != nil {
		needKernel(t, err)
	}
	t.Cleanup(func() { w.probe.Close() })
	if err := table.Seed(); err != nil {
		t.Fatal(err)
	}
	return w
}

// needKernel ends a test that the kernel refuses to run.
func needKernel(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("SAKER_TEST_REQUIRE") == "1" {
		t.Fatal(err)
	}
	t.Skipf("the kernel cannot be watched here: %v", err)
}

func (w *watcher) handle(rec *probe.Record) {
	ev := w.source.Event(rec)
	if w.isWorkload(ev.Proc) {
		w.records++
	}
	for _, m := range w.evaluator.Evaluate(ev) {
		if w.isWorkload(ev.Proc) {
			text, _ := m.Format()
			w.alerts[fmt.Sprintf("%s: %d %s", m.Rule.Name, rec.PID, text)]++
		}
	}
	if w.judge == nil || !w.judge.Concerns(rec.Kind) || ev.Proc.ExecID != rec.ExecID {
		return
	}
	if cannot := w.judge.Cannot(ev); cannot != 0 {
		w.verdicts++
		if err := w.probe.Judge(rec.PID, rec.Start, rec.ExecID, cannot); err != nil {
			w.errors = append(w.errors, err)
		}
	}
}

func (w *watcher) isWorkload(p *process.Process) bool {
	return strings.HasPrefix(p.Image.Path, w.folder)
}

// The kernel's filter changes nothing but the number of records: what is done at random under
// the eyes of two probes, of which one filters and passes verdicts, leads to the same alerts.
func TestFilteringInTheKernelChangesNoAlert(t *testing.T) {
	if os.Geteuid() != 0 {
		needKernel(t, os.ErrPermission)
	}
	rng := rand.New(rand.NewPCG(7, 11))
	g := conditions{Rand: rng, registry: syscalls.NewRegistry(nil), steady: true}
	sets := map[string]*rules.Ruleset{
		"our rules": load(t, rules.File{Name: defaultrules.Name, Content: defaultrules.YAML}),
	}
	for n := range 4 {
		sets[fmt.Sprintf("random rules %d", n)] = randomRules(t, g)
	}
	if os.Getenv("SAKER_UPSTREAM_RULES") != "" {
		sets["upstream's rules"] = load(t, upstreamFiles(t, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")...)
	}
	for seed, name := range slices.Sorted(maps.Keys(sets)) {
		t.Run(name, func(t *testing.T) { compare(t, sets[name], uint64(seed)) })
	}
}

// randomRules are rules of random conditions whose outputs show what the events were.
func randomRules(t *testing.T, g conditions) *rules.Ruleset {
	t.Helper()
	const output = "%evt.type %proc.name %proc.cmdline %evt.res %fd.num %fd.name %fd.nameraw %evt.arg.flags %fd.l4proto %fd.typechar"
	var content strings.Builder
	for i := range 12 {
		fmt.Fprintf(&content, "- rule: R%d\n  desc: d\n  condition: >-\n    %s\n  output: '%s'\n  priority: NOTICE\n", i, g.rule(), output)
	}
	rs, err := g.load(content.String())
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// compare runs a workload under both probes; what was lost under load is tried again.
func compare(t *testing.T, rs *rules.Ruleset, seed uint64) {
	const attempts = 3
	for range attempts {
		if lost := compareOnce(t, rs, seed); lost == 0 {
			return
		}
	}
	t.Skipf("the machine is too busy: records were lost %d times", attempts)
}

func compareOnce(t *testing.T, rs *rules.Ruleset, seed uint64) (lost uint64) {
	t.Helper()
	in, judge := interest.From(rs)
	whole := in
	whole.Clauses = nil
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	start := func(w *watcher) *watcher {
		running.Go(func() {
			if err := w.probe.Run(ctx, w.handle); err != nil {
				w.errors = append(w.errors, err)
			}
		})
		return w
	}
	folder := t.TempDir()
	watchers := []*watcher{start(newWatcher(t, folder, rs, in, judge)), start(newWatcher(t, folder, rs, whole, nil))}
	runWorkload(t, folder, seed)
	stop()
	running.Wait()
	for _, w := range watchers {
		stats, err := w.probe.Stats()
		if err != nil {
			t.Fatal(err)
		}
		lost += stats.Lost + stats.Shed + stats.Missed
		if len(w.errors) > 0 {
			t.Fatal(w.errors[0])
		}
	}
	if lost > 0 {
		return lost
	}
	filtered, all := watchers[0], watchers[1]
	t.Logf("%d records of %d, %d kinds of alert, %d verdicts", filtered.records, all.records, len(all.alerts), filtered.verdicts)
	if filtered.records > all.records {
		t.Errorf("the filter lets %d records through, without it there are %d", filtered.records, all.records)
	}
	differ := 0
	for text, n := range all.alerts {
		if filtered.alerts[text] != n {
			if differ++; differ < 10 {
				t.Errorf("%d alerts with the filter, %d without: %s", filtered.alerts[text], n, text)
			}
		}
	}
	for text := range filtered.alerts {
		if all.alerts[text] == 0 {
			t.Errorf("only with the filter: %s", text)
		}
	}
	if t.Failed() {
		for _, r := range rs.Rules() {
			t.Log(r.Name, r.Condition)
		}
		t.Log(interest.Text(in, judge))
	}
	return 0
}

// runWorkload starts this test's own program under several names in dir, see workload.
func runWorkload(t *testing.T, dir string, seed uint64) {
	t.Helper()
	for _, d := range []string{"bin", "etc/sub", "home/u/.ssh"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"ssh", "nginx", "b"} {
		program := filepath.Join(dir, "bin", name)
		if i == 0 {
			err = os.WriteFile(program, own, 0o755)
		} else {
			err = os.Link(filepath.Join(dir, "bin", "ssh"), program)
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, program, "-test.run=none")
		cmd.Dir = filepath.Join(dir, "home/u")
		cmd.Env = []string{fmt.Sprintf("%s=%d", workloadEnv, seed+uint64(i)), "A=ssh"}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err = cmd.Run()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out.String())
		}
	}
}

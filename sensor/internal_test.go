package sensor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
)

func TestLossesAreToldAtTheRateThatIsSet(t *testing.T) {
	type step struct {
		after      time.Duration
		seen, lost uint64
		want       string
	}
	every := 5 * time.Second
	for name, tt := range map[string]struct {
		drops Drops
		steps []step
	}{
		"nothing lost is nothing told": {Drops{Rate: 1, MaxBurst: 1}, []step{{every, 100, 0, ""}, {every, 200, 0, ""}}},
		"any loss is told at once":     {Drops{Rate: 1, MaxBurst: 1}, []step{{every, 100, 1, "1 of 100"}}},
		"what came too soon is told together": {Drops{Rate: 1.0 / 30, MaxBurst: 1}, []step{
			{every, 100, 1, "1 of 100"},
			{every, 200, 3, ""},
			{every, 300, 6, ""},
			{20 * time.Second, 400, 6, "5 of 300"},
			{every, 500, 6, ""},
		}},
		"a loss below the threshold is none": {Drops{Threshold: .1, Rate: 1, MaxBurst: 1}, []step{
			{every, 1000, 100, ""}, {every, 2000, 201, "101 of 1000"},
		}},
		"without a burst nothing is ever told": {Drops{Rate: 1}, []step{{every, 100, 50, ""}, {time.Hour, 200, 100, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			l := newLosses(tt.drops, now)
			for i, s := range tt.steps {
				now = now.Add(s.after)
				got := ""
				// One half was shed, and one kind came later than the other.
				counts := kernelCounts{probe.KindOpenat: {Seen: s.seen, Shed: s.lost / 2}}
				if s.lost > 0 {
					counts[probe.KindConnect] = probe.KindStats{Lost: s.lost - s.lost/2}
				}
				if r, due := l.look(counts, now); due {
					alert := lossAlert(now, r)
					fields := map[string]string{}
					for _, f := range alert.Fields {
						fields[f.Name], _ = f.Value.Str()
					}
					got = fields["n_drops"] + " of " + fields["n_evts"]
					if n := r.byType(); n["openat"] != r.shed || n["connect"] != r.full || r.lost() != n["openat"]+n["connect"] {
						t.Errorf("step %d: of %+v the types have %v", i, r, n)
					}
				}
				if got != s.want {
					t.Errorf("step %d tells %q, want %q", i, got, s.want)
				}
			}
		})
	}
}

func TestALoopThatHangsIsFound(t *testing.T) {
	kernel, other := &loop{source: "syscall"}, &loop{source: "k8s_audit"}
	now := time.Now()
	p := newPulse([]*loop{kernel, other}, now)
	check := func(after time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		err := p.check(now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check(time.Hour, "") // no event in an hour is no fault
	other.enter()
	check(time.Second, "")
	check(stuckAfter, "")
	check(time.Second, "the loop of k8s_audit events has been stuck for 31s")
	other.leave()
	check(time.Second, "")
	other.enter()
	check(time.Hour, "") // it is another event than the last time
	other.leave()
	kernel.enter()
	kernel.leave()
	check(time.Hour, "")
}

func TestBothSetsOfRulesGetTheirEventsWhileOneTakesTheOthersPlace(t *testing.T) {
	a := probe.Interest{
		Kinds:   []probe.Kind{probe.KindOpen, probe.KindConnect},
		Clauses: []probe.Clause{{Kinds: []probe.Kind{probe.KindOpen}}}, OmitEnv: true, OmitData: true, OmitOpenPaths: true,
	}
	b := probe.Interest{Kinds: []probe.Kind{probe.KindConnect, probe.KindExecve}, Threads: true, OmitData: true}
	got := either(a, b)
	if !slices.Equal(got.Kinds, []probe.Kind{probe.KindExecve, probe.KindOpen, probe.KindConnect}) {
		t.Errorf("the kinds are %v", got.Kinds)
	}
	if got.Clauses != nil {
		t.Errorf("a filter is left: %+v", got)
	}
	if !got.Threads || got.OmitEnv || !got.OmitData || got.OmitOpenPaths {
		t.Errorf("what is reported of an event is %+v", got)
	}
}

func TestCountsOfRulesSurviveAReload(t *testing.T) {
	load := func(text string) *engine {
		t.Helper()
		files := []rules.File{{Name: "rules.yaml", Content: []byte(text)}}
		set, _, err := rules.Load(files, Registries(), rules.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &engine{set: set, evaluators: map[string]*rules.Evaluator{"syscall": set.NewEvaluator("syscall")}}
	}
	rule := func(name string) string {
		return "- rule: " + name + "\n  desc: d\n  priority: INFO\n  output: o\n  condition: evt.type = open\n"
	}
	var c counts
	first, second := load(rule("kept")+rule("gone")), load(rule("kept")+rule("new"))
	c.retire(first)
	for k, r := range c.retired {
		t.Errorf("%v was never tried and is remembered as %+v", k, r)
	}
	// What an evaluator has counted is the evaluator's business; here it is put in.
	c.retired[countKey{"syscall", "kept"}] = ruleCount{}.Rule
	for _, name := range []string{"kept", "gone"} {
		r := c.retired[countKey{"syscall", name}]
		r.Name, r.Source, r.Evaluated, r.Matched, r.Time = name, "syscall", 7, 3, time.Second
		c.retired[countKey{"syscall", name}] = r
	}
	var got []string
	for _, r := range c.all(second) {
		got = append(got, r.Name)
		if want := map[string]uint64{"kept": 3, "gone": 3, "new": 0}[r.Name]; r.Matched != want {
			t.Errorf("%s has matched %d, want %d", r.Name, r.Matched, want)
		}
	}
	if !slices.Equal(got, []string{"gone", "kept", "new"}) {
		t.Errorf("the rules are %v", got)
	}
}

func TestWhatAReloadTakesUpIsToldFromWhatNeedsARestart(t *testing.T) {
	for key, want := range map[string]bool{
		"rules_files": true, "rules": true, "rules[0].enable.rule": true, "append_output[1].match.tags": true,
		"rule_limit.rate": true, "static_fields": true, "log_level": true,
		"engine.kind": false, "http_output.url": false, "rules_folder": false, "webserver.listen_port": false,
	} {
		if live(key) != want {
			t.Errorf("live(%q) is %t", key, !want)
		}
	}
}

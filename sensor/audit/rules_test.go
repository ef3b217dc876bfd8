package audit_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sources() map[string]*fields.Registry {
	return map[string]*fields.Registry{audit.SourceName: audit.NewRegistry()}
}

func loadRules(tb testing.TB, files ...rules.File) (*rules.Ruleset, *rules.Report) {
	tb.Helper()
	set, report, err := rules.Load(files, sources(), rules.Options{All: true, MinPriority: event.Debug, SuggestedOutput: true})
	if err != nil {
		tb.Fatalf("the rules do not load: %v\n%s", err, report.Text())
	}
	return set, report
}

func ours() rules.File {
	return rules.File{Name: defaultrules.AuditName, Content: defaultrules.AuditYAML}
}

// upstream is Falco's rules file on audit events, from the folder that SAKER_UPSTREAM_RULES
// names.
func upstream(tb testing.TB) rules.File {
	tb.Helper()
	folder := os.Getenv("SAKER_UPSTREAM_RULES")
	if folder == "" {
		tb.Skip("SAKER_UPSTREAM_RULES does not name a folder with Falco's rules files")
	}
	content, err := os.ReadFile(filepath.Join(folder, "k8s_audit_rules.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return rules.File{Name: "k8s_audit_rules.yaml", Content: content}
}

// recorded are the audit events that a real API server (v1.37.2) wrote about one action each,
// by the action's name.
func recorded(tb testing.TB) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob("testdata/events/*.jsonl")
	if err != nil || len(names) == 0 {
		tb.Fatalf("there are no recorded events: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".jsonl")] = text
	}
	return all
}

// message is an alert's text, values its output fields.
func message(a event.Event) string {
	_, text, _ := strings.Cut(a.Output, ": "+a.Priority.String()+" ")
	return text
}

func values(a event.Event) string {
	var b strings.Builder
	for i, f := range a.Fields {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%s", f.Name, f.Value.Text())
	}
	return b.String()
}

// alertsOf are the alerts for each recorded action, as text.
func alertsOf(t *testing.T, set *rules.Ruleset, fired map[string]bool, show func(event.Event) string) string {
	t.Helper()
	judge := audit.NewJudge(set, "node-1")
	all := recorded(t)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "== %s\n", name)
		for line := range bytes.Lines(all[name]) {
			found, err := judge.Judge(line)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, a := range found {
				fired[a.Rule] = true
				fmt.Fprintf(&b, "%s | %s | %s\n", a.Priority, a.Rule, show(a))
			}
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew, then look at what changed:\n%s", file, difference(string(want), got))
	}
}

// difference lists the lines that only one text has.
func difference(want, got string) string {
	var b strings.Builder
	for sign, texts := range map[string][2]string{"-": {want, got}, "+": {got, want}} {
		other := strings.Split(texts[1], "\n")
		for line := range strings.SplitSeq(texts[0], "\n") {
			if !slices.Contains(other, line) {
				fmt.Fprintln(&b, sign, line)
			}
		}
	}
	return b.String()
}

func TestEveryShippedRuleFiresOnWhatARealAPIServerSays(t *testing.T) {
	restricted := rules.File{Name: "images.yaml", Content: []byte(`
- list: audit_allowed_images
  items: [busybox, alpine, nginx]
- macro: audit_images_are_restricted
  condition: (ka.auditid exists)
`)}
	set, _ := loadRules(t, ours(), restricted)
	fired := map[string]bool{}
	golden(t, "saker.golden", alertsOf(t, set, fired, message))
	for _, r := range set.Rules() {
		if !fired[r.Name] {
			t.Errorf("no recorded event makes %q fire", r.Name)
		}
	}
}

var technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

func TestTheShippedRulesLoadWithoutAWarningAndSayWhatToDo(t *testing.T) {
	set, report := loadRules(t, ours())
	for _, w := range report.Files[0].Warnings {
		t.Errorf("unexpected warning: %s", w)
	}
	for _, r := range set.Rules() {
		what, hint, ok := strings.Cut(strings.Join(strings.Fields(r.Desc), " "), " What to do: ")
		if !ok || len(what) < 60 || len(hint) < 20 || !strings.HasSuffix(hint, ".") {
			t.Errorf("%s: the description does not say what it means and, at its end, what to do: %q", r.Name, r.Desc)
		}
		if !slices.ContainsFunc(r.Tags, technique.MatchString) || !slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.HasPrefix(tag, "mitre_") }) {
			t.Errorf("%s lacks a MITRE tactic or technique: %v", r.Name, r.Tags)
		}
	}
}

// Whatever the control plane does by itself is no alert, or the rules would only make noise.
func TestWhatTheControlPlaneDoesIsNoAlert(t *testing.T) {
	set, _ := loadRules(t, ours())
	judge := audit.NewJudge(set, "")
	for _, user := range []string{
		"system:apiserver", "system:kube-controller-manager", "system:node:node-1",
		"system:serviceaccount:kube-system:daemon-set-controller",
	} {
		for name, text := range recorded(t) {
			if strings.HasPrefix(name, "anonymous") || name == "impersonate" {
				continue
			}
			// Shells and credentials in configmaps count whoever asks for them.
			if slices.Contains([]string{"exec", "attach", "portforward", "ephemeral", "configmap_credentials"}, name) {
				continue
			}
			text = bytes.ReplaceAll(text, []byte(`"username":"admin"`), []byte(`"username":"`+user+`"`))
			text = bytes.ReplaceAll(text, []byte(`"username":"bob"`), []byte(`"username":"`+user+`"`))
			text = bytes.ReplaceAll(text, []byte(`"namespace":"default"`), []byte(`"namespace":"kube-system"`))
			for line := range bytes.Lines(text) {
				found, err := judge.Judge(line)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range found {
					t.Errorf("%s by %s: %s", name, user, a.Output)
				}
			}
		}
	}
}

func TestAJudgeWorksForManyAtOnce(t *testing.T) {
	set, _ := loadRules(t, ours())
	judge := audit.NewJudge(set, "node-1")
	body, err := os.ReadFile("testdata/posted/pods.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := judge.Judge(body)
	if err != nil || len(want) == 0 {
		t.Fatalf("%d alerts, %v", len(want), err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				got, err := judge.Judge(body)
				if err != nil || len(got) != len(want) || got[0].UUID != want[0].UUID || got[0].Output != want[0].Output {
					t.Errorf("got %+v, %v", got, err)
					return
				}
			}
		})
	}
	all.Wait()
	if _, err := judge.Judge([]byte("{}")); err == nil {
		t.Error("a body that has no audit events is taken")
	}
}

// switchedOn overrides what keeps five of upstream's rules silent until a user has set them
// up.
const switchedOn = `
- macro: allowed_k8s_containers
  condition: (ka.req.pod.containers.image.repository in (busybox))
- macro: consider_all_events
  condition: (jevt.rawtime exists)
- macro: allowed_full_admin_users
  condition: (jevt.rawtime = 0)
- macro: allow_all_k8s_nodes
  condition: (jevt.rawtime = 0)
`

func TestEveryUpstreamRuleFiresOnWhatARealAPIServerSays(t *testing.T) {
	set, report := loadRules(t, upstream(t))
	if got := len(set.Rules()); got != 48 {
		t.Errorf("%d rules, want 48", got)
	}
	for _, w := range report.Files[0].Warnings {
		// Falco gives these too: lists and macros that are there for users to override.
		if w.Code != rules.WarnUnusedList && w.Code != rules.WarnUnusedMacro {
			t.Errorf("unexpected warning: %s", w)
		}
	}
	fired := map[string]bool{}
	golden(t, "upstream.golden", alertsOf(t, set, fired, values))
	set, _ = loadRules(t, upstream(t), rules.File{Name: "on.yaml", Content: []byte(switchedOn)})
	alertsOf(t, set, fired, message)
	for _, r := range set.Rules() {
		if !fired[r.Name] {
			t.Errorf("no recorded event makes %q fire", r.Name)
		}
	}
}

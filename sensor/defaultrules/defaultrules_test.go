package defaultrules_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/defaultrules"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/ruletest"
)

func registries() map[string]*fields.Registry {
	return map[string]*fields.Registry{syscalls.SourceName: syscalls.NewRegistry(nil)}
}

func shipped([]string) ([]rules.File, error) {
	return []rules.File{{Name: defaultrules.Name, Content: defaultrules.YAML}}, nil
}

func load(t *testing.T) []*rules.Rule {
	t.Helper()
	files, err := shipped(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, report, err := rules.Load(files, registries(), rules.Options{MinPriority: event.Debug})
	if err != nil {
		t.Fatalf("the shipped rules do not load: %v", err)
	}
	for _, file := range report.Files {
		for _, w := range file.Warnings {
			t.Errorf("the shipped rules load with a warning: %s", w.Message)
		}
	}
	return set.Rules()
}

// testFile is where the tests of a rule are.
func testFile(rule string) string {
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(rule), "-")
	return filepath.Join("tests", name+".yaml")
}

func TestEveryShippedRuleFiresAndStaysSilentAsItsTestsSay(t *testing.T) {
	used := map[string]bool{}
	for _, rule := range load(t) {
		file := testFile(rule.Name)
		used[file] = true
		t.Run(rule.Name, func(t *testing.T) {
			fired, silent := 0, 0
			ruletest.Run([]string{file}, ruletest.Options{Registries: registries(), ReadRules: shipped}, func(r ruletest.Result) {
				if r.Status != ruletest.Passed {
					t.Errorf("%s:%d: %s: %s\n%s", r.File, r.Line, r.Status, r.Name, r.Message)
				}
				if slices.ContainsFunc(r.Alerts, func(a ruletest.Alert) bool { return a.Rule == rule.Name }) {
					fired++
				}
				if len(r.Alerts) == 0 {
					silent++
				}
			})
			if fired == 0 || silent == 0 {
				t.Errorf("%s has %d tests in which the rule fires and %d without an alert, want one of each at least", file, fired, silent)
			}
		})
	}
	found, err := filepath.Glob(filepath.Join("tests", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if !used[file] {
			t.Errorf("%s belongs to no rule", file)
		}
	}
}

var (
	tactic    = regexp.MustCompile(`^mitre_[a-z]+(_[a-z]+)*$`)
	technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
)

func TestEveryShippedRuleSaysWhatItMeansAndWhatToDo(t *testing.T) {
	for _, rule := range load(t) {
		what, hint, ok := strings.Cut(strings.Join(strings.Fields(rule.Desc), " "), " What to do: ")
		if !ok || len(what) < 60 || len(hint) < 20 || !strings.HasSuffix(hint, ".") {
			t.Errorf("%s: the description does not say what it means and, at its end, what to do: %q", rule.Name, rule.Desc)
		}
		for kind, matches := range map[string]func(string) bool{
			"MITRE tactic": tactic.MatchString, "MITRE technique": technique.MatchString,
			"host or container": func(tag string) bool { return tag == "host" || tag == "container" },
		} {
			if !slices.ContainsFunc(rule.Tags, matches) {
				t.Errorf("%s has no tag of a %s: %v", rule.Name, kind, rule.Tags)
			}
		}
		if len(rule.EventTypes) == 0 || len(rule.EventTypes) > 20 {
			t.Errorf("%s is asked about %d event types", rule.Name, len(rule.EventTypes))
		}
	}
}

// Text that others wrote under another licence must not come in by copying.
func TestTheShippedRulesAreNotUpstreams(t *testing.T) {
	folder := os.Getenv("SAKER_UPSTREAM_RULES")
	if folder == "" {
		t.Skip("SAKER_UPSTREAM_RULES is not set")
	}
	upstream, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(upstream) == 0 {
		t.Fatalf("no rules in %s: %v", folder, err)
	}
	theirs := map[string]bool{}
	for _, name := range upstream {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); len(line) > 60 {
				theirs[line] = true
			}
		}
	}
	for line := range strings.Lines(string(defaultrules.YAML)) {
		if theirs[strings.TrimSpace(line)] {
			t.Errorf("a line is upstream's: %s", line)
		}
	}
}

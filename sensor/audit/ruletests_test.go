package audit_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/ruletest"
)

// ruleTests is the folder with the tests of the rules that ship, a file each.
const ruleTests = "../defaultrules/audittests"

func readRules(paths []string) ([]rules.File, error) {
	var files []rules.File
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, rules.File{Name: path, Content: content})
	}
	return files, nil
}

func TestEveryShippedRuleFiresAndStaysSilentAsItsTestsSay(t *testing.T) {
	set, _ := loadRules(t, ours())
	options := ruletest.Options{Registries: sources(), ReadRules: readRules, Audit: audit.ReadEvents}
	used := map[string]bool{}
	for _, rule := range set.Rules() {
		name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(rule.Name), "-")
		file := filepath.Join(ruleTests, name+".yaml")
		used[file] = true
		t.Run(rule.Name, func(t *testing.T) {
			fired, silent := 0, 0
			ruletest.Run([]string{file}, options, func(r ruletest.Result) {
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
	found, err := filepath.Glob(filepath.Join(ruleTests, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if !used[file] {
			t.Errorf("%s belongs to no rule", file)
		}
	}
}

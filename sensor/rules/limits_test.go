package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/rules"
)

func TestWhatGrowsWithoutBoundIsRefused(t *testing.T) {
	var macros, lists strings.Builder
	for i := range 60 {
		fmt.Fprintf(&lists, "- list: l%d_\n  items: [%s]\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("l%d_, ", i+1), 40), ", "))
	}
	for name, tt := range map[string]struct{ content, want string }{
		"lists that multiply": {
			lists.String() + yamlRule("evt.type=open and proc.name in (l0_)"),
			"the condition is longer than 4194304 bytes once its lists are written out",
		},
		"a list of long lists": {
			"- list: big\n  items: [" + strings.Repeat("x", 1<<20) + "]\n- list: bigger\n  items: [big, big, big, big, big]\n",
			"the list is longer than 4194304 bytes once the lists in it are written out",
		},
		"conditions that are long together": {
			"- list: big\n  items: [" + strings.Repeat("x", 3<<20) + "]\n" + strings.Repeat(yamlRule("evt.type=open and proc.name in (big)"), 1) + manyRules(30, "evt.type=open and proc.name in (big)"),
			"the conditions are longer than 67108864 bytes once lists are written out",
		},
		"nesting": {
			yamlRule(strings.Repeat("(", 10_001) + "evt.type=open" + strings.Repeat(")", 10_001)),
			"nested more than 10000 deep",
		},
		"a file that is too large": {strings.Repeat("#", rules.MaxFile+1), "the file is larger than 16777216 bytes"},
		"macros nested too deep":   {macroTower(&macros, 10_002), "the condition with its macros is nested more than 10000 deep"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, rules.Options{}, tt.content)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v, want %s", err, tt.want)
			}
		})
	}
}

func manyRules(n int, condition string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(yamlRule(condition), "rule: R", fmt.Sprintf("rule: R%d", i), 1))
	}
	return b.String()
}

// macroTower is a chain of macros each of which alternates between "and" and "or", so that
// nothing of it can be flattened.
func macroTower(b *strings.Builder, n int) string {
	b.WriteString("- macro: m0\n  condition: proc.name=x0\n")
	for i := 1; i < n; i++ {
		op := []string{"and", "or"}[i%2]
		fmt.Fprintf(b, "- macro: m%d\n  condition: m%d %s proc.name=x%d\n", i, i-1, op, i)
	}
	fmt.Fprintf(b, "- rule: R\n  desc: d\n  condition: evt.type=open and m%d\n  output: o\n  priority: ERROR\n", n-1)
	return b.String()
}

func TestMacrosThatDoubleDoNoHarm(t *testing.T) {
	var b strings.Builder
	b.WriteString("- macro: m0\n  condition: proc.name=bash\n")
	for i := 1; i < 200; i++ {
		fmt.Fprintf(&b, "- macro: m%d\n  condition: (m%d and fd.name startswith /etc) or (m%d and fd.name endswith x%d)\n", i, i-1, i-1, i)
	}
	rs := mustLoad(t, rules.Options{}, b.String(), yamlRule("evt.type=openat and m199"))
	if got := matches(rs, shell()); len(got) != 1 {
		t.Errorf("matches %q", got)
	}
}

func TestAChainOfMacrosLoads(t *testing.T) {
	var b strings.Builder
	rs := mustLoad(t, rules.Options{}, macroTower(&b, 1500))
	if len(rs.Rules()) != 1 {
		t.Error("the rule is gone")
	}
}

func TestTheReportHasFalcosJSON(t *testing.T) {
	_, report, _ := load(t, rules.Options{}, oneLine("Ok", "evt.type=open", ""), oneLine("Bad", "evt.type=open and fd.nam=x", "")+"- list: l\n  items: []\n")
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", string(text)+"\n")
}

func TestTheErrorListsAtMostTwentyMistakes(t *testing.T) {
	_, report, err := load(t, rules.Options{}, manyRules(25, "evt.type=open and fd.nam=x"))
	if n := len(report.Files[0].Errors); n != 25 {
		t.Errorf("the report has %d errors, want 25", n)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "and 5 more errors" {
		t.Errorf("the error has %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	if want := `rules.yaml:4:23: rule "R0": condition: unknown field "fd.nam" (did you mean "fd.name"?)`; lines[0] != want {
		t.Errorf("got %q, want %q", lines[0], want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(oneLine("R", "evt.type=open and m", "") + "- macro: m\n  condition: proc.name in (l)\n- list: l\n  items: [a, b c]\n")
	f.Add("- rule: R\n  desc: d\n  condition: >\n    evt.type=open\n     and x\n  output: '%proc.name %toupper(x)'\n  priority: info\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      values: [[a], [b]]\n")
	f.Add("- rule: R\n  condition: and x\n  override: {condition: append}\n- &a {list: l, items: []}\n- *a\n---\n- required_engine_version: 3\n")
	f.Add("- required_plugin_versions: [{name: a, version: 1.2.3, alternatives: [{name: b, version: 1}]}]\n")
	sources := testSources()
	f.Fuzz(func(t *testing.T, content string) {
		rs, report, err := rules.Load([]rules.File{{Name: "f.yaml", Content: []byte(content)}}, sources, rules.Options{SuggestedOutput: true})
		if (err == nil) != (rs != nil) || report.OK() != (err == nil) {
			t.Fatalf("ruleset %v, error %v, report ok %v", rs != nil, err, report.OK())
		}
		_ = report.Text()
		if _, err := json.Marshal(report); err != nil {
			t.Fatal(err)
		}
		if rs == nil {
			return
		}
		for _, m := range rs.NewEvaluator("syscall").Evaluate(shell()) {
			m.Format()
		}
	})
}

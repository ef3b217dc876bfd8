package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

func TestExplanationsSayWhatEachPartIs(t *testing.T) {
	content := `
- list: shells
  items: [bash, zsh]
- macro: shell
  condition: evt.type=openat and proc.name in (shells)
- macro: trusted
  condition: proc.pname exists or user.uid = 0
- rule: Shell
  desc: d
  condition: shell and not trusted and toupper(proc.name) != val(evt.res) and fd.ip = 1.1.1.1
  output: o
  priority: ERROR
`
	rs := mustLoad(t, rules.Options{}, content)
	x, err := rs.Explainer("Shell")
	if err != nil {
		t.Fatal(err)
	}
	if x.Rule().Name != "Shell" {
		t.Errorf("explains %q", x.Rule().Name)
	}
	got := x.Explain(shell())
	golden(t, "testdata/explain.golden", got.String())

	ev := shell()
	ev["fd.ip"] = addrs("1.1.1.1", "2.2.2.2")
	if got := x.Explain(ev); !got.Result {
		t.Errorf("a match is explained as\n%s", got)
	}
	ev["evt.type"] = fields.Text("close")
	if got := x.Explain(ev); got.Result || got.Children[0].Result {
		t.Errorf("another event type is explained as\n%s", got)
	}

	if _, err := rs.Explainer("Shall"); err == nil || err.Error() != `there is no rule "Shall" (did you mean "Shell"?)` {
		t.Errorf("got %v", err)
	}
}

func TestExplanationsOfMacrosThatDoubleAreCut(t *testing.T) {
	var b strings.Builder
	b.WriteString("- macro: m0\n  condition: proc.name=bash\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "- macro: m%d\n  condition: (m%d and fd.num=1) or m%d\n", i, i-1, i-1)
	}
	rs := mustLoad(t, rules.Options{}, b.String(), yamlRule("evt.type=openat and m39"))
	x, err := rs.Explainer("R")
	if err != nil {
		t.Fatal(err)
	}
	if !x.Explain(shell()).Result {
		t.Error("no match")
	}
}

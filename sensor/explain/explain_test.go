package explain_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/sensor/explain"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/ruletest/written"
)

const rulesText = `
- macro: shell
  condition: (proc.name in (sh, bash))
- rule: First
  desc: d
  condition: evt.type=execve and proc.name=zsh
  output: o
  priority: ERROR
- rule: Asked
  desc: d
  condition: evt.type in (execve, connect) and (shell or proc.name=zsh) and not (user.name=root or user.uid=7) and proc.pname exists
  output: o
  priority: ERROR
- rule: Off
  desc: d
  enabled: false
  condition: evt.type=execve
  output: o
  priority: ERROR
`

// judge explains an event; with known set only those fields of it are known.
func judge(t *testing.T, rule, event string, known ...string) explain.Verdict {
	t.Helper()
	registry := written.Registry(syscalls.NewRegistry(nil))
	set, _, err := rules.Load([]rules.File{{Name: "r.yaml", Content: []byte(rulesText)}},
		map[string]*fields.Registry{syscalls.SourceName: registry}, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := explain.New(set, rule)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(event), &doc); err != nil {
		t.Fatal(err)
	}
	r := written.Reader{File: "e.yaml", Fields: registry}
	e, err := r.Event(doc.Content[0], nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	ev := explain.Event{Value: e, Source: syscalls.SourceName, Type: e.Type()}
	if known != nil {
		ev.Known = func(name string) bool { return strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") }
	}
	return x.Explain(ev)
}

func TestAVerdictSaysWhatDecides(t *testing.T) {
	for _, c := range []struct {
		name, rule, event string
		known             []string
		alert             explain.Result
		reason            string
	}{
		{"all is true", "Asked", "{evt.type: execve, proc.name: sh, proc.pname: a}", nil, explain.True, "the condition is true"},
		{
			"none of several is true", "Asked", "{evt.type: execve, proc.name: cat, proc.pname: a}", nil, explain.False,
			"the condition is false, because shell or proc.name = zsh is false",
		},
		{
			"what is negated is true", "Asked", "{evt.type: execve, proc.name: sh, proc.pname: a, user.name: root}", nil, explain.False,
			`the condition is false, because user.name = root is true: user.name is "root"`,
		},
		{"a value is missing", "Asked", "{evt.type: execve, proc.name: sh}", nil, explain.False, "the condition is false, because proc.pname exists is false"},
		{
			"another type", "Asked", "{evt.type: close, proc.name: sh}", nil, explain.False,
			"the rule is tried for events of type connect, execve, and this one is close",
		},
		{
			"another rule first", "Asked", "{evt.type: execve, proc.name: zsh, proc.pname: a}", nil, explain.False,
			`the condition is true, but the rule "First" comes first and matches too (rule_matching is first)`,
		},
		{"it is off", "Off", "{evt.type: execve}", nil, explain.False, "the condition is true, but the rule is off"},
		{
			"what is not known decides", "Asked", "{evt.type: execve, proc.name: sh, proc.pname: a}",
			[]string{"evt.type", "proc.name", "user.uid", "proc.pname"},
			explain.Unknown, "the condition depends on user.name, which the event does not tell",
		},
		{
			"what is known is enough for no", "Asked", "{evt.type: execve, proc.name: cat}",
			[]string{"proc.name"},
			explain.False, "the condition is false, because shell or proc.name = zsh is false",
		},
		{
			"what is known is enough for yes", "Off", "{evt.type: execve}",
			[]string{"evt.type"},
			explain.False, "the condition is true, but the rule is off",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(t, c.rule, c.event, c.known...)
			if v.Alert != c.alert || v.Reason != c.reason {
				t.Errorf("got %s: %s\nwant %s: %s", v.Alert, v.Reason, c.alert, c.reason)
			}
		})
	}
}

func TestAnEventThatComesCloserAgreesMore(t *testing.T) {
	near := judge(t, "Asked", "{evt.type: execve, proc.name: cat, proc.pname: a}").Agreement()
	far := judge(t, "Asked", "{evt.type: close, proc.name: cat, user.name: root}").Agreement()
	if all := judge(t, "Asked", "{evt.type: execve, proc.name: sh, proc.pname: a}").Agreement(); far >= near || near >= all || all != 1 {
		t.Errorf("far %v, near %v, all %v", far, near, all)
	}
}

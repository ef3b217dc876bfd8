package rules_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

// format returns text and fields of the one rule with the given output.
func format(t *testing.T, opts rules.Options, output string, ev occurrence) (string, []event.Field) {
	t.Helper()
	content, _ := json.Marshal([]map[string]any{{
		"rule": "R", "desc": "d", "condition": "evt.type=openat", "output": output, "priority": "NOTICE", "tags": []string{"b", "a"},
	}})
	m := mustLoad(t, opts, string(content)).NewEvaluator("syscall").Evaluate(ev)
	if len(m) != 1 {
		t.Fatalf("%d matches", len(m))
	}
	return m[0].Format()
}

func TestOutputsPrintFields(t *testing.T) {
	for _, tt := range []struct{ output, want string }{
		{"plain", "plain"},
		{"%proc.name", "bash"},
		{"a=%proc.name b=%user.uid.", "a=bash b=1000."},
		{"*%proc.name", "bash"},
		{"%fd.name) %proc.name. %proc.name.extra %proc.namex", "/etc/ssh/sshd_config) bash. bash.extra bashx"},
		{"%proc.aname[2] %proc.aname[2 %proc.name[1]", "systemd sshd systemd[2 bash[1]"},
		{"%proc.pname %k8s.ns.name", "<NA> <NA>"},
		{"[%8proc.name] [%2proc.name] [%08proc.name] [%6proc.pname]", "[bash    ] [ba] [bash    ] [<NA>  ]"},
		{"%user.loginuid %evt.rawres %evt.is_open_write %fd.sip %fd.cip", "-1 -2 true 203.0.113.5 2001:db8::1"},
		{"%proc.arglist %proc.numbers", "(-n,-tfile,-x,--long,rest) (1,2)"},
		{"%proc.aname", "sshd systemd"},
		{"%fd.sip.name", "<NA>"},
		{"%evt.buffer", "......GET /"[1:]},
		{"%evt.time", "22:13:20.123456789"},
		{"%toupper(proc.name)/%len(proc.arglist)%join(\"+\", (proc.name, \"x\"))", "BASH/5bash+x"},
		{"%toupper(proc.pname)", "<NA>"},
		{"%proc.env[A] %evt.arg[0]", "b zero"},
		{" %proc.name \n", "bash"},
	} {
		if got, _ := format(t, rules.Options{}, tt.output, shell()); got != tt.want {
			t.Errorf("%q prints %q, want %q", tt.output, got, tt.want)
		}
	}
}

func TestOutputFieldsHaveTheirJSONTypes(t *testing.T) {
	ev := shell()
	ev["proc.cmdline"] = fields.Text("a\nb\x7f\xff\"<é")
	ev["proc.arglist"] = texts("a", "<\"\n>")
	_, got := format(t, rules.Options{},
		"%user.uid %user.loginuid %evt.is_open_write %proc.name %proc.pname %proc.arglist %proc.numbers %proc.aname %proc.aname[2] %fd.sip %fd.sport "+
			"%proc.cmdline %toupper(fd.directory) %proc.name %container.id %fd.sip.name %evt.buffer", ev)
	want := map[string]string{
		"user.uid": "1000", "user.loginuid": "-1", "evt.is_open_write": "true", "proc.name": `"bash"`, "proc.pname": "null",
		"proc.arglist": `["a","\u003c\"` + "\uFFFD" + `\u003e"]`, "proc.numbers": "[1,2]", "proc.aname": `"sshd systemd"`, "proc.aname[2]": `"systemd"`,
		"fd.sip": `"203.0.113.5"`, "fd.sport": "22", "proc.cmdline": "\"a\uFFFDb\uFFFD\uFFFD\\\"<é\"", "fd.directory": `"/etc/ssh"`,
		"container.id": `"host"`, "evt.time": "1700000000123456789", "fd.sip.name": "null", "evt.buffer": `".....GET /"`,
	}
	if !slices.IsSortedFunc(got, func(a, b event.Field) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the fields are not sorted")
	}
	for _, f := range got {
		text := f.Value.Text()
		if s, ok := f.Value.Str(); ok {
			text = `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
		}
		if text != want[f.Name] {
			t.Errorf("%s is %s, want %s", f.Name, text, want[f.Name])
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestTextWithoutUTF8IsMendedInOutputs(t *testing.T) {
	ev := shell()
	ev["proc.name"] = fields.Text("a\xffb")
	if got, _ := format(t, rules.Options{}, "x %proc.name y", ev); got != "x a\uFFFDb y" {
		t.Errorf("got %q", got)
	}
}

func TestContainerAndPodAreSuggestedForSystemCalls(t *testing.T) {
	got, fs := format(t, rules.Options{SuggestedOutput: true}, "o", shell())
	want := "o container_id=host container_name=host container_image_repository=<NA> container_image_tag=<NA> k8s_pod_name=<NA> k8s_ns_name=<NA>"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(fs) != 7 {
		t.Errorf("%d fields, want the six and evt.time", len(fs))
	}
	rs := mustLoad(t, rules.Options{SuggestedOutput: true},
		"- {rule: A, desc: d, condition: ka.verb=get, output: o, priority: ERROR, source: k8s_audit}\n")
	m := rs.NewEvaluator("k8s_audit").Evaluate(occurrence{"ka.verb": fields.Text("get")})
	if len(m) != 1 {
		t.Fatal("no match")
	}
	if text, fs := m[0].Format(); text != "o" || len(fs) != 0 {
		t.Errorf("an audit rule prints %q and %v", text, fs)
	}
}

func TestOutputsMayBeAppendedTo(t *testing.T) {
	opts := rules.Options{Append: []rules.Append{
		{Output: "uid=%user.uid"},
		{Tags: []string{"a", "b"}, Output: "tagged"},
		{Tags: []string{"a", "c"}, Output: "not tagged"},
		{Rule: "Other", Output: "other rule"},
		{Source: "k8s_audit", Output: "other source"},
		{Fields: []rules.AppendField{{Name: "proc.env[A]"}, {Name: "who", Format: "by %proc.name (%proc.pname)"}}},
	}}
	text, fs := format(t, opts, "o", shell())
	if want := "o uid=1000 tagged"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	got := ""
	for _, f := range fs {
		got += f.Name + "=" + f.Value.Text() + "; "
	}
	if want := "evt.time=1700000000123456789; proc.env[A]=b; user.uid=1000; who=by bash (<NA>); "; got != want {
		t.Errorf("fields %s, want %s", got, want)
	}
}

func TestAnAlertIsAnEventOfFalcosForm(t *testing.T) {
	zone := time.Local
	time.Local = time.FixedZone("test", 2*3600)
	t.Cleanup(func() { time.Local = zone })
	content := "- {rule: R, desc: d, condition: evt.type=openat, output: 'by %proc.name', priority: INFO, tags: [b, a]}\n"
	when := time.Date(2026, 11, 23, 15, 4, 5, 6_007, time.UTC)
	for iso, prefix := range map[bool]string{false: "17:04:05.000006007", true: "2026-11-23T15:04:05.000006007+0000"} {
		m := mustLoad(t, rules.Options{ISO8601: iso}, content).NewEvaluator("syscall").Evaluate(shell())
		got := m[0].Event(when, "node")
		if want := prefix + ": Informational by bash"; got.Output != want {
			t.Errorf("output %q, want %q", got.Output, want)
		}
		if got.Rule != "R" || got.Priority != event.Informational || got.Source != "syscall" || got.Hostname != "node" ||
			!got.Time.Equal(when) || fmt.Sprint(got.Tags) != "[a b]" || got.UUID != "" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestWhatAMatchReturnsDoesNotReferToTheEvent(t *testing.T) {
	buffer := []byte("bash")
	ev := shell()
	ev["fd.sip"] = fields.Address(netip.MustParseAddr("10.0.0.1"))
	content := "- {rule: R, desc: d, condition: evt.type=openat, output: '%proc.name %proc.arglist', priority: INFO}\n"
	e := mustLoad(t, rules.Options{}, content).NewEvaluator("syscall")
	ev["proc.name"] = fields.Text(unsafeString(buffer))
	ev["proc.arglist"] = texts(unsafeString(buffer))
	text, fs := e.Evaluate(ev)[0].Format()
	copy(buffer, "XXXX")
	if strings.Contains(text, "X") {
		t.Errorf("the text changed: %q", text)
	}
	for _, f := range fs {
		if strings.Contains(f.Value.Text(), "X") {
			t.Errorf("%s changed: %s", f.Name, f.Value.Text())
		}
	}
}

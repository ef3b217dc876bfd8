package route

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shell is an alert such as the sensor makes.
func shell(t testing.TB) *event.Event {
	t.Helper()
	e, err := event.Decode([]byte(`{
		"uuid": "3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be111",
		"rule": "Terminal shell in container", "priority": "Warning", "source": "syscall", "hostname": "node-1",
		"output": "a shell was spawned (user=root)", "time": "2026-01-02T23:04:05.5+01:00",
		"tags": ["container", "mitre_execution", "T1059"],
		"output_fields": {
			"k8s.ns.name": "dev", "k8s.pod.name": null, "proc.name": "bash", "proc.pid": 1234, "proc.is_exe": true,
			"fd.sip": "10.1.2.3", "fd.lport": 8080, "ratio": 0.5, "evt.num": 18446744073709551615,
			"huge": 123456789012345678901234567890, "cluster": "eu-1",
			"labels": {"app": "web", "ports": [80, 443], "owner": {"team": "blue"}}
		}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	return &e
}

func compiled(t testing.TB, text string) *Match {
	t.Helper()
	m, err := Compile(text)
	if err != nil {
		t.Fatalf("%s:\n%v", text, err)
	}
	return m
}

func TestAnExpressionSeesTheWholeEvent(t *testing.T) {
	e := shell(t)
	for text, want := range map[string]bool{
		`rule.upperAscii().trim() == "TERMINAL SHELL IN CONTAINER"`:             true,
		`rule == "Terminal shell in container"`:                                 true,
		`source == 'syscall' && hostname.startsWith("node-")`:                   true,
		`output.contains("user=root")`:                                          true,
		`uuid.endsWith("111")`:                                                  true,
		`rule.matches("^Terminal.*container$")`:                                 true,
		`rule.matches("terminal")`:                                              false,
		`rule.lowerAscii().contains("terminal")`:                                true,
		`priority == WARNING`:                                                   true,
		`priority >= NOTICE && priority < ERROR`:                                true,
		`priority == "Warning" && "warning" == priority`:                        true,
		`priority >= "info"`:                                                    true,
		`priority in ["Critical", WARNING]`:                                     true,
		`priority in ["critical", "alert"]`:                                     false,
		`INFO == INFORMATIONAL && EMERGENCY > ALERT`:                            true,
		`"container" in tags`:                                                   true,
		`has_tag("T1059") && !has_tag("T1060")`:                                 true,
		`tags.exists(t, t.startsWith("mitre_"))`:                                true,
		`size(tags) == 3 && tags[0] == "container"`:                             true,
		`time > timestamp("2026-01-02T22:00:00Z")`:                              true,
		`time.getHours() == 22`:                                                 true, // UTC
		`time.getHours("Europe/Berlin") == 23`:                                  true,
		`(time + duration("1h")).getHours("America/New_York") == 18`:            true,
		`time.getDate("Europe/Berlin") == 2 && time.getDate("Asia/Tokyo") == 3`: true,
		`time.getHours("+02:00") == 0`:                                          true,
		`time.getDayOfWeek() in [0, 6]`:                                         false,
		`fields["k8s.ns.name"] == "dev"`:                                        true,
		`fields["k8s.ns.name"] in ["dev", "test"]`:                              true,
		`fields["k8s.ns.name"].startsWith("de")`:                                true,
		`fields.cluster == "eu-1"`:                                              true,
		`has(fields.cluster) && !has(fields.region)`:                            true,
		`"k8s.pod.name" in fields && !("k8s.node" in fields)`:                   true,
		`fields["k8s.pod.name"] == null`:                                        true,
		`fields["no.such"] == null`:                                             true,
		`fields["no.such"] == "x"`:                                              false,
		`fields["no.such"] != "x"`:                                              true,
		`fields["no.such"] in ["x"]`:                                            false,
		`fields["no.such"] == 0`:                                                false,
		`field("no.such") == ""`:                                                true,
		`field("k8s.pod.name") == ""`:                                           true,
		`field("k8s.ns.name") == "dev"`:                                         true,
		`field("proc.pid") == "1234"`:                                           true,
		`field("proc.is_exe") == "true"`:                                        true,
		`field("labels") == "{\"app\":\"web\",\"owner\":{\"team\":\"blue\"},\"ports\":[80,443]}"`: true,
		`fields["proc.pid"] == 1234 && fields["proc.pid"] > 1000.5`:                               true,
		`fields["fd.lport"] < 1024`:                                        false,
		`fields["ratio"] == 0.5 && fields["ratio"] < 1`:                    true,
		`fields["evt.num"] == 18446744073709551615u`:                       true,
		`fields["evt.num"] > 1`:                                            true,
		`fields["huge"] == "123456789012345678901234567890"`:               true,
		`fields["proc.is_exe"]`:                                            true,
		`fields["proc.is_exe"] == true`:                                    true,
		`fields["labels"].app == "web"`:                                    true,
		`fields["labels"]["owner"].team == "blue"`:                         true,
		`fields["labels"].ports[1] == 443 && 80 in fields.labels["ports"]`: true,
		`has(fields["labels"].app) && !has(fields["labels"].tier)`:         true,
		`fields.exists(name, name.startsWith("k8s."))`:                     true,
		`size(fields) == 12`:                                               true,
		`fields == {"a": 1}`:                                               false,
		`type(fields) == map`:                                              true,
		`glob("dev*", fields["k8s.ns.name"])`:                              true,
		`glob("*", fields["no.such"]) && !glob("?*", fields["no.such"])`:   true,
		`glob("Terminal*cont?iner", rule)`:                                 true,
		`cidr("10.0.0.0/8", fields["fd.sip"])`:                             true,
		`cidr("192.168.0.0/16", fields["fd.sip"])`:                         false,
		`cidr("10.0.0.0/8", fields["no.such"])`:                            false,
		`cidr("10.0.0.0/8", field("proc.name"))`:                           false,
		`fields["no.such"].startsWith("x") || rule != ""`:                  true, // one side is enough
		`!(hostname == "node-1" || hostname == "node-2")`:                  false,
		`hostname == "node-1" ? priority >= WARNING : priority >= ERROR`:   true,
		"// comments are allowed\nrule != \"\" &&\n\tpriority > DEBUG":     true,
	} {
		pass, err := compiled(t, text).Eval(e)
		if err != nil || pass != want {
			t.Errorf("%s: %v, %v; want %v", text, pass, err, want)
		}
	}
}

func TestWhatCannotBeEvaluatedLetsTheEventPass(t *testing.T) {
	e := shell(t)
	for text, want := range map[string]string{
		`fields["no.such"] > 5`:                `a value that the expression needs is missing or of another type: field("name") is text in any case`,
		`fields["k8s.pod.name"].contains("x")`: `a value that the expression needs is missing or of another type: field("name") is text in any case`,
		`fields["labels"].tier == "x"`:         `no such key: tier`,
		`fields["no.such"].tier == "x"`:        `no such key: tier`,
		`fields["no.such"].exists(x, x == 1)`:  `a value that the expression needs is missing or of another type: field("name") is text in any case`,
		`tags[9] == "x"`:                       `index out of bounds: 9`,
		`1 / size(field("no.such")) == 1`:      `division by zero`,
		`fields["proc.pid"]`:                   `the expression came to an int, neither true nor false`,
		`fields[rule]`:                         `the expression came to null, neither true nor false`,
		`int(hostname) == 1`:                   `type conversion error from 'string' to 'int'`,
	} {
		m := compiled(t, text)
		pass, err := m.Eval(e)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v; want the error %s", text, pass, err, want)
		}
		if !m.Passes(e) {
			t.Errorf("%s: the event does not pass", text)
		}
		r := Route{Match: m}
		if got := r.Decide(e, time.Time{}); got != Deliver {
			t.Errorf("%s: Decide says %v", text, got)
		}
	}
}

func TestAnExpressionIsUsedByManyAtOnce(t *testing.T) {
	m := compiled(t, `fields["labels"].app == "web" && time.getHours("Europe/Berlin") == 23 && tags.exists(t, t == "container")`)
	other := compiled(t, `field("k8s.ns.name") == "prod"`)
	e := shell(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if pass, err := m.Eval(e); !pass || err != nil {
					t.Errorf("%v, %v", pass, err)
				}
				if pass, why := other.Explain(e); pass || !strings.Contains(why, "dev") {
					t.Errorf("%v, %s", pass, why)
				}
			}
		})
	}
	all.Wait()
}

func TestNoExpressionLetsEverythingPass(t *testing.T) {
	for _, text := range []string{"", " \n"} {
		m, err := Compile(text)
		if m != nil || err != nil {
			t.Errorf("%q is compiled to %v, %v", text, m, err)
		}
		if !m.Passes(shell(t)) || m.String() != "" {
			t.Errorf("%q does not let the event pass", text)
		}
	}
}

// mistakes are texts that are no expressions, each with a slip that people make.
var mistakes = []string{
	`hostnam == "db-1"`,
	`Priority >= WARNING`,
	`priority >= Warning`,
	`priority >= WARNNG`,
	`priority == "hihg"`,
	`priority in ["critical", "urgent"]`,
	`priority >= 4`,
	`rule = "x"`,
	`rule == "x" and priority >= ERROR`,
	`rule == "x" || not (priority >= ERROR)`,
	`rule == "x" & priority >= ERROR`,
	`rule == "x`,
	`rule ==`,
	`(rule == "x"`,
	`rule == "x")`,
	`rule`,
	`size(tags)`,
	`rule == 1`,
	`tags == "x"`,
	`"x" in rule`,
	`rule.startWith("x")`,
	`rule.startsWith(1)`,
	`startsWith(rule, "x")`,
	`k8s.ns.name == "dev"`,
	`k8s.ns.name.startsWith("dev")`,
	`proc.aname[2] == "bash"`,
	`fields.k8s.ns.name == "dev"`,
	`fields.k8s.ns.name.startsWith("dev")`,
	`foo.startsWith("dev")`,
	`has(fields.k8s.ns)`,
	`fields[1] == "x"`,
	`field(1) == "x"`,
	`field("a", "b") == "x"`,
	`has_tag(1)`,
	`rule.matches("(")`,
	`rule.matches(hostname)`,
	`cidr("10.0.0.0", field("fd.sip"))`,
	`cidr(hostname, field("fd.sip"))`,
	`time.getHours("Berlin/Europe") == 1`,
	`time > "2026-01-01"`,
	`time > timestamp("yesterday")`,
	`tags.exists(rule, rule == "x")`,
	`tags.exists(CRITICAL, priority == "critical")`,
	`tags.exists(t)`,
	`cidr()`,
	`rule.cidr()`,
	`rule.matches()`,
	`time.getHours(1) == 1`,
	`getHours("UTC") == 1`,
	`tags.all(a, tags.all(b, tags.all(c, a == b)))`,
	`rule.replace("a", "b") == "x"`,
	`true` + strings.Repeat(` && true`, 1000),
	`rule.matches("(a{50}){20}(b{50}){20}")`,
	`rule == "x" &&` + "\n" + `  hostnam == "y" &&` + "\n\t" + `sourc == "z"`,
	`rule == "ünï" && hostnam == "y"`,
	strings.Repeat(`rule == "some long name" || `, 20) + `hostnam == "y"`,
	strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200),
	strings.Repeat("x", MaxMatchBytes+1),
	"rule == \"a\x00b\" && hostnam == \"y\"",
}

func TestAMistakeIsShownWithItsPlaceAndTheRemedy(t *testing.T) {
	var got strings.Builder
	for _, text := range mistakes {
		_, err := Compile(text)
		if err == nil {
			t.Errorf("%s: it was accepted", text)
			continue
		}
		if len(text) > 300 {
			text = text[:50] + "…"
		}
		fmt.Fprintf(&got, "match: %s\n%v\n\n", strings.ReplaceAll(text, "\x00", `\0`), err)
	}
	const golden = "testdata/mistakes.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"**", "abc", true},
		{"a*", "abc", true},
		{"*c", "abc", true},
		{"a*c*e", "abcde", true},
		{"a*c*f", "abcde", false},
		{"*ab", "aab", true},
		{"?", "", false},
		{"?", "ü", true},
		{"??", "ü", false},
		{"*ü?", "xxüy", true},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`a\`, `a\`, true},
		{"a", "ab", false},
		{"[a]", "[a]", true},
		{strings.Repeat("*a", 20) + "b", strings.Repeat("a", 10000), false},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("glob(%q, %.20q) = %v", c.pattern, c.text, got)
		}
	}
}

func TestAnEvaluationThatCostsTooMuchEndsAndLetsTheEventPass(t *testing.T) {
	e := largest(t)
	for _, text := range []string{
		`tags.all(t, tags.all(u, t == u + "b" || output.contains(t)))`,
		`tags.map(t, output + output).size() > 1000`,
	} {
		m := compiled(t, text)
		if _, err := m.Eval(e); !errors.Is(err, errCost) {
			t.Errorf("%s: %v", text, err)
		}
		if pass, why := m.Explain(e); !pass || !strings.Contains(why, errCost.Error()) {
			t.Errorf("%s: %v, %s", text, pass, why)
		}
		if pass, err := m.Eval(shell(t)); err != nil {
			t.Errorf("%s: for a small event %v, %v", text, pass, err)
		}
	}
}

// Of an expression that is cheap nobody keeps account, so no event may make it costly.
func TestWhatIsCalledCheapIsCheapForTheLargestEvent(t *testing.T) {
	env, err := language()
	if err != nil {
		t.Fatal(err)
	}
	e := largest(t)
	found := 0
	for _, text := range append(slices.Clone(costly),
		`output == rule && fields["object"] == tags`, `has_tag(rule)`, `glob("*a*b", output)`,
		`output.matches("^(a|b)+c$")`, `tags.exists(t, t.startsWith("b"))`, `fields.exists(f, f == rule)`,
		`tags == tags`, `rule in tags`, `fields["object"].exists(x, x == rule)`, `output.contains("ab")`,
		`output.lowerAscii() == rule.upperAscii()`, `fields == fields`, `size(output) > 5`,
	) {
		m := compiled(t, text)
		if !cheap(env, m.checked) {
			continue
		}
		found++
		program, err := env.Program(m.checked, cel.CostTracking(nil))
		if err != nil {
			t.Fatal(err)
		}
		v := viewOf(e)
		_, details, _ := program.Eval(v)
		v.release()
		if cost := details.ActualCost(); cost == nil || *cost > MaxMatchCost {
			t.Errorf("%s costs %v", text, cost)
		}
	}
	if found == 0 {
		t.Error("no expression is cheap")
	}
}

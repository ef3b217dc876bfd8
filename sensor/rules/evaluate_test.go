package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

func oneLine(name, condition, more string) string {
	return fmt.Sprintf("- {rule: %s, desc: d, condition: '%s', output: o, priority: NOTICE%s}\n", name, condition, more)
}

func TestTheFirstRuleInTheOrderOfDefinitionWins(t *testing.T) {
	content := oneLine("Early", "evt.type=openat and proc.name=zsh", "") +
		oneLine("Middle", "evt.type=openat and proc.name=bash", "") +
		oneLine("Late", "evt.type=openat", "") +
		oneLine("Other type", "evt.type=execve", "")
	override := "- {rule: Early, desc: d, condition: 'evt.type=openat and proc.name=bash', output: o, priority: NOTICE}\n"
	for _, tt := range []struct {
		opts  rules.Options
		files []string
		want  string
	}{
		{rules.Options{}, []string{content}, "Middle"},
		{rules.Options{All: true}, []string{content}, "Middle, Late"},
		{rules.Options{}, []string{content, override}, "Early"},
		{rules.Options{All: true}, []string{content, override}, "Early, Middle, Late"},
	} {
		rs := mustLoad(t, tt.opts, tt.files...)
		if got := strings.Join(matches(rs, shell()), ", "); got != tt.want {
			t.Errorf("all %v, %d files: matches %q, want %q", tt.opts.All, len(tt.files), got, tt.want)
		}
	}
}

func TestPriorityAndTogglesDecideWhichRulesAreTried(t *testing.T) {
	content := `
- {rule: Debug one, desc: d, condition: evt.type=openat, output: o, priority: debug, tags: [file]}
- {rule: Error one, desc: d, condition: evt.type=openat, output: o, priority: error, tags: [net, file]}
- {rule: Off, desc: d, condition: evt.type=openat, output: o, priority: error, enabled: false}
- {rule: Connect, desc: d, condition: evt.type=connect, output: o, priority: debug}
`
	for _, tt := range []struct {
		name  string
		opts  rules.Options
		want  string
		types string
	}{
		{"as written", rules.Options{}, "Debug one, Error one", "[2 6]"},
		{"minimum priority", rules.Options{MinPriority: event.Error}, "Error one", "[2]"},
		{"minimum priority is not lifted", rules.Options{MinPriority: event.Error, Toggles: []rules.Toggle{{Enable: true, Rule: "*"}}}, "Error one, Off", "[2]"},
		{"none but some", rules.Options{Toggles: []rules.Toggle{{Rule: "*"}, {Enable: true, Tag: "net"}}}, "Error one", "[2]"},
		{"by wildcard", rules.Options{Toggles: []rules.Toggle{{Rule: "*one"}, {Enable: true, Rule: "Off"}}}, "Off", "[2 6]"},
		{"nothing", rules.Options{Toggles: []rules.Toggle{{Rule: "*"}}}, "", "[]"},
	} {
		tt.opts.All = true
		rs := mustLoad(t, tt.opts, content)
		if got := strings.Join(matches(rs, shell()), ", "); got != tt.want {
			t.Errorf("%s: matches %q, want %q", tt.name, got, tt.want)
		}
		if got := fmt.Sprint(rs.EventTypes("syscall")); got != tt.types {
			t.Errorf("%s: event types %s, want %s", tt.name, got, tt.types)
		}
	}
}

func TestEachFieldIsExtractedOnceAnEvent(t *testing.T) {
	content := "- macro: m\n  condition: proc.name = x or proc.cmdline contains y\n"
	for i := range 20 {
		content += oneLine(fmt.Sprint("R", i), fmt.Sprintf("evt.type=openat and (m or proc.name=a%d or proc.cmdline contains b%d or proc.env[A]=%d)", i, i, i), "")
	}
	rs := mustLoad(t, rules.Options{All: true}, content)
	e := rs.NewEvaluator("syscall")
	clear(extracted)
	e.Evaluate(shell())
	for name, n := range extracted {
		if n != 1 {
			t.Errorf("%s is extracted %d times", name, n)
		}
	}
	if extracted["proc.name"] != 1 || extracted["evt.type"] != 0 {
		t.Errorf("extracted %v, want proc.name once and evt.type never", extracted)
	}
}

func TestValuesAreThoseOfTheCurrentEvent(t *testing.T) {
	rs := mustLoad(t, rules.Options{}, oneLine("R", "evt.type=openat and proc.name=bash", ""))
	e := rs.NewEvaluator("syscall")
	other := shell()
	other["proc.name"] = fields.Text("zsh")
	for i := range 10 {
		ev, want := shell(), 1
		if i%2 == 1 {
			ev, want = other, 0
		}
		if got := len(e.Evaluate(ev)); got != want {
			t.Fatalf("event %d: %d matches, want %d", i, got, want)
		}
	}
}

func TestEventsOfUnknownTypesMatchNothing(t *testing.T) {
	rs := mustLoad(t, rules.Options{}, yamlRule("proc.name=bash"))
	ev := shell()
	ev["evt.type"] = fields.Text("no such type")
	if got := matches(rs, ev); got != nil {
		t.Errorf("matches %q", got)
	}
	if got := rs.NewEvaluator("nosource").Evaluate(ev); got != nil {
		t.Errorf("an evaluator without rules matches %v", got)
	}
}

func TestCountsSayHowOftenARuleWasTried(t *testing.T) {
	content := oneLine("A", "evt.type=openat and proc.name=bash", "") +
		oneLine("B", "evt.type=openat", "") +
		oneLine("C", "evt.type in (openat, connect)", "")
	other := shell()
	other["proc.name"] = fields.Text("zsh")
	connect := shell()
	connect["evt.type"] = fields.Text("connect")
	for all, want := range map[bool]string{
		false: "A 5/3, B 2/2, C 1/1, ",
		true:  "A 5/3, B 5/5, C 6/6, ",
	} {
		e := mustLoad(t, rules.Options{All: all}, content).NewEvaluator("syscall")
		for _, ev := range []occurrence{shell(), shell(), other, shell(), other, connect} {
			e.Evaluate(ev)
		}
		got := ""
		for _, c := range e.Counts() {
			got += fmt.Sprintf("%s %d/%d, ", c.Rule.Name, c.Evaluated, c.Matched)
		}
		if got != want {
			t.Errorf("all %v: %s, want %s", all, got, want)
		}
	}
}

func TestFieldsInUseAreKnown(t *testing.T) {
	rs := mustLoad(
		t, rules.Options{},
		"- {rule: R, desc: d, condition: 'evt.type=open and proc.aname[2]=x', output: '%toupper(user.name)', priority: ERROR}\n"+
			"- {rule: Off, desc: d, condition: 'evt.type=open and fd.num=1', output: o, priority: ERROR, enabled: false}\n",
	)
	for name, want := range map[string]bool{"proc.aname": true, "user.name": true, "evt.type": true, "proc.name": false, "fd.num": false, "evt.time": true} {
		if got := rs.UsesField("syscall", name); got != want {
			t.Errorf("uses %s: %v, want %v", name, got, want)
		}
	}
	if rs.UsesField("nosource", "proc.name") {
		t.Error("a source without rules uses a field")
	}
}

// TestCombinationsMeanWhatTheirPartsMean holds random conditions against a plain evaluation
// of their parts: it finds mistakes in simplification, merging and ordering.
func TestCombinationsMeanWhatTheirPartsMean(t *testing.T) {
	parts := []struct {
		text  string
		value bool
	}{
		{"evt.type=openat", true},
		{"evt.type=open", false},
		{"evt.type!=openat", false},
		{"evt.type in (open, openat)", true},
		{"syscall.type=openat", true},
		{"syscall.type!=openat", false},
		{"syscall.type!=open", true},
		{"syscall.type=execve", false},
		{"proc.name=bash", true},
		{"proc.name=zsh", false},
		{"proc.name in (a, b)", false},
		{"proc.name!=bash", false},
		{"proc.name!=zsh", true},
		{"proc.name startswith ba", true},
		{"proc.name startswith za", false},
		{"proc.name endswith sh", true},
		{"proc.name contains zz", false},
		{"proc.pname=x", false},
		{"proc.pname!=x", false},
		{"proc.pname in (a, b)", false},
		{"proc.pname exists", false},
		{"fd.num=-1", true},
		{"fd.num=3", false},
		{"fd.num!=3", true},
		{"fd.num>=0", false},
		{"fd.ip=10.1.2.3", true},
		{"fd.ip=1.1.1.1", false},
		{"fd.ip!=10.1.2.3", false},
		{"fd.ip!=1.1.1.1", true},
		{"fd.ip!=1.1.1.2", true},
		{"fd.net!=10.0.0.0/8", false},
		{"fd.net!=11.0.0.0/8", true},
		{"fd.snet=10.0.0.0/8", true},
		{"fd.snet=11.0.0.0/8", false},
		{"proc.aname=sshd", true},
		{"proc.aname=cron", false},
		{"proc.aname!=sshd", true},
		{"proc.aname!=systemd", true},
		{"fd.name pmatch (/etc)", true},
		{"fd.name pmatch (/usr)", false},
		{"fd.name glob /e*", true},
		{"fd.name glob /u*", false},
		{"proc.arglist intersects (-n)", true},
		{"proc.arglist intersects (-y)", false},
		{"proc.arglist in (-n)", false},
		{"proc.name in ()", false},
		{"yes", true},
		{"no", false},
	}
	macros := "- macro: yes\n  condition: evt.type=openat and proc.name=bash\n- macro: no\n  condition: proc.name=zsh or evt.type=close\n"
	random := rand.New(rand.NewPCG(1, 2))
	var build func(depth int) (string, bool)
	build = func(depth int) (string, bool) {
		if depth == 0 || random.IntN(4) == 0 {
			p := parts[random.IntN(len(parts))]
			return p.text, p.value
		}
		switch random.IntN(5) {
		case 0:
			s, v := build(depth - 1)
			return "not (" + s + ")", !v
		case 1, 2:
			s, v := build(depth - 1)
			for range 1 + random.IntN(4) {
				s2, v2 := build(depth - 1)
				s, v = s+" and ("+s2+")", v && v2
			}
			return "(" + s + ")", v
		default:
			s, v := build(depth - 1)
			for range 1 + random.IntN(4) {
				s2, v2 := build(depth - 1)
				s, v = s+" or ("+s2+")", v || v2
			}
			return "(" + s + ")", v
		}
	}
	for range 20 {
		content := macros
		conditions, want := []string{}, []string{}
		for i := range 60 {
			s, v := build(4)
			conditions = append(conditions, s)
			content += oneLine(fmt.Sprint(i), s, "")
			if v {
				want = append(want, fmt.Sprint(i))
			}
		}
		rs := mustLoad(t, rules.Options{All: true}, content)
		got := matches(rs, shell())
		for i, s := range conditions {
			name := fmt.Sprint(i)
			if slices.Contains(got, name) != slices.Contains(want, name) {
				t.Fatalf("%s is %v, want %v", s, slices.Contains(got, name), slices.Contains(want, name))
			}
		}
	}
}

func TestEvaluatorsOfOneRulesetRunSideBySide(t *testing.T) {
	name := fields.Field{Name: "proc.name", Doc: "Name.", Extract: func(ev any, _ fields.Arg) fields.Value { return fields.Text(ev.(string)) }}
	sources := map[string]*fields.Registry{"syscall": fields.NewRegistry("syscall", []fields.Field{name})}
	content := []byte(oneLine("R", "tolower(proc.name) startswith oneof (a, b) or proc.name regex \"x.*\"", ""))
	rs, _, err := rules.Load([]rules.File{{Name: "r.yaml", Content: content}}, sources, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"Apple", "berry", "xyz", "nothing"} {
		e := rs.NewEvaluator("syscall")
		wg.Go(func() {
			for range 1000 {
				if got := len(e.Evaluate(name)) == 1; got != (name != "nothing") {
					t.Errorf("%s matches: %v", name, got)
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				e.Counts()
			}
		})
	}
	wg.Wait()
}

func TestANoMatchEventDoesNotAllocate(t *testing.T) {
	rs := mustLoad(t, rules.Options{},
		oneLine("A", "evt.type=openat and (proc.name=zsh or fd.name glob \"/u*\" or proc.aname in (a, b, c, d, e) or fd.net=11.0.0.0/8 or fd.name regex \"/x.*\")", "")+
			oneLine("B", "evt.type=openat and not (proc.name=bash or fd.name pmatch (/a/b, \"/*/c\"))", ""))
	e := rs.NewEvaluator("syscall")
	ev := any(shell())
	if n := testing.AllocsPerRun(100, func() { e.Evaluate(ev) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

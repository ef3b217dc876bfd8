package silence

import (
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

func shell() *event.Event {
	return &event.Event{
		Rule: "Terminal shell in container", Priority: event.Warning, Source: "syscall", Hostname: "node-1",
		Output: "a shell\nwas spawned", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Tags: []string{"container", "shell"},
		Fields: event.SortFields([]event.Field{
			{Name: "k8s.ns.name", Value: event.StringValue("dev-7")},
			{Name: "k8s.pod.name", Value: event.Value{}},
			{Name: "proc.pid", Value: event.NumberValue("1234")},
			{Name: "proc.is_exe", Value: event.BoolValue(true)},
		}),
	}
}

func TestAMatcherHoldsAsItSays(t *testing.T) {
	for text, want := range map[string]bool{
		`rule="Terminal shell in container"`:  true,
		`rule=Terminal shell in container`:    true,
		`rule="terminal shell in container"`:  false,
		`rule!="Terminal shell in container"`: false,
		`rule=~"Terminal"`:                    false, // the whole value is meant
		`rule=~"Terminal.*"`:                  true,
		`rule=~"shell|Terminal.*container"`:   true,
		`rule!~"Terminal.*"`:                  false,
		`priority=warning`:                    true,
		`priority=Error`:                      false,
		`priority!=error`:                     true,
		`priority=~"Warning|Error"`:           true,
		`source=syscall`:                      true,
		`hostname!=db-1`:                      true,
		`hostname=~"node-[0-9]+"`:             true,
		`output=~"a shell.*spawned"`:          true, // a dot takes line ends
		`tag=shell`:                           true,
		`tag=network`:                         false,
		`tag!=shell`:                          false,
		`tag!=network`:                        true,
		`tag=~"net.*|cont.*"`:                 true,
		`tag!~"cont.*"`:                       false,
		`k8s.ns.name=~"dev-.*"`:               true,
		`k8s.ns.name=prod`:                    false,
		`proc.pid=1234`:                       true,
		`proc.is_exe=true`:                    true,
		`k8s.pod.name=""`:                     true, // null is empty
		`k8s.pod.name=null`:                   false,
		`container.id=""`:                     true, // what is missing is empty
		`container.id=~".*"`:                  true,
		`container.id=~".+"`:                  false,
		`container.id!=abc`:                   true,
		`container.id!=""`:                    false,
		`container.id!~"abc"`:                 true,
	} {
		m, err := ParseMatcher(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		c, err := compile(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.matches(shell()); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestATagMatcherTreatsNoTagsAsTheEmptyOne(t *testing.T) {
	e := shell()
	e.Tags = nil
	for text, want := range map[string]bool{`tag=""`: true, `tag!=a`: true, `tag=a`: false, `tag!=""`: false} {
		m, err := ParseMatcher(text)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := compile(m)
		if got := c.matches(e); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestParseMatcher(t *testing.T) {
	for text, want := range map[string]Matcher{
		`rule="Terminal shell in container"`: {"rule", "=", "Terminal shell in container"},
		`k8s.ns.name=~"dev-.*"`:              {"k8s.ns.name", "=~", "dev-.*"},
		`hostname!=a`:                        {"hostname", "!=", "a"},
		` hostname !~ "a b" `:                {"hostname", "!~", "a b"},
		`proc.cmdline="say \"hi\"\n"`:        {"proc.cmdline", "=", "say \"hi\"\n"},
		`proc.aname[2]=bash`:                 {"proc.aname[2]", "=", "bash"},
		`proc.cmdline=a=b`:                   {"proc.cmdline", "=", "a=b"},
		`x=`:                                 {"x", "=", ""},
		`x=ünï`:                              {"x", "=", "ünï"},
	} {
		got, err := ParseMatcher(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestABadMatcherIsRefusedWithThePlaceOfTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		``:              `"": there must be an operator, one of = != =~ !~, as in rule="Terminal shell in container"`,
		`rule`:          `"rule": there must be an operator, one of = != =~ !~, as in rule="Terminal shell in container"`,
		`="a"`:          `"=\"a\"": there must be a name before the operator`,
		`rule!a`:        `"rule!a": character 5: the operator must be one of = != =~ !~`,
		`rule~a`:        `"rule~a": character 5: the operator must be one of = != =~ !~`,
		`rule == "a"`:   `"rule == \"a\"": character 7: a single = compares; a value that begins with = stands in quotes`,
		`ünï= "a`:       `"ünï= \"a": character 6: the quoted value must end with a quote and have valid escapes`,
		`rule="a" b`:    `"rule=\"a\" b": character 6: the quoted value must end with a quote and have valid escapes`,
		`rule=~"("`:     "\"rule=~\\\"(\\\"\": the value is no regular expression: error parsing regexp: missing closing ): `(`",
		`rule=~"a)|(b"`: "\"rule=~\\\"a)|(b\\\"\": the value is no regular expression: error parsing regexp: unexpected ): `a)|(b`",
		`rule=~"(a{50}){9}(b{50}){20}(c{99}){9}"`: `"rule=~\"(a{50}){9}(b{50}){20}(c{99}){9}\"": the regular expression is too large`,
		`priority=high`:                  `"priority=high": "high" is no priority: it is one of debug, informational, notice, warning, error, critical, alert, emergency`,
		`a"b=c`:                          `"a\"b=c": the name must not hold =, !, ~ or quotes, nor spaces around it`,
		strings.Repeat("n", 300) + "=a":  `"` + strings.Repeat("n", 80) + `"…: the name must be text of at most 256 bytes`,
		"x=" + strings.Repeat("v", 1025): `"x=` + strings.Repeat("v", 78) + `"…: the value must be text of at most 1024 bytes`,
		"x=\xff":                         `"x=\xff": the value must be text of at most 1024 bytes`,
	} {
		if _, err := ParseMatcher(text); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestASilenceMustNotHoldBackEverything(t *testing.T) {
	for text, refused := range map[string]bool{
		`rule=~".*"`:         true,
		`rule=~".+"`:         true,
		`priority=~"(?s).+"`: true,
		`priority!~"x^"`:     true,
		`k8s.ns.name=""`:     true,
		`nosuch!=a`:          true,
		`tag=~"|a"`:          true,
		`rule=~"T.*"`:        false,
		`k8s.ns.name=~".+"`:  false,
		`k8s.ns.name!=""`:    false,
		`priority=warning`:   false,
		`proc.name=~"a|b"`:   false,
	} {
		m, err := ParseMatcher(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := validateMatchers([]Matcher{m}); (err != nil) != refused {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := validateMatchers([]Matcher{{"nosuch", "!=", "a"}, {"rule", "=", "r"}}); err != nil {
		t.Errorf("a matcher of everything beside one that narrows: %v", err)
	}
}

func FuzzParseMatcher(f *testing.F) {
	for _, s := range []string{`rule="a"`, `k8s.ns.name=~"dev-.*"`, `a!=b`, `a !~ "\x00"`, `=`, `a=~(`, `tag==x`, "a=\"\\u00e9\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatcher(text)
		if err != nil {
			return
		}
		again, err := ParseMatcher(m.String())
		if err != nil {
			t.Fatalf("%q is read as %+v, whose text %q is refused: %v", text, m, m, err)
		}
		if again != m {
			t.Fatalf("%q is read as %+v and its text %q as %+v", text, m, m, again)
		}
		c, err := compile(m)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		c.matches(shell())
	})
}

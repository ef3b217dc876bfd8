package route

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

func TestExplainShowsThePartThatIsFalseAndItsValues(t *testing.T) {
	e := shell(t)
	for text, want := range map[string]string{
		`fields["k8s.ns.name"] == "prod"`:                                      "`fields[\"k8s.ns.name\"] == \"prod\"` is false: fields[\"k8s.ns.name\"] is \"dev\"",
		`source == "syscall" && field("k8s.ns.name") == "prod" && rule != "x"`: "`field(\"k8s.ns.name\") == \"prod\"` is false: field(\"k8s.ns.name\") is \"dev\"",
		`fields["no.such"] == "prod"`:                                          "`fields[\"no.such\"] == \"prod\"` is false: the event has no field no.such",
		`fields.cluster == "us"`:                                               "`fields.cluster == \"us\"` is false: fields.cluster is \"eu-1\"",
		`fields["k8s.pod.name"] != null`:                                       "`fields[\"k8s.pod.name\"] != null` is false: fields[\"k8s.pod.name\"] is null",
		`priority >= "error"`:                                                  "`priority >= ERROR` is false: priority is Warning",
		`hostname == "a" || hostname == "b"`:                                   "`hostname == \"a\"` is false: hostname is \"node-1\", and `hostname == \"b\"` is false: hostname is \"node-1\"",
		`!(rule.contains("shell") && source == "syscall")`:                     "`rule.contains(\"shell\")` is true: rule is \"Terminal shell in container\", and `source == \"syscall\"` is true: source is \"syscall\"",
		`!(source == "k8s" || hostname == "node-1")`:                           "`hostname == \"node-1\"` is true: hostname is \"node-1\"",
		`has_tag("network")`:                                                   "`has_tag(\"network\")` is false: tags is [\"container\", \"mitre_execution\", \"T1059\"]",
		`tags.exists(t, t.startsWith("x"))`:                                    "`tags.exists(t, t.startsWith(\"x\"))` is false: tags is [\"container\", \"mitre_execution\", \"T1059\"]",
		`has(fields.region)`:                                                   "`has(fields.region)` is false",
		`fields["proc.pid"] > 5000 && fields["no.such"] > 5`:                   "`fields[\"proc.pid\"] > 5000` is false: fields[\"proc.pid\"] is 1234",
		`time < timestamp("2020-01-01T00:00:00Z")`:                             "`time < timestamp(\"2020-01-01T00:00:00Z\")` is false: time is 2026-01-02T22:04:05Z",
		`time.getHours("Europe/Berlin") < 8`:                                   "`time.getHours(\"Europe/Berlin\") < 8` is false: time is 2026-01-02T22:04:05Z",
		`cidr("192.168.0.0/16", fields["fd.sip"])`:                             "`cidr(\"192.168.0.0/16\", fields[\"fd.sip\"])` is false: fields[\"fd.sip\"] is \"10.1.2.3\"",
		`false`: "`false` is false",
	} {
		m := compiled(t, text)
		if pass, why := m.Explain(e); pass || why != want {
			t.Errorf("%s: %v\n%s", text, pass, cmp.Diff(want, why))
		}
	}
}

func TestWhatExplainShowsIsShort(t *testing.T) {
	e := shell(t)
	e.Output = strings.Repeat("long ", 100_000)
	e.Tags = strings.Split(strings.Repeat(strings.Repeat("tag", 1000)+" ", 200), " ")
	text := strings.Repeat(`output == "`+strings.Repeat("o", 150)+`" || `, 20) + `tags == ["x"]`
	if _, why := compiled(t, text).Explain(e); len(why) > 2000 {
		t.Errorf("it has %d bytes: %s", len(why), why)
	}
}

func TestExplainAgreesWithDecide(t *testing.T) {
	e, now := shell(t), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	silenced := func(id string) func(*event.Event, time.Time) (string, bool) {
		return func(_ *event.Event, at time.Time) (string, bool) { return id, id != "" && at.Equal(now) }
	}
	for _, c := range []struct {
		name  string
		route Route
		want  Decision
	}{
		{
			"the priority is asked first",
			Route{MinimumPriority: event.Error, Match: compiled(t, "false"), Silenced: silenced("s1")},
			Decision{BelowPriority, "priority Warning is below the minimum, Error"},
		},
		{
			"then the expression",
			Route{MinimumPriority: event.Warning, Match: compiled(t, "false"), Silenced: silenced("s1")},
			Decision{NoMatch, "`false` is false"},
		},
		{
			"then the silences",
			Route{Match: compiled(t, "true"), Silenced: silenced("s1")},
			Decision{Silenced, "silence s1 holds it back"},
		},
		{
			"which can say more",
			Route{Silenced: silenced("s1"), WhySilenced: silenced("silence s1 of ada")},
			Decision{Silenced, "silence s1 of ada"},
		},
		{
			"what passes all is delivered",
			Route{MinimumPriority: event.Warning, Match: compiled(t, "true"), Silenced: silenced("")},
			Decision{Deliver, "priority Warning reaches the minimum, Warning, and the match is true"},
		},
		{
			"what cannot be evaluated passes",
			Route{Match: compiled(t, "tags[9] == ''")},
			Decision{Deliver, "there is no minimum priority, and the match cannot be evaluated, which lets the event pass: index out of bounds: 9"},
		},
		{
			"and can be silenced",
			Route{Match: compiled(t, "tags[9] == ''"), Silenced: silenced("s1")},
			Decision{Silenced, "silence s1 holds it back"},
		},
	} {
		if got := c.route.Explain(e, now); got != c.want {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.want, got))
		}
		if got := c.route.Decide(e, now); got != c.want.Verdict {
			t.Errorf("%s: Decide says %v", c.name, got)
		}
	}
}

func TestATestEventPassesExpressionsAndSilences(t *testing.T) {
	e := event.Event{Rule: TestRule, Priority: event.Debug}
	r := Route{
		MinimumPriority: event.Emergency, Match: compiled(t, "false"),
		Silenced: func(*event.Event, time.Time) (string, bool) { return "s1", true },
	}
	if got := r.Decide(&e, time.Time{}); got != Deliver {
		t.Errorf("Decide says %v", got)
	}
	if got, want := r.Explain(&e, time.Time{}), (Decision{Deliver, "a test event reaches every output"}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestFailuresAreCountedAndLoggedOnceAMinute(t *testing.T) {
	var log strings.Builder
	f := NewFailures(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})), "slack")
	r := Route{Match: compiled(t, `fields["no.such"] > 5`), Failures: f}
	e, start := shell(t), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, after := range []time.Duration{
		0, time.Second, 59 * time.Second, // one line
		61 * time.Second, 62 * time.Second, // the next
		-time.Hour, // the clock is set back
	} {
		if got := r.Decide(e, start.Add(after)); got != Deliver {
			t.Errorf("Decide says %v", got)
		}
	}
	r.Explain(e, start.Add(time.Hour)) // is not counted
	line := func(n string) string {
		return `level=WARN msg="the match of an output cannot be evaluated for some events, which are therefore delivered" output=slack events=` + n +
			` error="a value that the expression needs is missing or of another type: field(\"name\") is text in any case"` + "\n"
	}
	if diff := cmp.Diff(line("1")+line("3")+line("2"), log.String()); diff != "" {
		t.Error(diff)
	}
	if f.Count() != 6 {
		t.Errorf("%d failures are counted", f.Count())
	}
}

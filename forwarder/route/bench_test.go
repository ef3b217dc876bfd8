package route

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

func BenchmarkDecide(b *testing.B) {
	for _, c := range []struct{ name, match string }{
		{"no match", ``},
		{"priority", `priority >= WARNING`},
		{"typical", `priority >= NOTICE && fields["k8s.ns.name"] == "dev" && !(rule in ["Noisy rule", "Other rule"])`},
		{"field", `field("k8s.ns.name").startsWith("d") && has_tag("container")`},
		{"tags", `tags.exists(t, t.startsWith("mitre_"))`},
		{"regex", `output.matches("shell was .*root")`},
		{"glob and cidr", `glob("d*", fields["k8s.ns.name"]) && cidr("10.0.0.0/8", fields["fd.sip"])`},
		{"hours", `time.getHours("Europe/Berlin") < 24`},
		{"object", `fields["labels"].app == "web"`},
		{"error", `fields["no.such"] > 5`},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := Route{MinimumPriority: event.Debug, Match: compiled(b, c.match)}
			e, now := shell(b), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if r.Decide(e, now) != Deliver {
					b.Fatal("it is not delivered")
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(`priority >= NOTICE && fields["k8s.ns.name"] == "dev" && !(rule in ["Noisy rule", "Other rule"])`); err != nil {
			b.Fatal(err)
		}
	}
}

// largest returns an event that is about as large as events can be.
func largest(tb testing.TB) *event.Event {
	e := shell(tb)
	e.Output = strings.Repeat("a", 400_000)
	e.Rule = strings.Repeat("a", 200_000)
	e.Tags = nil
	for range event.MaxTags {
		e.Tags = append(e.Tags, strings.Repeat("a", 500))
	}
	big := e.WithFields(event.Field{Name: "object", Value: event.CompositeValue(`[` + strings.Repeat(`"aaaaaaa",`, 30_000) + `0]`)})
	return &big
}

// costly are expressions that take long for the largest event.
var costly = []string{
	`output.matches("(a|aa)*b")`,
	`glob("*a*a*a*a*a*a*a*a*a*a*b", output)`,
	`tags.all(t, tags.all(u, t == u + "b" || output.contains(t)))`,
	`fields["object"].all(x, fields["object"].all(y, x == y || y != 0))`,
	`tags.all(t, fields["object"].all(x, output.endsWith(x)))`,
	`tags.map(t, output + output).size() > 0`,
	`fields.all(f, fields == {f: tags})`,
	`output.contains(rule + "b")`,
	`output.lowerAscii().upperAscii().trim() == ""`,
	`[output].map(x, x + x + x + x + x + x + x + x).map(x, x + x + x + x + x + x + x + x)[0] == ""`,
	`fields == {"a": 1} || tags == [rule]`,
	`glob("*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", output)`,
}

func BenchmarkCostly(b *testing.B) {
	e := largest(b)
	for _, text := range costly {
		b.Run(text, func(b *testing.B) {
			m := compiled(b, text)
			b.ReportAllocs()
			limited := 0.0
			for b.Loop() {
				if _, err := m.Eval(e); errors.Is(err, errCost) {
					limited = 1
				}
			}
			b.ReportMetric(limited, "limited")
		})
	}
}

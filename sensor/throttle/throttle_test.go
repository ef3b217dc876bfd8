package throttle

import (
	"fmt"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

var noisy = Rule{Name: "Noisy", Source: "syscall", Priority: event.Warning, Tags: []string{"file", "host"}}

func allowed(l *Limiter, r Rule, n int, now time.Time) int {
	count := 0
	for i := range n {
		if l.Allow(r, now, now.Add(-time.Duration(n-i)*time.Millisecond)) {
			count++
		}
	}
	return count
}

func TestAStormOfOneRuleLeavesOthersAlone(t *testing.T) {
	l, now := New(Config{Rate: 10, Burst: 5}), time.Now()
	if n := allowed(l, noisy, 100, now); n != 5 {
		t.Errorf("%d went out, want the burst of 5", n)
	}
	if n := allowed(l, Rule{Name: "Quiet", Source: "syscall"}, 1, now); n != 1 {
		t.Error("another rule was kept back")
	}
	if n := allowed(l, Rule{Name: "Noisy", Source: "k8s_audit"}, 1, now); n != 1 {
		t.Error("the rule of that name of another source was kept back")
	}
	if n := allowed(l, noisy, 100, now.Add(200*time.Millisecond)); n != 2 {
		t.Errorf("%d went out after a fifth of a second, want 2", n)
	}
	if l.Total() != 95+98 {
		t.Errorf("%d are counted as kept back", l.Total())
	}
}

func TestWhatWasKeptBackIsToldOnceAndWhole(t *testing.T) {
	l, now := New(Config{Rate: 1, Burst: 1}), time.Now()
	allowed(l, noisy, 4, now)
	due := l.Due(now)
	if len(due) != 1 || due[0].Count != 3 || due[0].Rule.Name != "Noisy" || due[0].Rule.Priority != event.Warning ||
		!due[0].First.Equal(now.Add(-3*time.Millisecond)) || !due[0].Last.Equal(now.Add(-time.Millisecond)) {
		t.Errorf("told is %+v", due)
	}
	if again := l.Due(now); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
}

func TestTheFirstOverrideThatFitsCounts(t *testing.T) {
	c := Config{Rate: 1, Burst: 1, Overrides: []Override{
		{Rule: "Nois*", Rate: 1, Burst: 3}, {Tag: "file", Rate: 1, Burst: 7}, {Rule: "Free", Rate: 0},
	}}
	for _, tt := range []struct {
		rule Rule
		want int
	}{
		{noisy, 3},
		{Rule{Name: "Other", Tags: []string{"file"}}, 7},
		{Rule{Name: "Free"}, 100},
		{Rule{Name: "Common"}, 1},
	} {
		if n := allowed(New(c), tt.rule, 100, time.Now()); n != tt.want {
			t.Errorf("of %s %d went out, want %d", tt.rule.Name, n, tt.want)
		}
	}
}

func TestWithoutARateNothingIsKeptBack(t *testing.T) {
	l := New(Config{})
	if n := allowed(l, noisy, 10_000, time.Now()); n != 10_000 || l.Total() != 0 {
		t.Errorf("%d went out", n)
	}
}

func TestNewLimitsApplyAtOnceAndForgetNothing(t *testing.T) {
	l, now := New(Config{Rate: 1, Burst: 1}), time.Now()
	allowed(l, noisy, 10, now)
	l.Configure(Config{Rate: 1, Burst: 4})
	if n := allowed(l, noisy, 10, now); n != 4 {
		t.Errorf("%d went out, want 4", n)
	}
	if due := l.Due(now); len(due) != 1 || due[0].Count != 9+6 {
		t.Errorf("told is %+v", due)
	}
}

// Rule names come from files that somebody else writes and reloads.
func TestRulesThatAreQuietAreForgotten(t *testing.T) {
	l, now := New(Config{Rate: 10, Burst: 10}), time.Now()
	for i := range 1000 {
		l.Allow(Rule{Name: fmt.Sprint(i)}, now, now)
	}
	l.Due(now.Add(time.Minute))
	if len(l.buckets) != 0 {
		t.Errorf("%d rules are remembered", len(l.buckets))
	}
}

func BenchmarkAllow(b *testing.B) {
	l, now := New(Config{Rate: 100, Burst: 1000}), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		l.Allow(noisy, now, now)
	}
}

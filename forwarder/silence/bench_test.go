package silence

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

// book returns a Book that knows one silence for each of the matchers.
func book(tb testing.TB, matchers ...Matcher) *Book {
	tb.Helper()
	b := New(nil, nil)
	for i, m := range matchers {
		c, err := compile(m)
		if err != nil {
			tb.Fatal(err)
		}
		id := fmt.Sprint(i)
		b.all[id] = &entry{
			Silence{ID: id, Matchers: []Matcher{m}, EndsAt: time.Now().Add(time.Hour)},
			[]matcher{c},
			new(atomic.Uint64),
		}
	}
	b.live.Store(newSnapshot(b.all, time.Now()))
	return b
}

func hundred(name, op, value string) []Matcher {
	ms := make([]Matcher, 100)
	for i := range ms {
		ms[i] = Matcher{name, op, fmt.Sprintf(value, i)}
	}
	return ms
}

func BenchmarkSilenced(b *testing.B) {
	for _, c := range []struct {
		name string
		book *Book
	}{
		{"none", book(b)},
		{"100 of a rule", book(b, hundred("rule", "=", "Terminal shell in container %d")...)},
		{"100 of a field", book(b, hundred("k8s.ns.name", "=", "ns-%d")...)},
		{"100 of a tag", book(b, hundred("tag", "=", "tag-%d")...)},
		{"100 expressions", book(b, hundred("k8s.ns.name", "=~", "ns-%d.*")...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, now := shell(), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.book.Silenced(e, now); ok {
					b.Fatal("it is silenced")
				}
			}
		})
	}
}

func TestAskingAboutAnEventAllocatesNothing(t *testing.T) {
	b := book(t, append(hundred("rule", "=", "r%d"), Matcher{"k8s.ns.name", "=", "dev-7"}, Matcher{"hostname", "=~", "x.*"})...)
	e, now := shell(), time.Now()
	if n := testing.AllocsPerRun(100, func() { b.Silenced(e, now) }); n != 0 {
		t.Errorf("%v allocations with silences", n)
	}
	none := book(t)
	other := &event.Event{Rule: "r"}
	if n := testing.AllocsPerRun(100, func() { none.Silenced(other, now) }); n != 0 {
		t.Errorf("%v allocations without", n)
	}
}

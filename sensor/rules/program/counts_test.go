package program

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

func TestTheTimeOfARuleIsEstimatedFromAFewEvents(t *testing.T) {
	slow := func(name string, d time.Duration) fields.Field {
		return fields.Field{Name: name, Doc: name, Extract: func(any, fields.Arg) fields.Value {
			time.Sleep(d)
			return fields.Text("a")
		}}
	}
	b := NewBuilder(fields.NewRegistry("test", []fields.Field{slow("a.slow", 3*time.Millisecond), slow("b.quick", time.Millisecond)}))
	var refs []Ref
	// The third rule asks for nothing that the first has not found out.
	for _, text := range []string{"a.slow = x", "b.quick = x", "a.slow = y"} {
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := b.Expr(e, nil)
		refs = append(refs, r)
	}
	p, err := b.Build(refs, []bool{true, true, true})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := p.NewMachine(false)
		const events = 2*timedEvery + 10
		for range events {
			m.Match(nil, nil)
		}
		want := []RuleCounts{
			{Evaluated: events, Time: events * 3 * time.Millisecond},
			{Evaluated: events, Time: events * time.Millisecond},
			{Evaluated: events},
		}
		if got := m.Counts(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

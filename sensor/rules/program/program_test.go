package program

import (
	"slices"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/filter"
)

func nameRegistry() *fields.Registry {
	return fields.NewRegistry("test", []fields.Field{{
		Name: "proc.name", Doc: "Name.",
		Extract: func(ev any, _ fields.Arg) fields.Value { return fields.Text(ev.(string)) },
	}})
}

func TestStaleResultsAreForgottenWhenRoundsStartOver(t *testing.T) {
	b := NewBuilder(nameRegistry())
	var refs []Ref
	for _, text := range []string{"proc.name = a", "not proc.name = a"} {
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r, problems := b.Expr(e, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		refs = append(refs, r)
	}
	p, err := b.Build(refs, []bool{true, true})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine(true)
	check := func(ev string, want int) {
		t.Helper()
		if got := m.Match(ev, nil); !slices.Equal(got, []int{want}) {
			t.Errorf("round %d: %q matches %v, want %d", m.round, ev, got, want)
		}
	}
	check("a", 0)
	m.round = maxRound - 1
	check("b", 1)
	check("a", 0)
	check("b", 1)
}

func TestSimilarNames(t *testing.T) {
	names := []string{"proc.name", "proc.pname", "fd.name", "container.image.repository", "x"}
	for name, want := range map[string]string{
		"proc.nmae":                  ` (did you mean "proc.name"?)`,
		"prc.name":                   ` (did you mean "proc.name"?)`,
		"container.image.repositroy": ` (did you mean "container.image.repository"?)`,
		"totally.different":          "",
		"y":                          "",
		"":                           "",
	} {
		if got := DidYouMean(name, slices.Values(names)); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

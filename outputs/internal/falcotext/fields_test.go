package falcotext

import (
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

func TestFieldsThatAreNotShownAreCounted(t *testing.T) {
	e := event.Event{Fields: []event.Field{
		{Name: "a", Value: event.StringValue("x")},
		{Name: "b", Value: event.StringValue("long text")},
		{Name: "c", Value: event.StringValue("y")},
		{Name: "d", Value: event.StringValue("z")},
	}}
	for n, want := range map[int][]Field{
		0: {{"…", "and 4 more fields"}},
		2: {{"a", "x"}, {"b", "long…"}, {"…", "and 2 more fields"}},
		4: {{"a", "x"}, {"b", "long…"}, {"c", "y"}, {"d", "z"}},
	} {
		if diff := cmp.Diff(want, Limits{Value: 5, Fields: n}.Show(StringFields(e))); diff != "" {
			t.Errorf("%d fields: %s", n, diff)
		}
	}
	if got := (Limits{Fields: 3}).Show(maps.All(map[string]string{})); got != nil {
		t.Errorf("of no fields are shown %v", got)
	}
}

func TestAMessageIsCutUntilItFits(t *testing.T) {
	wide := Limits{Text: 1000, Value: 100, Fields: 10}
	got := Fit(wide, func(l Limits) (Limits, bool) { return l, l.Text*l.Fields <= 3000 })
	if want := (Limits{Text: 562, Value: 56, Fields: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Fit(wide, func(l Limits) (Limits, bool) { return l, true }); got != wide {
		t.Errorf("what fits was made with %+v", got)
	}
	if got := Fit(wide, func(l Limits) (Limits, bool) { return l, false }); got != (Limits{Text: 16, Value: 16}) {
		t.Errorf("what never fits was made with %+v", got)
	}
	if got := Fit(Limits{Text: 3, Value: 2}, func(l Limits) (Limits, bool) { return l, false }); got != (Limits{Text: 3, Value: 2}) {
		t.Errorf("narrow limits became %+v", got)
	}
}

func TestValuesShowAsTemplatesPrintThem(t *testing.T) {
	for want, v := range map[string]event.Value{
		"<nil>":                {},
		"text":                 event.StringValue("text"),
		"true":                 event.BoolValue(true),
		"1507591916746609046":  event.NumberValue("1507591916746609046"),
		"[a 1 <nil> map[b:x]]": event.CompositeValue(`["a",1,null,{"b":"x"}]`),
	} {
		if got := Show(v, "<nil>"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	e := event.Event{Fields: []event.Field{{Name: "a"}, {Name: "b", Value: event.NumberValue("1")}}}
	var got []string
	for name, value := range AllFields(e, "none") {
		got = append(got, name+"="+value)
	}
	if diff := cmp.Diff([]string{"a=none", "b=1"}, got); diff != "" {
		t.Error(diff)
	}
	for range AllFields(e, "") {
		break // ends the iteration without a panic
	}
}

func TestCutUTF16CountsSurrogates(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 1, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"ééé", 3, "ééé"},
		{"éééé", 3, "éé…"},
		{"ab", 1, "…"},
		{"🦅🦅", 4, "🦅🦅"},
		{"🦅🦅🦅", 4, "🦅…"},
		{"🦅🦅", 3, "🦅…"},
		{"🦅", 1, "…"},
	} {
		got := CutUTF16(c.s, c.n)
		if got != c.want || LenUTF16(got) > c.n {
			t.Errorf("%q to %d units: got %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func FuzzCutUTF16(f *testing.F) {
	f.Add("éé🦅x", 2)
	f.Add("\xff\xfe\xfd", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(1, n)
		got := CutUTF16(s, n)
		if LenUTF16(got) > n || utf8.ValidString(s) && !utf8.ValidString(got) || !strings.HasPrefix(s, strings.TrimSuffix(got, Ellipsis)) {
			t.Errorf("%q to %d units: got %q", s, n, got)
		}
	})
}

package falcotext

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

func TestEachPriorityHasAColour(t *testing.T) {
	want := map[event.Priority]string{
		event.None: "", event.Debug: "#ccfff2", event.Informational: "#68c2ff", event.Notice: "#5bffb5", event.Warning: "#ffc700",
		event.Error: "#e20b0b", event.Critical: "#ff5400", event.Alert: "#ff5400", event.Emergency: "#e20b0b",
	}
	for p, colour := range want {
		if got := Colour(p); got != colour {
			t.Errorf("%v: got %q, want %q", p, got, colour)
		}
	}
}

func TestTimesHaveTheirZone(t *testing.T) {
	for text, want := range map[string]string{
		"2019-05-17T15:31:56.746609046Z": "2019-05-17 15:31:56.746609046 +0000 UTC",
		"2019-05-17T15:31:56Z":           "2019-05-17 15:31:56 +0000 UTC",
		"2019-05-17T15:31:56.5-03:30":    "2019-05-17 15:31:56.5 -0330 -0330",
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Time(at); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestOnlyStringsAreStringFields(t *testing.T) {
	e := event.Event{Fields: []event.Field{
		{Name: "a", Value: event.NumberValue("1")},
		{Name: "b", Value: event.StringValue("x")},
		{Name: "c"},
		{Name: "d", Value: event.StringValue("")},
		{Name: "e", Value: event.CompositeValue("{}")},
	}}
	var got []string
	for name, value := range StringFields(e) {
		got = append(got, name+"="+value)
	}
	if diff := cmp.Diff([]string{"b=x", "d="}, got); diff != "" {
		t.Error(diff)
	}
	for range StringFields(e) {
		break // ends the iteration without a panic
	}
}

func TestCutKeepsWholeCharacters(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 1, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"ééé", 3, "ééé"}, {"éééé", 3, "éé…"}, {"ab", 1, "…"}, {"🦅🦅🦅", 2, "🦅…"},
	} {
		if got := Cut(c.s, c.n); got != c.want {
			t.Errorf("%q to %d characters: got %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("éé🦅x", 2)
	f.Add("\xff\xfe\xfd", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(1, n)
		if got := Cut(s, n); utf8.RuneCountInString(got) > n || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q to %d characters: got %q", s, n, got)
		}
	})
}

func render(t *testing.T, text string, e event.Event) string {
	t.Helper()
	var tmpl Template
	if err := tmpl.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return tmpl.Render(e)
}

func TestATemplateSeesTheWholeEvent(t *testing.T) {
	e := event.Event{
		UUID: "u", Output: "<o>", Priority: event.Informational, Rule: "r", Source: "s", Tags: []string{"a", "b"}, Hostname: "h",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Fields: []event.Field{
			{Name: "bool", Value: event.BoolValue(true)},
			{Name: "evt.time", Value: event.NumberValue("1507591916746609046")},
			{Name: "list", Value: event.CompositeValue(`["x",{"y":1.50}]`)},
			{Name: "null"},
			{Name: "proc.name", Value: event.StringValue("sh")},
		},
	}
	for text, want := range map[string]string{
		"":              "",
		"{{.UUID}}":     "u",
		"{{.Output}}":   "<o>",
		"{{.Priority}}": "Informational",
		`{{if eq .Priority.String "Informational"}}yes{{end}}`: "yes",
		"{{.Rule}} {{.Source}} {{.Hostname}}":                  "r s h",
		"{{.Tags}} {{range .Tags}}<{{.}}>{{end}}":              "[a b] <a><b>",
		"{{.Time}}":                                       "2026-01-02 03:04:05.000000006 +0000 UTC",
		`{{.Time.Format "15:04"}}`:                        "03:04",
		`{{index .OutputFields "proc.name"}}`:             "sh",
		`{{index .OutputFields "evt.time"}}`:              "1507591916746609046",
		`{{index .OutputFields "bool"}}`:                  "true",
		`{{index .OutputFields "null"}}`:                  "<no value>",
		`{{index .OutputFields "no.such"}}`:               "<no value>",
		`{{index .OutputFields "list"}}`:                  "[x map[y:1.50]]",
		`{{range $k, $v := .OutputFields}}{{$k}} {{end}}`: "bool evt.time list null proc.name ",
		"before {{.NoSuch}}":                              "",
		`before {{index .Tags 9}}`:                        "",
		`{{template "none"}}`:                             "",
	} {
		if got := render(t, text, e); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestATemplateThatDoesNotParseIsRefused(t *testing.T) {
	for _, text := range []string{"{{.Rule", "{{nosuch .Rule}}", "{{end}}"} {
		var tmpl Template
		if err := tmpl.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "must be a Go template") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestARenderedTextIsCut(t *testing.T) {
	e := event.Event{Output: strings.Repeat("é", 1000)}
	text := strings.Repeat("{{.Output}}x", 100)
	got := render(t, text, e)
	if len(got) > MaxRendered || len(got) < MaxRendered-2 || !utf8.ValidString(got) {
		t.Errorf("got %d bytes, want about %d", len(got), MaxRendered)
	}
}

func TestATemplateShowsAsItsSource(t *testing.T) {
	var tmpl Template
	if err := tmpl.UnmarshalText([]byte("{{.Rule}}")); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(tmpl), strings.Trim(fmt.Sprintf("%#v", tmpl), `"`), strings.Trim(string(encoded), `"`)} {
		if got != "{{.Rule}}" {
			t.Errorf("got %s", got)
		}
	}
	if err := tmpl.UnmarshalText(nil); err != nil || tmpl.Render(event.Event{Rule: "r"}) != "" {
		t.Errorf("the empty text (%v) does not clear the template", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{.Rule}} {{index .OutputFields \"a\"}}")
	f.Add("{{range .Tags}}{{.}}{{else}}none{{end}}{{printf \"%99d\" 1}}")
	e := event.Event{Rule: "r", Tags: []string{"a"}, Fields: []event.Field{{Name: "a", Value: event.CompositeValue(`[1,2]`)}}}
	f.Fuzz(func(t *testing.T, text string) {
		var tmpl Template
		if tmpl.UnmarshalText([]byte(text)) != nil {
			return
		}
		if got := tmpl.Render(e); len(got) > MaxRendered || !utf8.ValidString(got) {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

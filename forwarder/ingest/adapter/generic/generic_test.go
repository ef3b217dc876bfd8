package generic

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
	"github.com/saker-security/saker/forwarder/ingest/adapter/adaptertest"
)

var zabbix = Mapping{
	Name: "zabbix", Each: "body.problems", Rule: "item.name", Output: `item.name + " on " + item.host.name + " (" + body.server + ")"`,
	Priority: "item.severity", Time: "item.clock", Hostname: "item.host.name", Source: "'zabbix'",
	Tags: "item.tags.map(t, t.tag + ':' + t.value)", ID: "item.eventid",
}

func mustNew(t testing.TB, m Mapping) adapter.Decode {
	t.Helper()
	decode, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	return decode
}

func TestEvents(t *testing.T) { adaptertest.Golden(t, mustNew(t, zabbix)) }

func TestAMistakeInAMappingNamesItsKeyAndPlace(t *testing.T) {
	base := Mapping{Name: "m", Rule: "'r'", Output: "'o'"}
	for _, tc := range []struct {
		name   string
		change func(*Mapping)
		want   string
	}{
		{"nothing", func(*Mapping) {}, ""},
		{"name", func(m *Mapping) { m.Name = "A b" }, "name: must be up to 63 lower-case letters, digits, - and _"},
		{"syntax", func(m *Mapping) { m.Rule = "item." }, "rule: line 1, column 6 of the expression: Syntax error: no viable alternative at input '.'; it may use body, item, headers and now"},
		{"unknown name", func(m *Mapping) { m.Output = "bdy.x" }, "output: line 1, column 1 of the expression: undeclared reference to 'bdy' (did you mean 'body'?); it may use body, item, headers and now"},
		{"wrong type", func(m *Mapping) { m.Rule = "size(body)" }, "rule: the expression must give text, not a number"},
		{"no list", func(m *Mapping) { m.Each = "'x'" }, "each: the expression must give a list, not text"},
		{"no map", func(m *Mapping) { m.Fields = "[1]" }, "fields: the expression must give a map, not a list"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := base
			tc.change(&m)
			got := ""
			if err := m.Validate(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestAMappingIsReadFromTheConfiguration(t *testing.T) {
	var c struct {
		Generic []Mapping `key:"generic" doc:"Mappings."`
	}
	file := "ingest:\n  generic:\n    - name: a\n      rule: body.rule\n      output: \"'x'\"\n    - name: b\n      rule: nope.x\n      output: \"'x'\"\n"
	_, err := config.Load(config.Source{File: "saker.yaml", Text: []byte(file)}, config.Section{Path: "ingest", Into: []any{&c}})
	if err == nil || !strings.HasPrefix(err.Error(), "saker.yaml:7: ingest.generic[1].rule: line 1, column 1 of the expression: undeclared reference to 'nope'") {
		t.Errorf("got %v", err)
	}
}

func TestWhatAnExpressionGives(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		parsed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.UTC()
	}
	e := func(change func(*event.Event)) event.Event {
		want := event.Event{Rule: "r", Output: "o", Priority: event.Informational, Time: adaptertest.Now, Source: "m"}
		want.Fields = []event.Field{{Name: "a", Value: event.NumberValue("1")}}
		change(&want)
		return want
	}
	fields := func(fs ...event.Field) func(*event.Event) { return func(e *event.Event) { e.Fields = fs } }
	for _, tc := range []struct {
		name string
		m    Mapping
		body string
		want event.Event
	}{
		{"defaults", Mapping{}, `{"a":1}`, e(func(*event.Event) {})},
		{"a number as text", Mapping{Output: "body.a"}, `{"a":1}`, e(func(e *event.Event) { e.Output = "1" })},
		{"an absent member", Mapping{Hostname: "body.?host", Tags: "body.?tags"}, `{"a":1}`, e(func(*event.Event) {})},
		{"null", Mapping{Hostname: "null", Priority: "null", Time: "null"}, `{"a":1}`, e(func(*event.Event) {})},
		{"a header", Mapping{Hostname: "headers['x-host']"}, `{"a":1}`, e(func(e *event.Event) { e.Hostname = "h" })},
		{"no credentials", Mapping{Hostname: "headers.?authorization"}, `{"a":1}`, e(func(*event.Event) {})},
		{"one tag", Mapping{Tags: "'t'"}, `{"a":1}`, e(func(e *event.Event) { e.Tags = []string{"t"} })},
		{"an RFC 3339 time", Mapping{Time: "'2026-01-02T03:04:05.5Z'"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-01-02T03:04:05.5Z") })},
		{"a timestamp", Mapping{Time: "now + duration('1s')"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:06:08Z") })},
		{"seconds", Mapping{Time: "1772600400"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:00:00Z") })},
		{"fractions", Mapping{Time: "1772600400.5"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:00:00.5Z") })},
		{"milliseconds", Mapping{Time: "1772600400123"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:00:00.123Z") })},
		{"microseconds", Mapping{Time: "1772600400123456"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:00:00.123456Z") })},
		{"nanoseconds", Mapping{Time: "1772600400123456789"}, `{"a":1}`, e(func(e *event.Event) { e.Time = at("2026-03-04T05:00:00.123456789Z") })},
		{
			"own fields",
			Mapping{Fields: `{"x": body.a, "y": {"z": [body.a, 1.5, true, null]}}`},
			`{"a":1}`,
			e(fields(event.Field{Name: "x", Value: event.NumberValue("1")}, event.Field{Name: "y.z", Value: event.CompositeValue("[1,1.5,true,null]")})),
		},
		{"a body that is no object", Mapping{}, `[1]`, e(fields(event.Field{Name: "item", Value: event.CompositeValue("[1]")}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := tc.m
			m.Name, m.Rule = "m", "'r'"
			if m.Output == "" {
				m.Output = "'o'"
			}
			all, err := mustNew(t, m)(adaptertest.Message(tc.body, "X-Host", "h", "Authorization", "Bearer s3cret"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]event.Event{tc.want}, all, cmp.AllowUnexported(event.Value{})); diff != "" {
				t.Errorf("the event differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	adaptertest.Errors(t, mustNew(t, zabbix), map[string]string{
		"":                       "the body must be JSON: the text ends too early",
		`{"problems":[]}`:        "each: the list must not be empty",
		`{"problems":null}`:      "each: must give a list, not null",
		`{"problems":7}`:         "each: must give a list, not a number",
		`{} {}`:                  "the body must be a single JSON value",
		`{"problems":[{"x":1}]}`: "event 1: rule: no such key: name",
		`{"server":"s","problems":[{"name":"n","host":{"name":"h"},"severity":"?","tags":[],"clock":1,"eventid":1}]}`:        `event 1: priority: must give a priority such as critical, error, warning or info, not "?"`,
		`{"server":"s","problems":[{"name":"n","host":{"name":"h"},"severity":"info","tags":[],"clock":"x","eventid":1}]}`:   `event 1: time: must give an RFC 3339 time, not "x"`,
		`{"server":"s","problems":[{"name":"n","host":{"name":"h"},"severity":"info","tags":[],"clock":1e300,"eventid":1}]}`: `event 1: time: must give a time`,
	})
}

func TestAnExpressionCannotWorkForEver(t *testing.T) {
	m := Mapping{Name: "m", Rule: "'r'", Output: "string(body.map(a, body.map(b, body.map(c, 1).size()).size()).size())"}
	_, err := mustNew(t, m)(adaptertest.Message("[" + strings.Repeat("1,", 2000) + "1]"))
	if err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("got %v", err)
	}
}

func TestMoreEventsThanAllowedAreRefused(t *testing.T) {
	m := Mapping{Name: "m", Each: "body", Rule: "'r'", Output: "'o'"}
	if _, err := mustNew(t, m)(adaptertest.Message("[" + strings.Repeat("1,", 100) + "1]")); err != adapter.ErrTooMany { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) { adaptertest.Fuzz(f, mustNew(f, zabbix)) }

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{"body", "item.a", "[1,2]", "{'a': body}", "now", "headers", "'x' + 1", "body.map(x, x)", "b'x'", "duration('1s')", "type(body)", "optional.none()"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := Mapping{Name: "m", Each: text, Rule: text, Output: text, Priority: text, Time: text, Tags: text, Fields: text, ID: text}
		for _, only := range []Mapping{m, {Name: "m", Rule: "'r'", Output: "'o'", Fields: text}, {Name: "m", Rule: text, Output: "'o'", Time: "null"}} {
			if only.Validate() != nil {
				continue
			}
			all, err := mustNew(t, only)(adaptertest.Message(`{"a":[{"b":1}]}`))
			if (err == nil) != (len(all) > 0) && len(all) != 1 {
				t.Errorf("%d events and the error %v", len(all), err)
			}
		}
	})
}

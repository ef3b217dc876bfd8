package event_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var compareValues = cmp.AllowUnexported(event.Value{})

// alert returns a valid event's JSON with the member called name replaced by raw JSON, or
// left out if raw is empty.
func alert(name, raw string) string {
	members := []struct{ name, raw string }{
		{"output", `"out"`},
		{"priority", `"Error"`},
		{"rule", `"a rule"`},
		{"time", `"2024-01-02T03:04:05Z"`},
		{"output_fields", `{"proc.name":"sh"}`},
		{"source", `"syscall"`},
		{"tags", `["a"]`},
		{"hostname", `"node"`},
	}
	var out []string
	found := false
	for _, m := range members {
		if m.name == name {
			m.raw = raw
			found = true
		}
		if m.raw != "" {
			out = append(out, `"`+m.name+`":`+m.raw)
		}
	}
	if !found && name != "" {
		out = append(out, `"`+name+`":`+raw)
	}
	return "{" + strings.Join(out, ",") + "}"
}

// decodeValid is what ingest asks of an event.
func decodeValid(text string) (event.Event, error) {
	e, err := event.Decode([]byte(text))
	if err == nil {
		err = e.Validate()
	}
	return e, err
}

func TestAlertsAreReencodedByteForByteAsFalcosidekickDoes(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.json")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(input), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			got := append(e.AppendJSON(nil), '\n')
			golden := strings.TrimSuffix(input, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeTakesWhatFalcosidekickTakes(t *testing.T) {
	tests := []struct {
		name, member, raw string
		check             func(event.Event) any
		want              any
	}{
		{"output may be absent", "output", ``, func(e event.Event) any { return e.Output }, ""},
		{"output may be null", "output", `null`, func(e event.Event) any { return e.Output }, ""},
		{"source may be absent", "source", ``, func(e event.Event) any { return e.Source }, ""},
		{"source may be null", "source", `null`, func(e event.Event) any { return e.Source }, ""},
		{"hostname may be absent", "hostname", ``, func(e event.Event) any { return e.Hostname }, ""},
		{"tags may be absent", "tags", ``, func(e event.Event) any { return len(e.Tags) }, 0},
		{"tags may be null", "tags", `null`, func(e event.Event) any { return len(e.Tags) }, 0},
		{"tags may be empty", "tags", `[]`, func(e event.Event) any { return len(e.Tags) }, 0},
		{"tags keep their order", "tags", `["b", "a"]`, func(e event.Event) any { return strings.Join(e.Tags, " ") }, "b a"},
		{"priority info", "priority", `"info"`, func(e event.Event) any { return e.Priority }, event.Informational},
		{"priority in upper case", "priority", `"EMERGENCY"`, func(e event.Event) any { return e.Priority }, event.Emergency},
		{"priority in mixed case", "priority", `"nOtIcE"`, func(e event.Event) any { return e.Priority }, event.Notice},
		{"a name in upper case", "HOSTNAME", `"other"`, func(e event.Event) any { return e.Hostname }, "other"},
		{"a name with a folding letter", "ho\u017ftname", `"other"`, func(e event.Event) any { return e.Hostname }, "other"},
		{"a name with an escape", `\u0072ule`, `"other"`, func(e event.Event) any { return e.Rule }, "other"},
		{"null leaves the earlier value", "Rule", `null`, func(e event.Event) any { return e.Rule }, "a rule"},
		{"the later of two priorities counts", "Priority", `"Alert"`, func(e event.Event) any { return e.Priority }, event.Alert},
		{"unknown members are dropped", "message", `{"a":[1,{"b":"\n"}]}`, func(e event.Event) any { return e.Rule }, "a rule"},
		{"invalid UTF-8 becomes U+FFFD", "rule", "\"a\xff\xc0b\"", func(e event.Event) any { return e.Rule }, "a\ufffd\ufffdb"},
		{"a pair of surrogates is one character", "rule", `"\uD83D\uDE00"`, func(e event.Event) any { return e.Rule }, "😀"},
		{"a lone surrogate becomes U+FFFD", "rule", `"\ud800\u0041"`, func(e event.Event) any { return e.Rule }, "\ufffdA"},
		{"all escapes", "rule", `"\"\\\/\b\f\n\r\t\u00e9"`, func(e event.Event) any { return e.Rule }, "\"\\/\b\f\n\r\té"},
		{"the later of two lists of tags counts", "Tags", `["b"]`, func(e event.Event) any { return strings.Join(e.Tags, " ") }, "b"},
		{"the later of two uuids counts", "x", `0,"uuid":"3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be111","uuid":"bad"`, func(e event.Event) any { return e.UUID }, ""},
		{"a uuid is kept", "uuid", `"3F0D6B1E-95a5-4e3c-9d0f-5a8f1c9be111"`, func(e event.Event) any { return e.UUID }, "3f0d6b1e-95a5-4e3c-9d0f-5a8f1c9be111"},
		{"a malformed uuid is as if absent", "uuid", `"x"`, func(e event.Event) any { return e.UUID }, ""},
		{"a uuid with a misplaced dash is as if absent", "uuid", `"3f0d6b1e995a5-4e3c-9d0f-5a8f1c9be111"`, func(e event.Event) any { return e.UUID }, ""},
		{"the nil uuid is as if absent", "uuid", `"00000000-0000-0000-0000-000000000000"`, func(e event.Event) any { return e.UUID }, ""},
		{"a uuid of another type is as if absent", "uuid", `{"a":1}`, func(e event.Event) any { return e.UUID }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := decodeValid(alert(tt.member, tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.check(e); got != tt.want {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

func TestBadEventsAreRefusedWithThePlaceOfTheMistake(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", ``, `the text ends at byte 0 where an object should be`},
		{"null", `null`, `an event must be an object, not null`},
		{"an array", `[]`, `an event must be an object, not an array`},
		{"a second object", `{} {}`, `the end of the text should be at byte 3, not '{'`},
		{"a broken object", `{"rule":"a"`, `the text ends at byte 11 where a comma or '}' should be`},
		{"a trailing comma", `{"rule":"a",}`, `a member's name should be at byte 12, not '}'`},
		{"no colon", `{"rule" "a"}`, `a colon should be at byte 8, not '"'`},
		{"an unknown member with bad JSON", `{"x":nul}`, `a value should be at byte 5, not 'n'`},
		{"a control character", "{\"rule\":\"a\nb\"}", `member "rule": an escape instead of a control character should be at byte 10, not '\n'`},
		{"a bad escape", `{"rule":"\x"}`, `member "rule": an escape sequence should be at byte 10, not 'x'`},
		{"a cut escape", `{"rule":"\u12"}`, `member "rule": an escape sequence should be at byte 10, not 'u'`},

		{"output of another type", alert("output", `1`), `member "output": must be a string, not a number`},
		{"rule absent", alert("rule", ``), `member "rule": is required`},
		{"rule null", alert("rule", `null`), `member "rule": is required`},
		{"rule empty", alert("rule", `""`), `member "rule": is required`},
		{"rule of another type", alert("rule", `[]`), `member "rule": must be a string, not an array`},
		{"priority absent", alert("priority", ``), `member "priority": is required`},
		{"priority null", alert("priority", `null`), `member "priority": is required`},
		{"priority empty", alert("priority", `""`), `member "priority": is required`},
		{"priority a number", alert("priority", `3`), `member "priority": must be a string, not a number`},
		{"priority unknown", alert("priority", `"high"`), `member "priority": must be one of emergency, alert, critical, error, warning, notice, informational, debug, not "high"`},
		{"priority with a space", alert("priority", `"Error "`), `member "priority": must be one of emergency, alert, critical, error, warning, notice, informational, debug, not "Error "`},
		{"time absent", alert("time", ``), `member "time": is required`},
		{"time null", alert("time", `null`), `member "time": is required`},
		{"time a number", alert("time", `1700000000`), `member "time": must be a string, not a number`},
		{"time zero", alert("time", `"0001-01-01T00:00:00Z"`), `member "time": is required`},
		{"time without a zone", alert("time", `"2024-01-02T03:04:05"`), `member "time": must be RFC 3339 with a zone, not "2024-01-02T03:04:05"`},
		{"time with a space", alert("time", `"2024-01-02 03:04:05Z"`), `member "time": must be RFC 3339 with a zone, not "2024-01-02 03:04:05Z"`},
		{"time with an offset of a day", alert("time", `"2024-01-02T03:04:05+24:00"`), `member "time": must be RFC 3339 with a zone, not "2024-01-02T03:04:05+24:00"`},
		{"a long time is shown in part", alert("time", `"`+strings.Repeat("x", 1000)+`"`), `member "time": must be RFC 3339 with a zone, not "` + strings.Repeat("x", 64) + `"…`},
		{"output_fields absent", alert("output_fields", ``), `member "output_fields": is required`},
		{"output_fields null", alert("output_fields", `null`), `member "output_fields": is required`},
		{"output_fields empty", alert("output_fields", `{}`), `member "output_fields": is required`},
		{"output_fields of another type", alert("output_fields", `"x"`), `member "output_fields": must be an object, not a string`},
		{"output_fields with a bad number", alert("output_fields", `{"a":01}`), `member "output_fields": a comma or '}' should be at byte 103, not '1'`},
		{"tags of another type", alert("tags", `"a"`), `member "tags": must be an array of strings, not a string`},
		{"a tag of another type", alert("tags", `["a",true]`), `member "tags": entry 2: must be a string, not true or false`},
		{"source of another type", alert("source", `{}`), `member "source": must be a string, not an object`},
		{"hostname of another type", alert("hostname", `false`), `member "hostname": must be a string, not true or false`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeValid(tt.text)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestTimesKeepTheirOffsetAndLoseTrailingZeros(t *testing.T) {
	for in, want := range map[string]string{
		"2019-05-17T15:31:56.746609046Z":      "2019-05-17T15:31:56.746609046Z",
		"2019-05-17T15:31:56.700000000Z":      "2019-05-17T15:31:56.7Z",
		"2019-05-17T15:31:56.000000000+00:00": "2019-05-17T15:31:56Z",
		"2019-05-17T15:31:56+05:30":           "2019-05-17T15:31:56+05:30",
		"2019-05-17T15:31:56.1-11:00":         "2019-05-17T15:31:56.1-11:00",
		"2019-05-17T15:31:56.1234567891Z":     "2019-05-17T15:31:56.123456789Z",
		"0000-02-29T23:59:59Z":                "0000-02-29T23:59:59Z",
		"9999-12-31T23:59:59+23:59":           "9999-12-31T23:59:59+23:59",
	} {
		e, err := decodeValid(alert("time", `"`+in+`"`))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := string(e.AppendJSON(nil)); !strings.Contains(got, `"time":"`+want+`"`) {
			t.Errorf("%s: got %s, want the time %s", in, got, want)
		}
	}
}

func TestOutputFieldsKeepTheirValues(t *testing.T) {
	tests := []struct {
		name, raw, want string
		kind            event.Kind
	}{
		{"a 64-bit integer", `18446744073709551615`, ``, event.Number},
		{"a number beyond float64", `123456789012345678901234567890.10`, ``, event.Number},
		{"minus zero", `-0`, ``, event.Number},
		{"an exponent", `1E+05`, ``, event.Number},
		{"true", `true`, ``, event.Bool},
		{"false", `false`, ``, event.Bool},
		{"null", `null`, ``, event.Null},
		{"an empty string", `""`, ``, event.String},
		{"HTML", `"<a href='x'>&</a>"`, `"\u003ca href='x'\u003e\u0026\u003c/a\u003e"`, event.String},
		{"control characters", `"\u0000\u001f\u007f"`, "\"\\u0000\\u001f\x7f\"", event.String},
		{"line separators", "\"\u2028\u2029\"", `"\u2028\u2029"`, event.String},
		{"an empty array", ` [ ] `, `[]`, event.Composite},
		{"an empty object", `{ }`, `{}`, event.Composite},
		{"a nested array", `[1, [2, ["<"]], null, true]`, `[1,[2,["\u003c"]],null,true]`, event.Composite},
		{"members are sorted, the last of a name counts", `{"b": 1, "a": {"d": 2, "c": [3], "d": 4}, "b": "x"}`, `{"a":{"c":[3],"d":4},"b":"x"}`, event.Composite},
		{"escaped names are compared unescaped", `{"\u0062": 1, "a\"": 2, "b": 3}`, `{"a\"":2,"b":3}`, event.Composite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.raw
			}
			e, err := decodeValid(alert("output_fields", `{"proc.aname[2]":`+tt.raw+`}`))
			if err != nil {
				t.Fatal(err)
			}
			v, ok := e.Field("proc.aname[2]")
			if got := string(v.AppendJSON(nil)); !ok || got != tt.want || v.Kind() != tt.kind {
				t.Errorf("got %v %s of kind %d, want %s of kind %d", ok, got, v.Kind(), tt.want, tt.kind)
			}
			parsed, err := event.ParseValue([]byte(tt.raw))
			if err != nil || parsed != v {
				t.Errorf("ParseValue: got %v, %v, want %v", parsed, err, v)
			}
		})
	}
}

func TestOutputFieldsAreSortedAndTheLastOfANameCounts(t *testing.T) {
	e, err := event.Decode([]byte(`{"output_fields":{"b":1,"a":2,"B":3,"b":"4"},"output_fields":{"a":5,"c":6}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Field{
		{Name: "B", Value: event.NumberValue("3")},
		{Name: "a", Value: event.NumberValue("5")},
		{Name: "b", Value: event.StringValue("4")},
		{Name: "c", Value: event.NumberValue("6")},
	}
	if diff := cmp.Diff(want, e.Fields, compareValues); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsAreEnforced(t *testing.T) {
	fields := func(n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = `"f` + strings.Repeat("x", i) + `":1`
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"t",`, n), ",") + "]" }
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	const deeper = `must not be nested deeper than 100 levels`
	tests := []struct{ name, text, want string }{
		{"as many fields as allowed", alert("output_fields", fields(event.MaxFields)), ``},
		{"too many fields", alert("output_fields", fields(event.MaxFields+1)), `member "output_fields": must not have more than 1024 entries`},
		{"as many tags as allowed", alert("tags", list(event.MaxTags)), ``},
		{"too many tags", alert("tags", list(event.MaxTags+1)), `member "tags": must not have more than 256 entries`},
		{"as deep as allowed", alert("output_fields", nested(event.MaxDepth-2)), ``},
		{"too deep", alert("output_fields", nested(event.MaxDepth-1)), `member "output_fields": ` + deeper},
		{"too deep in an unknown member", alert("x", nested(event.MaxDepth)), deeper},
		{"too large", alert("rule", `"`+strings.Repeat("a", event.MaxEventBytes)+`"`), `the event must not be larger than 1048576 bytes`},
		{"too large once it is escaped", alert("rule", `"`+strings.Repeat("<", event.MaxEventBytes/2)+`"`), `the event must not be larger than 1048576 bytes`},
		{"large but not too large", alert("rule", `"`+strings.Repeat("a", event.MaxEventBytes-1000)+`"`), ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeValid(tt.text)
			if got := errText(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestValidateRefusesAYearThatCannotBeWritten(t *testing.T) {
	e, err := event.Decode([]byte(alert("", "")))
	if err != nil {
		t.Fatal(err)
	}
	e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := e.Validate(); errText(err) != `member "time": must be of a year between 0 and 9999` {
		t.Error(err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDecodeAllTakesObjectsAndArrays(t *testing.T) {
	one, two := alert("rule", `"one"`), alert("rule", `"two"`)
	tests := []struct {
		name, text, rules, want string
		limit                   int
	}{
		{"one object", " " + one + "\n", "one", "", 10},
		{"NDJSON", one + "\n" + two + "\n", "one two", "", 10},
		{"NDJSON with blank lines", "\n" + one + "\r\n\r\n" + two, "one two", "", 10},
		{"concatenated objects", one + two + one, "one two one", "", 10},
		{"an array", "[" + one + " , " + two + "]\n", "one two", "", 10},
		{"as many as allowed", one + two, "one two", "", 2},
		{"no limit", one + two, "one two", "", 0},
		{"too many", one + two + one, "one two", `there must not be more than 2 events at once`, 2},
		{"too many in an array", "[" + one + "," + two + "]", "one", `there must not be more than 1 events at once`, 1},
		{"nothing", " \n", "", `there must be at least one event`, 10},
		{"an empty array", "[]", "", `there must be at least one event`, 10},
		{"a number", "1", "", `event 1: an event must be an object, not a number`, 10},
		{"an array in an array", "[[" + one + "]]", "", `event 1: an event must be an object, not an array`, 10},
		{"a bad member of the third", one + one + alert("time", `"x"`), "one one", `event 3: member "time": must be RFC 3339 with a zone, not "x"`, 10},
		{"bad syntax of the second", `{"a":1}` + "\n" + `{"a";1}`, "", `event 2: a colon should be at byte 12, not ';'`, 10},
		{"an array that doesn't end", "[" + one, "one", `event 2: the text ends at byte 164 where a comma or ']' should be`, 10},
		{"something after an array", "[" + one + "] x", "one", `event 2: the end of the text should be at byte 166, not 'x'`, 10},
		{"a trailing comma", "[" + one + ",]", "one", `event 2: an object should be at byte 165, not ']'`, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, err := event.DecodeAll([]byte(tt.text), tt.limit)
			if got := errText(err); got != tt.want {
				t.Errorf("got error  %s\nwant error %s", got, tt.want)
			}
			var rules []string
			for _, e := range events {
				if e.Rule != "" {
					rules = append(rules, e.Rule)
				}
			}
			if got := strings.Join(rules, " "); got != tt.rules {
				t.Errorf("got rules %q, want %q", got, tt.rules)
			}
		})
	}
}

func TestDecodeAllAllowsEachEventItsFullSizeAndDepth(t *testing.T) {
	deep := alert("output_fields", `{"a":`+strings.Repeat("[", event.MaxDepth-2)+strings.Repeat("]", event.MaxDepth-2)+`}`)
	large := alert("rule", `"`+strings.Repeat("a", event.MaxEventBytes-1000)+`"`)
	if events, err := event.DecodeAll([]byte("["+deep+","+large+","+large+"]"), 10); err != nil || len(events) != 3 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	huge := alert("rule", `"`+strings.Repeat("a", event.MaxEventBytes)+`"`)
	events, err := event.DecodeAll([]byte(deep+huge), 10)
	if len(events) != 1 || errText(err) != "event 2: must not be larger than 1048576 bytes" {
		t.Errorf("got %d events, %v", len(events), err)
	}
}

func TestADecodedEventKeepsNothingOfItsInput(t *testing.T) {
	data := []byte(typical)
	e, err := event.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	before := string(e.AppendJSON(nil))
	clear(data)
	if _, err := event.Decode([]byte(g1)); err != nil {
		t.Fatal(err)
	}
	if after := string(e.AppendJSON(nil)); after != before {
		t.Errorf("the event changed:\n%s\n%s", before, after)
	}
}

func TestEventsWorkWithEncodingJSON(t *testing.T) {
	var e event.Event
	if err := json.Unmarshal([]byte(g1), &e); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{e, &e} {
		got, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if want := string(e.AppendJSON(nil)); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	got, err := json.Marshal(map[string]event.Value{"a": event.StringValue("<"), "n": {}, "x": event.NumberValue("")})
	if want := `{"a":"\u003c","n":null,"x":null}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if err := json.Unmarshal([]byte(`{"rule":1}`), &e); err == nil || e.Rule != "Write below binary dir" {
		t.Errorf("a bad event gave %v and changed the target to %v", err, e)
	}
}

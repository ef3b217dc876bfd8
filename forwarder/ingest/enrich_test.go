package ingest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

var update = flag.Bool("update", false, "write the golden files")

// falcoEvent is an alert as Falco sends it.
const falcoEvent = `{"hostname":"node-1","output":"16:31:56.746609046: Error File <x> opened (user=root)","priority":"Error",` +
	`"rule":"Write below binary dir","source":"syscall","tags":["mitre_persistence","T1059"],"time":"2019-05-17T15:31:56.746609046Z",` +
	`"output_fields":{"evt.time":1507591916746609046,"fd.name":"/bin/hack","k8s.ns.name":"ns1","k8s.pod.name":null,` +
	`"proc.aname[2]":"bash","proc.cmdline":"touch /bin/hack","proc.pid":1234}}`

const fixedUUID = "0b6c1a4e-3a0f-4d55-9c3e-0d6b1d6f6a01"

func decodeOne(t testing.TB, text string) event.Event {
	t.Helper()
	e, err := event.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func enrich(t testing.TB, c Enrichment, e event.Event) event.Event {
	t.Helper()
	en, err := NewEnricher(c)
	if err != nil {
		t.Fatal(err)
	}
	e.UUID = fixedUUID
	return en.Enrich(e, true)
}

func TestEnrichmentMatchesItsGoldenFiles(t *testing.T) {
	custom := Enrichment{
		CustomFields: map[string]string{"cluster": "prod", "k8s.ns.name": "replaced"},
		CustomTags:   []string{"soc", "T1059"},
	}
	templated := Enrichment{
		CustomFields: map[string]string{"cluster": "prod"},
		TemplatedFields: map[string]string{
			"b.where":   `{{ index . "cluster" }}/{{ index . "k8s.ns.name" }}`,
			"c.chain":   `{{ index . "b.where" }}!`,
			"d.missing": `{{ index . "no.such" }}`,
			"e.number":  `{{ index . "evt.time" }}`,
			"f.null":    `{{ index . "k8s.pod.name" }}`,
			"g.broken":  `so far {{ index . "fd.name" 300 }} never`,
		},
	}
	brackets := Enrichment{BracketReplacer: "_"}
	format := Enrichment{
		CustomFields:      map[string]string{"b": "2", "a": "1"},
		TemplatedFields:   map[string]string{"t": `{{ index . "proc.pid" }}`},
		CustomTags:        []string{"soc"},
		OutputFieldFormat: "<timestamp>|<priority>|<output>|<custom_fields>|<templated_fields>|<tags>",
	}
	for _, tc := range []struct {
		name   string
		config Enrichment
		event  string
	}{
		{"nothing configured", Enrichment{}, falcoEvent},
		{"custom fields and tags", custom, falcoEvent},
		{"templated fields", templated, falcoEvent},
		{"bracket replacer", brackets, falcoEvent},
		{"output field format", format, falcoEvent},
		{"no source", Enrichment{}, strings.Replace(falcoEvent, `"source":"syscall",`, "", 1)},
		{"test rule", Enrichment{}, strings.Replace(falcoEvent, "Write below binary dir", "Test rule", 1)},
		{"long fields", Enrichment{}, strings.Replace(strings.Replace(falcoEvent,
			"touch /bin/hack", strings.Repeat("é", 2500), 1), "File <x>", "File "+strings.Repeat("é", 2500), 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := enrich(t, tc.config, decodeOne(t, tc.event))
			compareGolden(t, tc.name, append(e.AppendJSON(nil), '\n'))
		})
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "_")+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOutputFieldFormat(t *testing.T) {
	const prefixed = "16:31:56.746609046: Error File opened"
	for _, tc := range []struct{ name, format, output, tags, want string }{
		{"all parts", "<timestamp> [<priority>] <output>", prefixed, "", "16:31:56.746609046 [Error] File opened"},
		{"empty custom fields leave no brackets", "<output> (<custom_fields>)", prefixed, "", "File opened"},
		{"empty pair of fields leaves no brackets", "<output> (<custom_fields> <templated_fields>)", prefixed, "", "File opened"},
		{"tags", "<output> <tags>", prefixed, "a,b", "File opened a,b"},
		{"no prefix, no change", "<timestamp>", "File opened by root", "", "File opened by root"},
		{"priority in any case", "<output>", "1:2.3: eRRor x", "", "x"},
		{"tokens inside the text stay", "<output>", "1:2.3: Error say <tags>", "t", "say <tags>"},
		{"iso time is no prefix", "<timestamp>/<output>", "2026-11-23T15:31:07.000000001+0000: Notice a b", "", "2026-11-23T15:31:07.000000001+0000: Notice a b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := event.Event{Output: tc.output, Priority: event.Error}
			if tc.tags != "" {
				e.Tags = strings.Split(tc.tags, ",")
			}
			if got := reformat(tc.format, e, "", ""); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBracketReplacer(t *testing.T) {
	for _, tc := range []struct{ name, replacer, want string }{
		{"proc.aname[2]", "_", "proc.aname_2"},
		{"a[1][2]", ".", "a.1.2"},
		{"a]b[", "_", "ab_"},
		{"a]b", "_", "a]b"},
		{"plain", "_", "plain"},
	} {
		fields := []event.Field{{Name: tc.name, Value: event.StringValue("v")}}
		got := replaceBrackets(fields, tc.replacer)
		if got[0].Name != tc.want {
			t.Errorf("%q with %q: got %q, want %q", tc.name, tc.replacer, got[0].Name, tc.want)
		}
		if fields[0].Name != tc.name {
			t.Errorf("%q: the original field was changed", tc.name)
		}
	}
}

func TestTruncationCutsOnlyLongFieldsOfLongEvents(t *testing.T) {
	long, short := strings.Repeat("a", 3000), strings.Repeat("b", 512)
	base := event.Event{Rule: "r", Output: "before " + long + " after " + long}.WithFields(
		event.Field{Name: "long", Value: event.StringValue(long)},
		event.Field{Name: "short", Value: event.StringValue(short)},
		event.Field{Name: "number", Value: event.NumberValue(strings.Repeat("1", 600))},
	)
	cut := truncate(base)
	want := long[:507] + "[...]"
	if v, _ := cut.Field("long"); v.Text() != want {
		t.Errorf("the long field became %q", v.Text())
	}
	if v, _ := cut.Field("short"); v.Text() != short {
		t.Errorf("the short field became %q", v.Text())
	}
	if v, _ := cut.Field("number"); len(v.Text()) != 600 {
		t.Errorf("the number became %q", v.Text())
	}
	if cut.Output != "before "+want+" after "+want {
		t.Errorf("the output became %q", cut.Output)
	}
	if v, _ := base.Field("long"); v.Text() != long {
		t.Error("the original event was changed")
	}
	small := event.Event{Rule: "r"}.WithFields(event.Field{Name: "long", Value: event.StringValue(long)})
	small = truncate(small)
	if v, _ := small.Field("long"); v.Text() != long {
		t.Error("a field of an event within the limit was cut")
	}
}

func TestCutTextNeverEndsInsideACharacter(t *testing.T) {
	for _, s := range []string{strings.Repeat("é", 400), strings.Repeat("日本", 300), "x" + strings.Repeat("🦅", 200)} {
		for n := range 20 {
			if cut := s[:characterStart(s, 500+n)]; !utf8.ValidString(cut) || len(cut) < 497+n {
				t.Errorf("cut at %d: %d bytes, valid %t", 500+n, len(cut), utf8.ValidString(cut))
			}
		}
	}
}

func TestTemplatedTextIsBounded(t *testing.T) {
	tmpl, err := parseTemplate("t", `{{ range 100000 }}日本{{ end }}`)
	if err != nil {
		t.Fatal(err)
	}
	text := tmpl.render(nil)
	if n := len(text); n > maxTemplated || n < maxTemplated-utf8.UTFMax {
		t.Errorf("the text has %d bytes", n)
	}
	if !utf8.ValidString(text) {
		t.Error("the text is not valid UTF-8")
	}
}

func TestATemplateThatDoesNotParseIsAConfigurationError(t *testing.T) {
	c := Enrichment{TemplatedFields: map[string]string{"bad": "{{ if"}}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v", err)
	}
	if _, err := NewEnricher(c); err == nil {
		t.Error("NewEnricher took it")
	}
}

func TestUUIDIsKeptOnlyFromTrustedSendersAndOnlyWhenValid(t *testing.T) {
	for _, tc := range []struct {
		name, sent string
		trusted    bool
		kept       bool
	}{
		{"trusted and valid", fixedUUID, true, true},
		{"trusted, upper case", strings.ToUpper(fixedUUID), true, true},
		{"not trusted", fixedUUID, false, false},
		{"absent", "", true, false},
		{"not a UUID", "event-1", true, false},
		{"nil UUID", uuid.Nil.String(), true, false},
		{"in braces", "{" + fixedUUID + "}", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := identify(tc.sent, tc.trusted)
			if (got == fixedUUID) != tc.kept {
				t.Errorf("got %q", got)
			}
			if id, err := uuid.Parse(got); err != nil || id.Version() != 4 {
				t.Errorf("%q is no version 4 UUID", got)
			}
		})
	}
}

func TestEnrichDoesNotChangeItsInput(t *testing.T) {
	e := decodeOne(t, falcoEvent)
	before := string(e.AppendJSON(nil))
	enrich(t, Enrichment{
		CustomFields: map[string]string{"fd.name": "x"}, CustomTags: []string{"a"}, BracketReplacer: "_",
		TemplatedFields: map[string]string{"t": "x"}, OutputFieldFormat: "<output>",
	}, e)
	if after := string(e.AppendJSON(nil)); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

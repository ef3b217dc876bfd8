package alertmanager

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	late := regexp.MustCompile(`"endsAt":"20[^"]*"`) // the present, for an event delivered late
	outputstest.HTTP{
		Kind:   "alertmanager",
		Config: "{hostport: [URL], customheaders: {Authorization: Basic s3cret}}",
		Secret: "s3cret",
		Variants: map[string]string{
			"options": "{hostport: URL/am/, endpoint: /api/v1/alerts, expiresafter: 3600," +
				" extralabels: 'cluster: prod, rule: replaced', extraannotations: {runbook: 'https://example.com/r?a=b', info: replaced}," +
				" customseveritymap: 'debug: low, 8: page'}",
		},
		Wrong: map[string]string{
			"{}":                                                "hostport",
			"{hostport: ['h:9093']}":                            "hostport",
			"{hostport: [URL], endpoint: api}":                  "endpoint: must begin with /",
			"{hostport: [URL], expiresafter: -1}":               "expiresafter",
			"{hostport: [URL], extralabels: 'a-b: c'}":          `"a-b" is no name of a label`,
			"{hostport: [URL], extraannotations: {1: c}}":       `"1" is no name of a label`,
			"{hostport: [URL], customseveritymap: {high: x}}":   "customseveritymap",
			"{hostport: [URL], customseveritymap: {9: x}}":      "customseveritymap",
			"{hostport: [URL], dropeventthresholds: '10'}":      "dropeventthresholds",
			"{hostport: [URL], dropeventthresholds: '10:high'}": `"high" is no priority`,
			"{hostport: [URL], dropeventdefaultpriority: high}": "dropeventdefaultpriority",
			"{hostport: [URL], customheaders: {'': s3cret}}":    "customheaders",
		},
		Unordered: true,
		Clean:     func(s string) string { return late.ReplaceAllString(s, `"endsAt":"LATER"`) },
	}.Run(t)
}

func load(t *testing.T, text string) Config {
	t.Helper()
	cfg, err := outputstest.Load(outputstest.Kind(t, "alertmanager"), text)
	if err != nil {
		t.Fatal(err)
	}
	return *cfg.(*Config)
}

func TestNumbersOfDropsBecomeFewLabelsAndRaiseThePriority(t *testing.T) {
	for _, c := range []struct {
		thresholds string // "" for the default
		drops      event.Value
		label      string // "" for none
		priority   string
	}{
		{"", event.NumberValue("0"), "0", "Warning"},
		{"", event.NumberValue("1"), "1", "Critical"}, // below all thresholds
		{"", event.NumberValue("2"), ">1", "Warning"},
		{"", event.NumberValue("11"), ">10", "Warning"},
		{"", event.NumberValue("101"), ">100", "Critical"},
		{"", event.StringValue("1001"), ">1000", "Critical"},
		{"", event.NumberValue("10001"), ">10000", "Critical"},
		{"", event.StringValue("a few"), "", "Debug"},
		{"", event.NumberValue("1.5"), "", "Debug"},
		{"", event.BoolValue(true), "", "Debug"},
		{"10:critical: 1:warning", event.NumberValue("5"), ">1", "Warning"},
		{" 10 : alert ,,1:notice,", event.NumberValue("50"), ">10", "Alert"},
		{"1:notice, 10:alert", event.NumberValue("50"), ">10", "Alert"},
		{"100:alert", event.NumberValue("50"), "50", "Critical"},
	} {
		text := "hostport: [http://h]"
		if c.thresholds != "" {
			text += "\ndropeventthresholds: '" + c.thresholds + "'"
		}
		e := event.Event{Priority: event.Debug, Fields: []event.Field{{Name: "n_drops", Value: c.drops}}}
		got := payload(load(t, text), []event.Event{e}, time.Time{})[0].Labels
		if got["n_drops"] != c.label || got["priority"] != c.priority {
			t.Errorf("%q, %s drops: label %q and priority %s, want %q and %s",
				c.thresholds, c.drops.Text(), got["n_drops"], got["priority"], c.label, c.priority)
		}
	}
}

func TestDropsNeverLowerThePriority(t *testing.T) {
	e := event.Event{Priority: event.Emergency, Fields: []event.Field{{Name: "n_drops", Value: event.NumberValue("5")}}}
	got := payload(load(t, "hostport: [http://h]"), []event.Event{e}, time.Time{})[0].Labels
	if got["priority"] != "Emergency" || got["severity"] != "critical" {
		t.Errorf("got priority %s and severity %s, want Emergency and critical", got["priority"], got["severity"])
	}
}

func TestNamesOfFieldsBecomeNamesOfLabels(t *testing.T) {
	for name, want := range map[string]string{
		"proc.name":        "proc_name",
		"proc.aname[2]":    "proc_aname_2",
		"proc__odd..name_": "proc_odd_name",
		"a____b":           "a__b",
		"2nd":              "_2nd",
		"ключ":             "",
		"":                 "",
		"a-ü":              "a",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func TestAnAlertDeliveredLateStillExpiresAfterItsDelivery(t *testing.T) {
	c := load(t, "{hostport: [http://h], expiresafter: 60}")
	e := outputstest.Plain()
	for _, d := range []struct{ now, want time.Time }{
		{e.Time, e.Time.Add(time.Minute)},
		{e.Time.Add(time.Hour), e.Time.Add(time.Hour + time.Minute)},
	} {
		if got := payload(c, []event.Event{e}, d.now)[0].EndsAt; !got.Equal(d.want) {
			t.Errorf("delivered at %v, the alert ends at %v, want %v", d.now, got, d.want)
		}
	}
}

func TestEachOfSeveralAlertmanagersIsAnOutputOfItsOwn(t *testing.T) {
	kind, _ := outputs.Lookup("alertmanager")
	if parts := kind.Split(new(load(t, "hostport: [http://a]"))); parts != nil {
		t.Errorf("one Alertmanager is split into %v", parts)
	}
	c := load(t, "{hostport: ['http://a:9093', 'https://user:s3cret@b/am', 'http://a:9093/other'], extralabels: {x: y}}")
	var got []string
	for _, p := range kind.Split(&c) {
		part := *p.Config.(*Config)
		got = append(got, p.Suffix+" "+part.HostPort[0])
		if len(part.HostPort) != 1 || part.ExtraLabels["x"] != "y" || part.Endpoint != "/api/v2/alerts" {
			t.Errorf("part %q is %+v", p.Suffix, part)
		}
	}
	want := []string{"a:9093 http://a:9093", "b https://user:s3cret@b/am", "a:9093-2 http://a:9093/other"}
	if !slices.Equal(got, want) {
		t.Errorf("parts %q, want %q", got, want)
	}
}

func TestTextOfSettingsSurvivesReadingAndWriting(t *testing.T) {
	c := load(t, "{hostport: [http://h], customseveritymap: {3: low}, dropeventthresholds: '5:alert'}")
	thresholds, err := c.DropEventThresholds.MarshalText()
	if err != nil || string(thresholds) != "5:alert" {
		t.Errorf("thresholds are written as %q (%v)", thresholds, err)
	}
	if diff := cmp.Diff(map[Level]string{Level(event.Notice): "low"}, c.CustomSeverityMap); diff != "" {
		t.Error(diff)
	}
	level, err := Level(event.Notice).MarshalText()
	if err != nil || string(level) != "notice" {
		t.Errorf("a level is written as %q (%v)", level, err)
	}
}

func FuzzThresholds(f *testing.F) {
	f.Add("10000:critical: 1000:critical: 100:critical: 10:warning: 1:warning")
	f.Add("10:critical,1:warning")
	f.Add("99999999999999999999:alert")
	f.Fuzz(func(t *testing.T, text string) {
		var a, b Thresholds
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		for i := 1; i < len(a.list); i++ {
			if a.list[i-1].drops < a.list[i].drops {
				t.Errorf("%q: %d stands before %d", text, a.list[i-1].drops, a.list[i].drops)
			}
		}
		if err := b.UnmarshalText([]byte(a.String())); err != nil || len(a.list) != len(b.list) {
			t.Errorf("%q is not read again as it was", text)
		}
	})
}

package wavefront

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// point is a line of Wavefront's data format, as a strict reader sees it.
var point = regexp.MustCompile(`^"[^"\n]+" 1 -?\d+ source="falco-exporter"((?: "[^"\n]+"="(?:[^"\\\n]|\\[^\n])+")*)\n$`)

var tag = regexp.MustCompile(` "([^"\n]+)"="((?:[^"\\\n]|\\[^\n])+)"`)

func TestEveryEventIsAPointThatWavefrontTakes(t *testing.T) {
	events := outputstest.Events()
	for _, value := range []string{`C:\`, `a"b`, "'", " \t ", "a\nb", strings.Repeat("é", 500)} {
		e := outputstest.Plain()
		e.Fields = []event.Field{{Name: "text", Value: event.StringValue(value)}, {Name: "", Value: event.StringValue("x")}}
		events = append(events, outputstest.Fixture{Name: fmt.Sprintf("%.10q", value), Event: e})
	}
	for _, f := range events {
		line := string(appendPoint(nil, "falco.alert", f.Event))
		found := point.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("%s: not a point: %.300q", f.Name, line)
			continue
		}
		tags := tag.FindAllStringSubmatch(found[1], -1)
		if len(tags) > 20 {
			t.Errorf("%s: %d tags", f.Name, len(tags))
		}
		for _, pair := range tags {
			value := strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(pair[2])
			if n := utf8.RuneCountInString(pair[1]) + utf8.RuneCountInString(value); n > 254 {
				t.Errorf("%s: tag %s has %d characters", f.Name, pair[1], n)
			}
		}
	}
}

func TestMembersComeBeforeFieldsWhenThereAreTooManyTags(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = nil
	for i := range 40 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("a%02d", i), Value: event.StringValue("v")})
	}
	tags := pointTags(e)
	if len(tags) != 20 || tags["tags"] == "" || tags["severity"] != "Error" || tags["a14"] == "" || tags["a15"] != "" {
		t.Errorf("the tags are %v", tags)
	}
}

func TestAHostWithoutASchemeIsCompleted(t *testing.T) {
	for _, c := range []struct{ kind, host, want string }{
		{direct, "example.wavefront.com", "https://example.wavefront.com/report?f=wavefront"},
		{direct, "https://example.wavefront.com:8443/", "https://example.wavefront.com:8443/report?f=wavefront"},
		{proxy, "wavefront-proxy", "http://wavefront-proxy:2878/report?f=wavefront"},
		{proxy, "http://wavefront-proxy:2879/wf", "http://wavefront-proxy:2879/wf/report?f=wavefront"},
		{proxy, "https://wavefront-proxy", "https://wavefront-proxy:2878/report?f=wavefront"},
	} {
		got, err := Config{EndpointType: c.kind, EndpointHost: c.host, EndpointMetricPort: 2878}.address()
		if err != nil || got != c.want {
			t.Errorf("%s %s: %q, %v, want %q", c.kind, c.host, got, err, c.want)
		}
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("proc.aname[2]")
	f.Add("∆~x")
	f.Add("~")
	f.Fuzz(func(t *testing.T, name string) {
		if clean := sanitize(name); strings.ContainsAny(clean, "\"\n =") || sanitize(clean) != clean {
			t.Errorf("%q becomes %q", name, clean)
		}
	})
}

package influxdb

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "influxdb",
		Config: "{hostport: URL/, organization: org, token: s3cretToken}",
		Secret: "s3cretToken",
		Variants: map[string]string{
			"v1":       "{hostport: URL, user: 'a&b', password: 'c d', database: 'my db', precision: ms}",
			"v1_token": "{hostport: URL, user: u, password: p, token: t, precision: us, eventtime: true}",
			"times":    "{hostport: URL/prefix, organization: 'my org', bucket: b&c, eventtime: true, enablecompression: true}",
		},
		Wrong: map[string]string{
			"{}":                                     "hostport",
			"{hostport: 'influxdb:8086'}":            "hostport: must be a URL",
			"{hostport: 'http://u:s3cretToken@h'}":   "set user and password",
			"{hostport: 'URL?x=s3cretToken'}":        "without a query",
			"{hostport: URL, precision: d}":          "must be one of ns, us, ms, s, n, u, m, h",
			"{hostport: URL, eventtime: sometimes}":  "eventtime",
			"{hostport: URL, database: '', user: x}": "database: is required",
		},
		Hollow: map[string]outputstest.Outcome{"<html>sign in</html>": outputstest.Held},
		Answer: func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusNoContent) },
	}.Run(t)
}

func TestThePasswordInTheAddressDoesNotShow(t *testing.T) {
	outputstest.NoLeak(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, r.RequestURI)
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("influxdb", "{user: u, password: s3cret, hostport: "+s.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	outputstest.NoSecretIn(t, "s3cret", sender)
	err = sender.Send(t.Context(), []event.Event{outputstest.Plain()})
	outputstest.NoSecret(t, "s3cret", fmt.Sprint(err))
}

func TestRefusalsForTheDatabasesSakeAreHeld(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{400, `{"error":"partial write: field type conflict: input field \"value\" on measurement \"events\" is type string, already exists as type float dropped=1"}`, outputstest.Held},
		{422, `{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict"}`, outputstest.Held},
		{400, `{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\"events\" tag=\"rule\""}`, outputstest.Held},
		{400, `{"error":"partial write: points beyond retention policy dropped=1"}`, outputstest.Rejected},
		{400, `{"code":"invalid","message":"unable to parse 'x': missing tag value"}`, outputstest.Rejected},
		{404, `{"error":"database not found: \"falco\""}`, outputstest.Held},
		{429, `{"code":"too many requests"}`, outputstest.NotNow},
	} {
		err := judge(tc.status, nil, []byte(tc.body))
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d %s is %q, want %q", tc.status, tc.body, got, tc.want)
		}
	}
}

func TestOnlyPointsWithTimesGoTogether(t *testing.T) {
	for text, want := range map[string]int{"": 1, ", eventtime: true": maxBatch} {
		s, err := outputstest.New("influxdb", "{hostport: http://h"+text+"}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.(outputs.Limited).MaxBatch(); got != want {
			t.Errorf("%q: a Send takes %d events, want %d", text, got, want)
		}
	}
}

func TestAPointIsEscaped(t *testing.T) {
	e := event.Event{
		Rule: "a rule, b=c", Priority: event.Notice, Source: `s\`, Hostname: "h 1", Tags: []string{"x y", "z,"},
		Output: "say \"a\\b\"\nnow\xff", Time: time.Unix(12, 345678901),
		Fields: event.SortFields([]event.Field{
			{Name: "a b,c=d", Value: event.StringValue("1\n2\r3\x004")},
			{Name: "empty", Value: event.StringValue("")},
			{Name: "only", Value: event.StringValue(`\\`)},
			{Name: "path", Value: event.StringValue(`c:\x,y\`)},
			{Name: "source", Value: event.StringValue("own")},
			{Name: "n", Value: event.NumberValue("7")},
		}),
	}
	const series = `events,rule=a_rule\,_b\=c,priority=Notice,source=s,a\ b\,c\=d=1_2_3_4,path=c:\x\,y,output_fields.source=own,hostname=h\ 1,tags=x\ y_z\, value="say \"a\\b\"` + "\nnow\uFFFD\""
	for precision, stamp := range map[string]string{"ns": "12345678901", "n": "12345678901", "us": "12345678", "u": "12345678", "ms": "12345", "s": "12", "m": "0", "h": "0"} {
		got := string(appendPoint(nil, Config{Precision: precision, EventTime: true}, e))
		if want := series + " " + stamp; got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", precision, got, want)
		}
	}
	if got := string(appendPoint(nil, Config{}, e)); got != series {
		t.Errorf("got\n%s\nwant\n%s", got, series)
	}
}

func TestAPointIsNotLongerThanInfluxDBTakes(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("é", 50_000)
	e.Fields = nil
	for i := range 200 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("f%03d", i), Value: event.StringValue(strings.Repeat("=ß", 2000))})
	}
	point := string(appendPoint(nil, Config{}, e))
	series, text, _ := strings.Cut(point, ` value="`)
	if len(series) > 64<<10 || len(text) > 64<<10 || !utf8.ValidString(point) {
		t.Errorf("the series has %d bytes and the text %d", len(series), len(text))
	}
	if !strings.HasPrefix(series, "events,rule=") || strings.Contains(series, ",f199=") {
		t.Errorf("the series is %.80q", series)
	}
}

func FuzzPoint(f *testing.F) {
	f.Add("rule", "name", "value", "output")
	f.Add(`\`, "a=b,c", "\n", `"\`)
	f.Fuzz(func(t *testing.T, rule, name, value, output string) {
		e := event.Event{Rule: rule, Priority: event.Error, Output: output, Fields: []event.Field{{Name: name, Value: event.StringValue(value)}}}
		tags, text := parse(t, string(appendPoint(nil, Config{}, e)))
		if tags["priority"] != "Error" {
			t.Errorf("the tags are %q", tags)
		}
		if len(output) < maxText && text != clean(output) {
			t.Errorf("the text is %q, want %q", text, clean(output))
		}
	})
}

// parse reads a point as InfluxDB does.
func parse(t *testing.T, point string) (tags map[string]string, text string) {
	t.Helper()
	tags = map[string]string{}
	rest, ok := strings.CutPrefix(point, "events")
	for ok && strings.HasPrefix(rest, ",") {
		var key, value string
		key, rest = until(rest[1:], "=")
		value, rest = until(rest[1:], ", ")
		if _, twice := tags[key]; twice || key == "" || value == "" {
			t.Fatalf("the tag %q=%q of %q is empty or there twice", key, value, point)
		}
		tags[key] = value
	}
	rest, ok = strings.CutPrefix(rest, ` value="`)
	if !ok || !strings.HasSuffix(rest, `"`) {
		t.Fatalf("%q has no value", point)
	}
	return tags, strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(rest, `"`))
}

// until returns what stands before the first of the signs that is not escaped.
func until(s, signs string) (before, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(",= ", s[i+1]) >= 0 {
			i++
		} else if strings.IndexByte(signs, s[i]) >= 0 {
			return b.String(), s[i:]
		}
		b.WriteByte(s[i])
	}
	return b.String(), " "
}

func BenchmarkPoint(b *testing.B) {
	e := outputstest.Plain()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendPoint(dst[:0], Config{EventTime: true}, e)
	}
}

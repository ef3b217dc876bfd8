package discord

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersAreRead(t *testing.T) {
	for _, c := range []struct {
		status int
		header string // Retry-After
		body   string
		want   outputstest.Outcome
		pause  time.Duration
	}{
		{429, "", `{"message":"You are being rate limited.","retry_after":0.321,"global":false}`, outputstest.NotNow, 321 * time.Millisecond},
		{429, "1", `{"message":"You are being rate limited.","retry_after":0.321,"global":false}`, outputstest.NotNow, time.Second},
		{429, "", `{"retry_after":1e300}`, outputstest.NotNow, time.Hour},
		{429, "", `{"retry_after":-5}`, outputstest.NotNow, 0},
		{429, "", `error code: 1015`, outputstest.NotNow, 0},
		{400, "", `{"message":"Invalid Form Body","code":50035}`, outputstest.Rejected, 0},
		{400, "", `{"message":"Webhooks posted to forum channels must have a thread_name or thread_id","code":220001}`, outputstest.Held, 0},
		{401, "", `{"message":"Invalid Webhook Token","code":50027}`, outputstest.Held, 0},
		{404, "", `{"message":"Unknown Webhook","code":10015}`, outputstest.Held, 0},
	} {
		header := http.Header{}
		if c.header != "" {
			header.Set("Retry-After", c.header)
		}
		err := judge(c.status, header, []byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want || outputs.Delay(err) != c.pause {
			t.Errorf("%d %s is %q after %v, want %q after %v", c.status, c.body, got, outputs.Delay(err), c.want, c.pause)
		}
	}
}

func TestAFieldCannotEndItsCodeBlock(t *testing.T) {
	for text, want := range map[string]string{
		"":                "``````",
		"a```b":           "```a``\u200b`b```",
		"abcdefghijk":     "```abcde…```",
		"``` ``` ``` ```": "`````\u200b` …```",
	} {
		if got := fenced(text, 12); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestEmptyNamesAndValuesAreNotSent(t *testing.T) {
	e := event.Event{Rule: "r", Priority: event.Debug, Tags: []string{" "}, Fields: []event.Field{
		{Name: "", Value: event.StringValue("x")}, {Name: "y", Value: event.StringValue("")},
	}}
	for _, f := range payload(Config{}, e).Embeds[0].Fields {
		if strings.TrimSpace(f.Name) == "" || strings.TrimSpace(f.Value) == "" || f.Name == "source" || f.Name == "tags" {
			t.Errorf("there is a field %+v", f)
		}
	}
}

func TestAsManyFieldsAsDiscordTakesAreShown(t *testing.T) {
	for n, last := range map[int]string{19: "f18", 20: "…"} {
		e := outputstest.Plain()
		e.Fields = nil
		for i := range n {
			e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("f%02d", i), Value: event.StringValue("v")})
		}
		fields := payload(Config{}, e).Embeds[0].Fields
		if len(fields) != maxFields {
			t.Errorf("of %d output fields: %d fields", n, len(fields))
		}
		if got := fields[len(fields)-3].Name; got != last {
			t.Errorf("of %d output fields, the last is %q, want %q", n, got, last)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(429, []byte(`{"retry_after":0.5}`))
	f.Add(400, []byte(`{"code":220001}`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		err := judge(status, nil, answer)
		if err == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
		if d := outputs.Delay(err); d < 0 || d > maxPause {
			t.Errorf("a pause of %v", d)
		}
	})
}

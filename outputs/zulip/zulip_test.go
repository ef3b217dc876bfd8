package zulip

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const apiKey = "s3cretKey0123456789"

// accept refuses what Zulip refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, code, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"result":"error","msg":%q,"code":%q}`, text, code)
	}
	f, err := url.ParseQuery(string(body))
	user, password, _ := r.BasicAuth()
	content, topic := f.Get("content"), f.Get("topic")
	var to []string
	switch {
	case user != "saker-bot@example.com" || password != apiKey:
		refuse(401, "UNAUTHORIZED", "Invalid API key")
	case err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		refuse(400, "REQUEST_VARIABLE_MISSING", "Missing 'type' argument")
	case strings.TrimSpace(content) == "":
		refuse(400, "BAD_REQUEST", "Message must not be empty")
	case strings.ContainsRune(content+topic, 0):
		refuse(400, "BAD_REQUEST", "Message must not contain null bytes")
	case utf8.RuneCountInString(content) > 10000 || utf8.RuneCountInString(topic) > 60:
		refuse(400, "BAD_REQUEST", "Message too long")
	case f.Get("type") == "stream" && (f.Get("to") != "security" || topic == ""):
		refuse(400, "STREAM_DOES_NOT_EXIST", "Channel 'x' does not exist")
	case f.Get("type") == "private" && json.Unmarshal([]byte(f.Get("to")), &to) != nil:
		refuse(400, "BAD_REQUEST", "Invalid data type for recipients")
	default:
		_, _ = w.Write([]byte(`{"result":"success","msg":"","id":42,"automatic_new_visibility_policy":2}`))
	}
}

func Test(t *testing.T) {
	const (
		login  = "hostport: URL/, email: saker-bot@example.com, apikey: " + apiKey
		common = login + ", channel: security"
	)
	outputstest.HTTP{
		Kind:   "zulip",
		Config: "{" + common + "}",
		Secret: apiKey,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`:           outputstest.Held,
			``:                              outputstest.Held,
			`{"result":"error","msg":"no"}`: outputstest.Held,
			`{"result":"success"}`:          outputstest.Delivered,
		},
		Variants: map[string]string{
			"text":          "{" + common + ", outputformat: text, topic: 'Falco {{.Priority}}'}",
			"fields":        "{" + common + ", outputformat: fields, topic: ''}",
			"direct":        "{" + login + ", to: 'a@example.com, b@example.com'}",
			"messageformat": "{" + common + ", messageformat: '**{{.Rule}}** on {{.Hostname}}'}",
		},
		Wrong: map[string]string{
			"{" + login + "}":                                   "channel: either this or to",
			"{" + common + ", to: [a@example.com]}":             "channel: either this or to",
			"{email: a, apikey: " + apiKey + "}":                "hostport",
			"{hostport: URL, email: a, channel: c}":             "apikey",
			"{hostport: URL, apikey: a, channel: c}":            "email",
			"{hostport: chat, email: a, apikey: k, channel: c}": "hostport",
			"{" + common + ", topic: '{{'}":                     "topic",
		},
	}.Run(t)
}

func TestAMessageIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{400, `{"result":"error","msg":"Message must not be empty","code":"BAD_REQUEST"}`, outputstest.Rejected},
		{400, `{"result":"error","msg":"Channel 'x' does not exist","code":"STREAM_DOES_NOT_EXIST"}`, outputstest.Held},
		{400, `{"result":"error","msg":"Not authorized to send to channel 'x'","code":"BAD_REQUEST"}`, outputstest.Held},
		{401, `{"result":"error","msg":"Invalid API key","code":"INVALID_API_KEY"}`, outputstest.Held},
		{429, `{"result":"error","msg":"API usage exceeded rate limit","code":"RATE_LIMIT_HIT","retry-after":28.7}`, outputstest.NotNow},
	} {
		err := judge(c.status, http.Header{}, []byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func TestNothingInAnEventEndsItsBlockOfCode(t *testing.T) {
	e := event.Event{Rule: "r", Output: "a\n```\n@**all** ````` and ``b``\n````\n~~~\n"}
	got := content(Config{OutputFormat: "text"}, e)
	if n := strings.Count(got, "```"); n != 2 || !strings.HasSuffix(got, "\n```") {
		t.Errorf("%q has %d fences, want 2", got, n)
	}
}

func TestNoMessageIsOverTheLimits(t *testing.T) {
	for _, f := range outputstest.Events() {
		got := content(Config{OutputFormat: "all"}, f.Event)
		if n := utf8.RuneCountInString(got); n > maxContent {
			t.Errorf("%s: the message has %d characters", f.Name, n)
		}
		if n := utf8.RuneCountInString(topic(Config{}, f.Event)); n == 0 || n > maxTopic {
			t.Errorf("%s: the topic has %d characters", f.Name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"result":"error","msg":"Message must not be empty","code":"BAD_REQUEST"}`))
	f.Add([]byte(`{"result":"success"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a := parse(body); !json.Valid(body) && a != (answer{}) {
			t.Errorf("%q, which is no JSON, is read as %+v", body, a)
		}
	})
}

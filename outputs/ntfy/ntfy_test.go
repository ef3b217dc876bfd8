package ntfy

import (
	"encoding/json"
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const topic = "s3cret_topic"

// accept refuses what a server of ntfy refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil || r.Method != http.MethodPost {
		http.Error(w, `{"code":40024,"http":400,"error":"invalid request: request body must be message JSON"}`, http.StatusBadRequest)
		return
	}
	switch {
	case m.Topic != topic:
		http.Error(w, `{"code":40009,"http":400,"error":"invalid request: topic invalid"}`, http.StatusBadRequest)
	case m.Priority < 1 || m.Priority > 5:
		http.Error(w, `{"code":40007,"http":400,"error":"invalid request: priority invalid"}`, http.StatusBadRequest)
	case len(m.Message) > 4096:
		http.Error(w, `{"code":40012,"http":400,"error":"invalid request: message too large"}`, http.StatusBadRequest)
	case m.Message == "":
		http.Error(w, `a message without text reads "triggered"`, http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"sPs71M8A2T","time":1643935928,"event":"message","topic":"mytopic","message":"hi"}`))
	}
}

func Test(t *testing.T) {
	const common = "hostport: URL, topic: " + topic
	outputstest.HTTP{
		Kind:   "ntfy",
		Config: "{" + common + ", token: tk_s3cret}",
		Secret: topic + " tk_s3cret",
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>welcome</html>`: outputstest.Held,
			`{}`:                   outputstest.Held,
			`{"id":"a"}`:           outputstest.Delivered,
		},
		Variants: map[string]string{
			"text":          "{" + common + ", outputformat: text, user: me, password: pw, tags: [rotating_light, prod], click: https://example.com/, icon: https://example.com/i.png}",
			"fields":        "{" + common + ", outputformat: fields}",
			"messageformat": "{" + common + ", messageformat: '{{.Rule}} on {{.Hostname}}'}",
		},
		Wrong: map[string]string{
			"{hostport: URL}":                          "topic",
			"{hostport: URL, topic: 'a b'}":            "topic: must be of at most 64",
			"{hostport: 'ntfy.sh', topic: a}":          "hostport",
			"{" + common + ", token: t, user: u}":      "user: must not be set beside token",
			"{" + common + ", click: example}":         "click",
			"{" + common + ", icon: 'ftp://x/i.png'}":  "icon",
			"{" + common + ", messageformat: '{{'}":    "messageformat",
			"{" + common + ", outputformat: markdown}": "outputformat",
		},
	}.Run(t)
}

func TestNoMessageIsOverTheLimits(t *testing.T) {
	for _, f := range outputstest.Events() {
		m := payload(Config{OutputFormat: "all"}, f.Event)
		if len(m.Message) > 4096 || m.Message == "" || !utf8.ValidString(m.Message) || utf8.RuneCountInString(m.Title) > 250 {
			t.Errorf("%s: the message has %d bytes, the title %q", f.Name, len(m.Message), m.Title)
		}
	}
}

func TestEachPriorityHasItsNoise(t *testing.T) {
	want := map[event.Priority]int{
		event.None: 1, event.Debug: 1, event.Informational: 2, event.Notice: 3, event.Warning: 3,
		event.Error: 4, event.Critical: 5, event.Alert: 5, event.Emergency: 5,
	}
	for p, n := range want {
		if got := priority(p); got != n {
			t.Errorf("%v: got %d, want %d", p, got, n)
		}
	}
}

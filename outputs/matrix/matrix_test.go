package matrix

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const token = "syt_s3cret_token"

// accept refuses what a homeserver refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	var m message
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"errcode":"M_UNKNOWN_TOKEN","error":"Invalid access token"}`))
	case r.Method != http.MethodPut:
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = w.Write([]byte(`{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`))
	case len(body) > 65_000:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = w.Write([]byte(`{"errcode":"M_TOO_LARGE","error":"event too large"}`))
	case json.Unmarshal(body, &m) != nil || m.Body == "" || !strings.HasPrefix(m.MsgType, "m."):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"errcode":"M_BAD_JSON","error":"Event body is wrong"}`))
	default:
		_, _ = w.Write([]byte(`{"event_id":"$YUwRidLecu:example.com"}`))
	}
}

func Test(t *testing.T) {
	const common = "hostport: URL/, accesstoken: " + token + ", roomid: '!room/1:example.com'"
	outputstest.HTTP{
		Kind:   "matrix",
		Config: "{" + common + "}",
		Secret: token,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`: outputstest.Held,
			`{}`:                  outputstest.Held,
			`{"event_id":"$a"}`:   outputstest.Delivered,
		},
		Variants: map[string]string{
			"text":          "{" + common + ", outputformat: text, msgtype: m.notice}",
			"fields":        "{" + common + ", outputformat: fields}",
			"messageformat": "{" + common + ", messageformat: '{{.Rule}} on {{.Hostname}}'}",
		},
		Wrong: map[string]string{
			"{hostport: URL, roomid: '!a:b'}":                         "accesstoken",
			"{hostport: URL, accesstoken: " + token + "}":             "roomid",
			"{accesstoken: a, roomid: '!a:b'}":                        "hostport",
			"{hostport: URL, accesstoken: a, roomid: '#a:b'}":         "roomid: must be the room's internal id",
			"{hostport: example.com, accesstoken: a, roomid: '!a:b'}": "hostport",
			"{" + common + ", msgtype: m.image}":                      "msgtype",
		},
	}.Run(t)
}

func TestTheHomeserverSaysWhenToComeBack(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":2000}`: 2 * time.Second,
		`{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1e300}`:                            time.Hour,
		`{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":-1}`:                               0,
		`{"errcode":"M_LIMIT_EXCEEDED"}`:                                                   0,
		`too many`:                                                                         0,
	} {
		err := judge(http.StatusTooManyRequests, http.Header{}, []byte(body))
		if got := outputs.Delay(err); got != want || outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("%s: got a pause of %v (%v), want %v", body, got, err, want)
		}
	}
	header := http.Header{"Retry-After": {"7"}}
	if got := outputs.Delay(judge(429, header, []byte(`{"retry_after_ms":2000}`))); got != 7*time.Second {
		t.Errorf("with Retry-After: 7 the pause is %v", got)
	}
}

func TestNoMessageIsTooLargeForAnEvent(t *testing.T) {
	hard := outputstest.Plain()
	hard.Output = strings.Repeat("\\\"\n", 40_000)
	hard.Fields = nil
	for i := range 500 {
		hard.Fields = append(hard.Fields, event.Field{Name: strings.Repeat("<", i+1), Value: event.StringValue(strings.Repeat("&\"\\", 5000))})
	}
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "hard", Event: hard}) {
		m := payload(Config{OutputFormat: "all", MsgType: "m.text"}, f.Event)
		body, err := httpx.Encode(m)
		if err != nil || len(body) > 60_000 || strings.ContainsRune(m.Body+m.FormattedBody, 0) {
			t.Errorf("%s: the message has %d bytes (%v)", f.Name, len(body), err)
		}
		if !utf8.ValidString(m.FormattedBody) || strings.Count(m.FormattedBody, "<li>") != strings.Count(m.FormattedBody, "</li>") {
			t.Errorf("%s: the HTML is broken", f.Name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2000}`))
	f.Add([]byte(`{"event_id":"$a"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a := parse(body); !json.Valid(body) && a != (answer{}) {
			t.Errorf("%q, which is no JSON, is read as %+v", body, a)
		}
		if d := outputs.Delay(judge(429, http.Header{}, body)); d < 0 || d > time.Hour {
			t.Errorf("%q asks for %v", body, d)
		}
	})
}

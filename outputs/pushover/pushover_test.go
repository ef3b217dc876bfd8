package pushover

import (
	"encoding/json"
	"fmt"
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

const (
	token   = "s3crettoken0123456789abcdefghi"
	userKey = "s3cretuser00123456789abcdefghi"
)

// accept refuses what Pushover refuses.
func accept(w http.ResponseWriter, _ *http.Request, body []byte) {
	var m message
	var wrong []string
	check := func(ok bool, member, text string) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(`"%s":"invalid","errors":["%s"]`, member, text))
		}
	}
	check(json.Unmarshal(body, &m) == nil, "message", "cannot be blank")
	check(m.Token == token, "token", "application token is invalid")
	check(m.User == userKey, "user", "user identifier is not a valid user, group, or subscribed user key")
	check(m.Message != "" && utf8.RuneCountInString(m.Message) <= 1024, "message", "message is longer than 1024 characters")
	check(utf8.RuneCountInString(m.Title) <= 250, "title", "title is longer than 250 characters")
	check(m.Priority >= -2 && m.Priority <= 2, "priority", "priority is invalid")
	check(m.Priority != 2 || m.Retry >= 30 && m.Expire > 0 && m.Expire <= 10800, "retry", "retry parameter must be supplied with priority=2")
	w.Header().Set("Content-Type", "application/json")
	if len(wrong) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{%s,"status":0,"request":"5042853c"}`, wrong[0])
		return
	}
	_, _ = w.Write([]byte(`{"status":1,"request":"647d2300-702c-4b38-8b2f-d56326ae460b"}`))
}

func Test(t *testing.T) {
	const common = "apiurl: URL/, token: " + token + ", userkey: " + userKey
	outputstest.HTTP{
		Kind:   "pushover",
		Config: "{" + common + "}",
		Secret: token + " " + userKey,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>welcome</html>`:         outputstest.Held,
			`{"status":0,"errors":["no"]}`: outputstest.Held,
			`{"status":1}`:                 outputstest.Delivered,
		},
		Variants: map[string]string{
			"acknowledge":   "{" + common + ", acknowledgeat: critical, repeatevery: 30, repeatfor: 3h, device: 'phone,desk', sound: siren, outputformat: text}",
			"messageformat": "{" + common + ", messageformat: '{{.Rule}} on {{.Hostname}}'}",
		},
		Wrong: map[string]string{
			"{apiurl: URL, userkey: u}":             "token",
			"{apiurl: URL, token: t}":               "userkey",
			"{" + common + ", repeatevery: 29}":     "repeatevery: must be at least 30s",
			"{" + common + ", repeatfor: 4h}":       "repeatfor",
			"{" + common + ", repeatfor: 0}":        "repeatfor",
			"{" + common + ", acknowledgeat: huge}": "acknowledgeat",
			"{token: t, userkey: u, apiurl: here}":  "apiurl",
		},
	}.Run(t)
}

// answering returns what Send makes of an answer.
func answering(t *testing.T, status int, body string) error {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	sender, err := outputstest.New("pushover", "{apiurl: "+s.URL+", token: "+token+", userkey: "+userKey+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	return sender.Send(t.Context(), []event.Event{outputstest.Plain()})
}

func TestAMessageIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   outputstest.Outcome
		text   string
	}{
		{"an unknown user", 400, `{"user":"invalid","errors":["user identifier ` + userKey + ` is invalid"],"status":0}`, outputstest.Held, "user identifier [hidden] is invalid"},
		{"an unknown application", 400, `{"token":"invalid","errors":["application token is invalid"],"status":0}`, outputstest.Held, "application token is invalid"},
		{"a blank message", 400, `{"message":"cannot be blank","errors":["message cannot be blank"],"status":0}`, outputstest.Rejected, "message cannot be blank"},
		{"the month's messages used up", 429, `{"errors":["application has exceeded monthly quota"],"status":0}`, outputstest.NotNow, "429"},
		{"success that is none", 200, `{"status":0,"errors":["no"]}`, outputstest.Held, "without accepting"},
		{"a page in place of an answer", 200, `<html>welcome</html>`, outputstest.Held, "no reason given"},
		{"success", 200, `{"status":1}`, outputstest.Delivered, ""},
	} {
		err := answering(t, c.status, c.body)
		if got := outputstest.OutcomeOf(err); got != c.want || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s is %q (%v), want %q with %q", c.name, got, err, c.want, c.text)
		}
		outputstest.NoSecret(t, token+" "+userKey, fmt.Sprint(err))
	}
}

func TestAUsedUpQuotaIsTriedWhenItIsCountedAnew(t *testing.T) {
	for at, want := range map[string]time.Duration{
		fmt.Sprint(time.Now().Add(10 * time.Minute).Unix()):    10 * time.Minute,
		fmt.Sprint(time.Now().Add(20 * 24 * time.Hour).Unix()): time.Hour,
		"1": 0, "soon": 0, "": 0,
	} {
		err := judge(http.StatusTooManyRequests, http.Header{"X-Limit-App-Reset": {at}}, nil)
		if got := outputs.Delay(err); got > want || want-got > time.Minute || outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("reset at %q: %v is tried after %v, want %v", at, err, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"user":"invalid","errors":["user identifier is invalid"],"status":0}`))
	f.Add([]byte(`{"status":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a := parse(body); !json.Valid(body) && (a.Status != 0 || a.Errors != nil || a.Message != "") {
			t.Errorf("%q, which is no JSON, is read as %+v", body, a)
		}
	})
}

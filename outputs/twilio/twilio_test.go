package twilio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "s3cret0123456789abcdef0123456789"
)

// accept refuses what Twilio refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status, code int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%d,"message":%q,"more_info":"https://www.twilio.com/docs/errors/%d","status":%d}`, code, text, code, status)
	}
	f, err := url.ParseQuery(string(body))
	user, password, _ := r.BasicAuth()
	switch {
	case password != token || user != account && user != "SK0123456789abcdef":
		refuse(401, 20003, "Authenticate")
	case err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		refuse(400, 21604, "A 'To' phone number is required.")
	case !strings.HasPrefix(f.Get("To"), "+"):
		refuse(400, 21211, "Invalid 'To' Phone Number")
	case f.Get("From") == "" && f.Get("MessagingServiceSid") == "":
		refuse(400, 21603, "A 'From' phone number is required.")
	case f.Get("Body") == "":
		refuse(400, 21602, "Message body is required.")
	case utf8.RuneCountInString(f.Get("Body")) > 1600:
		refuse(400, 21617, "The concatenated message body exceeds the 1600 character limit")
	default:
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}`))
	}
}

func Test(t *testing.T) {
	const (
		login  = "apiurl: URL/, accountsid: " + account + ", authtoken: " + token
		common = login + ", from: '+15017122661', to: ['+15558675310']"
	)
	outputstest.HTTP{
		Kind:   "twilio",
		Config: "{" + common + "}",
		Secret: token,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`: outputstest.Held,
			`{"sid":null}`:        outputstest.Held,
			`{"sid":"SM1"}`:       outputstest.Delivered,
		},
		Variants: map[string]string{
			"service":       "{" + login + ", apikeysid: SK0123456789abcdef, messagingservicesid: MG0123456789abcdef, to: '+15558675310', maxlength: 1600}",
			"messageformat": "{" + common + ", messageformat: '{{.Rule}} on {{.Hostname}}'}",
		},
		Wrong: map[string]string{
			"{" + login + ", from: '+1501'}":                                                   "to",
			"{" + login + ", from: '+1501', to: ['0151 23']}":                                  `"0151 23" is no number`,
			"{" + login + ", to: ['+1501']}":                                                   "from: either this or messagingservicesid",
			"{" + common + ", messagingservicesid: MG0123456789}":                              "from: either this or messagingservicesid",
			"{" + common + ", maxlength: 1601}":                                                "maxlength: must be from 1 to 1600",
			"{" + common + ", maxlength: 0}":                                                   "maxlength",
			"{accountsid: 'AC/../x', authtoken: t, from: a, to: ['+150']}":                     "accountsid: must be a SID",
			"{accountsid: " + account + ", from: a, to: ['+150']}":                             "authtoken",
			"{apiurl: here, accountsid: " + account + ", authtoken: t, from: a, to: ['+150']}": "apiurl",
		},
	}.Run(t)
}

func TestEachNumberIsAnOutputOfItsOwn(t *testing.T) {
	c := Config{To: []string{"+15551", "+15552", "+15551"}, From: "+1"}
	var got []string
	for _, p := range split(c) {
		got = append(got, p.Suffix+" "+strings.Join(p.Config.To, ","))
		if p.Config.From != "+1" {
			t.Errorf("part %s lost its settings", p.Suffix)
		}
	}
	if want := "+15551 +15551|+15552 +15552|+15551-2 +15551"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if split(Config{To: []string{"+15551"}}) != nil {
		t.Error("one number is split")
	}
}

func TestAMessageIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		status, code int
		want         outputstest.Outcome
	}{
		{400, 21617, outputstest.Rejected}, // too long
		{400, 21211, outputstest.Held},     // no such number
		{400, 21610, outputstest.Held},     // the recipient has unsubscribed
		{400, 21408, outputstest.Held},     // region not permitted
		{400, 21606, outputstest.Held},     // from cannot send
		{401, 20003, outputstest.Held},
		{429, 20429, outputstest.NotNow},
		{429, 63038, outputstest.NotNow}, // the day's messages are used up
		{503, 20503, outputstest.NotNow},
	} {
		body := fmt.Appendf(nil, `{"code":%d,"message":"no"}`, c.code)
		err := judge(c.status, http.Header{}, body)
		if got := outputstest.OutcomeOf(err); got != c.want || !strings.Contains(err.Error(), fmt.Sprint(c.code)) {
			t.Errorf("%d with code %d is %q (%v), want %q", c.status, c.code, got, err, c.want)
		}
	}
}

func TestNoMessageIsLongerThanItMayBe(t *testing.T) {
	for _, f := range outputstest.Events() {
		for _, most := range []int{1, 160, 1600} {
			got := text(Config{MaxLength: most}, f.Event)
			if n := utf8.RuneCountInString(got); n == 0 || n > most || strings.ContainsRune(got, 0) {
				t.Errorf("%s: the message has %d characters, want at most %d", f.Name, n, most)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"code":21211,"message":"Invalid 'To' Phone Number","status":400}`))
	f.Add([]byte(`{"sid":"SM0123"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a := parse(body); !json.Valid(body) && a != (answer{}) {
			t.Errorf("%q, which is no JSON, is read as %+v", body, a)
		}
	})
}

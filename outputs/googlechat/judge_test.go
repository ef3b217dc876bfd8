package googlechat

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAWrongKeyIsHeld(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`, outputstest.Held},
		{400, `{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}`, outputstest.Held},
		{400, `{"error":{"code":400,"message":"Message cannot be empty.","status":"INVALID_ARGUMENT"}}`, outputstest.Rejected},
		{403, `{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}`, outputstest.Held},
		{404, `{"error":{"code":404,"status":"NOT_FOUND"}}`, outputstest.Held},
		{429, `{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}`, outputstest.NotNow},
	} {
		if got := outputstest.OutcomeOf(judge(c.status, nil, []byte(c.body))); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func TestATextMessageIsNeverEmpty(t *testing.T) {
	e := event.Event{Rule: "r"}
	if got := payload(Config{OutputFormat: "text"}, e, widest); got.Text != "r" || got.Cards != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTheNameOfAThreadIsCut(t *testing.T) {
	var key falcotext.Template
	if err := key.UnmarshalText([]byte("{{.Output}}")); err != nil {
		t.Fatal(err)
	}
	m := payload(Config{ThreadKey: key}, event.Event{Output: strings.Repeat("x", 9000)}, widest)
	if m.Thread == nil || falcotext.LenUTF16(m.Thread.Key) != maxThreadKey {
		t.Errorf("got %+v", m.Thread)
	}
	if m := payload(Config{ThreadKey: key}, event.Event{}, widest); m.Thread != nil {
		t.Errorf("a thread without a name: %+v", m.Thread)
	}
}

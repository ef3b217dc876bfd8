package rocketchat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersThatAreNotTheEventsFaultAreHeld(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{400, `{"success":false,"error":"Invalid integration id or token provided."}`, outputstest.Held},
		{404, `{"success":false,"error":"Invalid integration id or token provided."}`, outputstest.Held},
		{400, `{"success":false,"error":"invalid-channel"}`, outputstest.Held},
		{400, `{"success":false,"error":"error-not-allowed"}`, outputstest.Held},
		{400, `{"success":false,"error":"error-running-script"}`, outputstest.Held},
		{400, `{"success":false,"error":"error-message-size-exceeded"}`, outputstest.Rejected},
		{400, `{"success":false}`, outputstest.Rejected},
		{400, `no`, outputstest.Rejected},
		{429, `{"success":false,"error":"Error, too many requests. Please slow down. [error-too-many-requests]"}`, outputstest.NotNow},
		{503, `Service Unavailable`, outputstest.NotNow},
	} {
		if got := outputstest.OutcomeOf(judge(c.status, nil, []byte(c.body))); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func TestA200WithoutSuccessIsNoSuccess(t *testing.T) {
	for _, c := range []struct {
		body  string
		want  outputstest.Outcome
		shows string
	}{
		{`{"success":true}`, outputstest.Delivered, ""},
		{`{}`, outputstest.Delivered, ""},
		{`whatever a script answers`, outputstest.Delivered, ""},
		{`{"success":false,"error":"invalid-channel"}`, outputstest.Held, "invalid-channel"},
		{`{"success":false,"error":"unknown-error"}`, outputstest.NotNow, "unknown-error"},
		{`{"success":false,"error":"no such room for token s3cretT0ken"}`, outputstest.Held, "no reason"},
		{`{"success":false}`, outputstest.NotNow, "no reason"},
	} {
		err := accepted([]byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%s is %q, want %q", c.body, got, c.want)
		}
		if err != nil && (!strings.Contains(err.Error(), c.shows) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: the error is %q", c.body, err)
		}
	}
}

func TestTheFooterHasNoEffectAndSaysSo(t *testing.T) {
	e := outputstest.Plain()
	with, without := payload(Config{Footer: "mine"}, e, widest), payload(Config{}, e, widest)
	if diff := cmp.Diff(without, with); diff != "" {
		t.Error(diff)
	}
	fields, err := config.Fields(new(Config))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if (f.Inert != "") != (f.Key == "footer") {
			t.Errorf("%s has no effect: %q", f.Key, f.Inert)
		}
	}
}

func TestATextMessageIsNeverEmpty(t *testing.T) {
	if got := payload(Config{OutputFormat: "text"}, event.Event{Rule: "r"}, widest); got.Text != "r" || got.Attachments != nil {
		t.Errorf("got %+v", got)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(400, []byte(`{"success":false,"error":"invalid-channel"}`))
	f.Add(500, []byte("no"))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if judge(status, nil, answer) == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
		if err := accepted(answer); err != nil && len(err.Error()) > 200 {
			t.Errorf("a long error: %v", err)
		}
	})
}

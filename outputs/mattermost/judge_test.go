package mattermost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersOfTheWebhookAreToldApart(t *testing.T) {
	for _, c := range []struct {
		status int
		id     string
		want   outputstest.Outcome
	}{
		{400, "web.incoming_webhook.invalid.app_error", outputstest.Held},
		{400, "web.incoming_webhook.user.app_error", outputstest.Held},
		{403, "web.incoming_webhook.permissions.app_error", outputstest.Held},
		{404, "web.incoming_webhook.channel.app_error", outputstest.Held},
		{500, "web.incoming_webhook.channel.app_error", outputstest.Held},
		{501, "web.incoming_webhook.disabled.app_error", outputstest.Held},
		{400, "web.incoming_webhook.parse.app_error", outputstest.Rejected},
		{400, "web.incoming_webhook.text.app_error", outputstest.Rejected},
		{400, "web.incoming_webhook.split_props_length.app_error", outputstest.Rejected},
		{413, "api.context.request_body_too_large.app_error", outputstest.Rejected},
		{500, "app.post.save.app_error", outputstest.NotNow},
		{400, "web.incoming_webhook.new.app_error", outputstest.Rejected},
	} {
		err := judge(c.status, nil, fmt.Appendf(nil, `{"id":%q,"message":"m","status_code":%d}`, c.id, c.status))
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.status, c.id, got, c.want)
		}
	}
	if got := outputstest.OutcomeOf(judge(400, nil, []byte("<html>"))); got != outputstest.Rejected {
		t.Errorf("a page is %q", got)
	}
}

func TestTheLargestMessageFits(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("\x01", 900_000)
	e.Fields = nil
	for i := range 300 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("f%03d", i), Value: event.StringValue(strings.Repeat("\x02", 3000))})
	}
	body, err := httpx.EncodeFit(widest, maxBody, func(l falcotext.Limits) any { return payload(Config{}, e, l) })
	if err != nil || len(body) > maxBody {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(400, []byte(`{"id":"web.incoming_webhook.invalid.app_error"}`))
	f.Add(500, []byte("no"))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if judge(status, nil, answer) == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
	})
}

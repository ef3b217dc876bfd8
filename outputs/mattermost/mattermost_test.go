package mattermost_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/mattermost"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/hooks/xu5s3cretk8idtoken"
	outputstest.HTTP{
		Kind:   "mattermost",
		Config: "{" + webhook + "}",
		Secret: "xu5s3cretk8idtoken",
		Variants: map[string]string{
			"text":          "{" + webhook + ", outputformat: text}",
			"empty":         "{" + webhook + ", outputformat: '', messageformat: ''}",
			"fields":        "{" + webhook + ", outputformat: fields, footer: '', icon: https://example.com/i.png, username: Saker}",
			"messageformat": "{" + webhook + `, outputformat: text, messageformat: '{{.Priority}} {{.Rule}} cmd={{index .OutputFields "proc.cmdline"}} {{len .Output}}'}`,
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: chat.example.com/hooks/xu5s3cretk8idtoken}": "must be a URL",
			"{" + webhook + ", outputformat: fancy}":                  "must be one of all, text, fields",
			"{" + webhook + ", messageformat: '{{.Rule'}":             "messageformat",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Mattermost says to a webhook's message, with its own checks of it.
func answer(w http.ResponseWriter, _ *http.Request, body []byte) {
	var m struct {
		Text        string            `json:"text"`
		Attachments []json.RawMessage `json:"attachments"`
	}
	problem := func(status int, id string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"id":%q,"message":"","detailed_error":"","request_id":"","status_code":%d}`, id, status)
	}
	switch {
	case len(body) > 300_000:
		problem(413, "api.context.request_body_too_large.app_error")
	case json.Unmarshal(body, &m) != nil:
		problem(400, "web.incoming_webhook.parse.app_error")
	case m.Text == "" && m.Attachments == nil:
		problem(400, "web.incoming_webhook.text.app_error")
	case utf8.RuneCount(body) > 800_000:
		problem(400, "web.incoming_webhook.split_props_length.app_error")
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

package rocketchat_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"unicode/utf16"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/rocketchat"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/hooks/64f0/s3cretT0ken"
	outputstest.HTTP{
		Kind:   "rocketchat",
		Config: "{" + webhook + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"text":          "{" + webhook + ", outputformat: text}",
			"empty":         "{" + webhook + ", outputformat: '', messageformat: ''}",
			"fields":        "{" + webhook + ", outputformat: fields, icon: https://example.com/i.png, username: Saker}",
			"messageformat": "{" + webhook + `, outputformat: text, messageformat: '{{.Priority}} {{.Rule}} {{.Output}}'}`,
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: chat.example.com/hooks/s3cretT0ken}": "must be a URL",
			"{" + webhook + ", outputformat: fancy}":           "must be one of all, text, fields",
			"{" + webhook + ", messageformat: '{{.Rule'}":      "messageformat",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Rocket.Chat says to a webhook's message, with its own checks of it.
func answer(w http.ResponseWriter, _ *http.Request, body []byte) {
	var m struct {
		Text        string            `json:"text"`
		Attachments []json.RawMessage `json:"attachments"`
	}
	w.Header().Set("Content-Type", "application/json")
	problem := func(name string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"success":false,"error":%q}`, name)
	}
	switch {
	case json.Unmarshal(body, &m) != nil:
		problem("body-empty")
	case m.Text == "" && len(m.Attachments) == 0:
		problem("unknown-error")
	case len(utf16.Encode([]rune(m.Text))) > 5000:
		problem("error-message-size-exceeded")
	default:
		fmt.Fprint(w, `{"success":true}`)
	}
}

package googlechat_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	_ "github.com/saker-security/saker/outputs/googlechat"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: 'URL/v1/spaces/AAAA/messages?key=AIzas3cret&token=s3cretT0ken'"
	outputstest.HTTP{
		Kind:   "googlechat",
		Config: "{" + webhook + "}",
		Secret: "AIzas3cret s3cretT0ken",
		Variants: map[string]string{
			"text":          "{" + webhook + ", outputformat: text}",
			"empty":         "{" + webhook + ", outputformat: ''}",
			"messageformat": "{" + webhook + `, messageformat: '{{.Priority}} *{{.Rule}}* {{.Output}}'}`,
			"textformat":    "{" + webhook + `, outputformat: text, messageformat: '{{.Priority}} *{{.Rule}}* {{.Output}}'}`,
			"thread":        "{" + webhook + `, outputformat: fields, threadkey: '{{.Rule}}'}`,
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: chat.googleapis.com/v1/spaces/A/messages}": "must be a URL",
			"{" + webhook + ", outputformat: fancy}":                 "must be one of all, text, fields",
			"{" + webhook + ", messageformat: '{{.Rule'}":            "messageformat",
			"{" + webhook + ", threadkey: '{{.Rule'}":                "threadkey",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Google Chat says to a webhook's message, with its documented limits.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	problem := func(format string, args ...any) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"code":400,"message":%q,"status":"INVALID_ARGUMENT"}}`, fmt.Sprintf(format, args...))
	}
	var m struct {
		Text  string `json:"text"`
		Cards []struct {
			Sections []struct {
				Widgets []json.RawMessage `json:"widgets"`
			} `json:"sections"`
		} `json:"cards"`
		Thread struct {
			ThreadKey string `json:"threadKey"`
		} `json:"thread"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		problem("%v", err)
		return
	}
	widgets := 0
	for _, c := range m.Cards {
		for _, s := range c.Sections {
			widgets += len(s.Widgets)
		}
	}
	switch {
	case r.URL.Path != "/elsewhere" && (r.URL.Query().Get("key") == "" || r.URL.Query().Get("token") == ""):
		problem("API key not valid. Please pass a valid API key.")
	case len(body) > 32_000:
		problem("message has %d bytes", len(body))
	case widgets > 100:
		problem("card has %d widgets", widgets)
	case m.Text == "" && widgets == 0:
		problem("Message cannot be empty.")
	case m.Thread.ThreadKey != "" && r.URL.Query().Get("messageReplyOption") == "":
		problem("the thread would be ignored")
	default:
		fmt.Fprint(w, `{"name":"spaces/AAAA/messages/1.1","createTime":"2026-01-02T03:04:05Z"}`)
	}
}

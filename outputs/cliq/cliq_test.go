package cliq_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"unicode/utf16"

	_ "github.com/saker-security/saker/outputs/cliq"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: 'URL/api/v2/channelsbyname/falco/message?zapikey=1001.s3cret.t0ken'"
	outputstest.HTTP{
		Kind:   "cliq",
		Config: "{" + webhook + "}",
		Secret: "1001.s3cret.t0ken",
		Variants: map[string]string{
			"text":          "{" + webhook + ", outputformat: text}",
			"empty":         "{" + webhook + ", outputformat: '', messageformat: ''}",
			"fields":        "{" + webhook + ", outputformat: fields, icon: https://example.com/i.png}",
			"emoji":         "{" + webhook + ", useemoji: true}",
			"messageformat": "{" + webhook + `, useemoji: true, messageformat: '{{.Priority}} *{{.Rule}}* {{len .Output}}'}`,
			"fieldsformat":  "{" + webhook + `, outputformat: fields, messageformat: '{{.Priority}} *{{.Rule}}*'}`,
			"textformat":    "{" + webhook + `, outputformat: text, messageformat: '{{.Priority}} *{{.Rule}}*'}`,
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: 'cliq.zoho.com/api?zapikey=1001.s3cret.t0ken'}": "must be a URL",
			"{" + webhook + ", outputformat: fancy}":                      "must be one of all, text, fields",
			"{" + webhook + ", messageformat: '{{.Rule'}":                 "messageformat",
			"{" + webhook + ", useemoji: perhaps}":                        "useemoji",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Cliq says to a message, with its documented limits.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	var m struct {
		Text   string `json:"text"`
		Slides []struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		} `json:"slides"`
	}
	problem := func(status int, code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q,"message":""}`, code)
	}
	switch {
	case r.URL.Path != "/elsewhere" && r.URL.Query().Get("zapikey") == "":
		problem(401, "authentication_failed")
	case r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &m) != nil:
		problem(400, "invalid_data")
	case m.Text == "" || len(utf16.Encode([]rune(m.Text))) > 5000:
		problem(400, "invalid_inputs")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

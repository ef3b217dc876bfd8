package discord_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	_ "github.com/saker-security/saker/outputs/discord"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/api/webhooks/1234567890/s3cretT0ken"
	outputstest.HTTP{
		Kind:   "discord",
		Config: "{" + webhook + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"icon":   "{" + webhook + ", icon: https://example.com/i.png}",
			"noicon": "{" + webhook + ", icon: ''}",
			"thread": "{webhookurl: 'URL/api/webhooks/1234567890/s3cretT0ken?thread_id=77&wait=false'}",
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: discord.com/api/webhooks/1/s3cretT0ken}": "must be a URL",
			"{" + webhook + ", icn: x}":                            "icn",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Discord says to a webhook's message, with its documented limits.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	if problem := check(body); problem != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":"Invalid Form Body","code":50035,"errors":{"embeds":{"0":{"_errors":[{"message":%q}]}}}}`, problem)
		return
	}
	if r.URL.Query().Get("wait") != "true" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	fmt.Fprint(w, `{"id":"1","type":0,"content":"","channel_id":"2"}`)
}

func check(body []byte) string {
	var m struct {
		Content string `json:"content"`
		Embeds  []struct {
			Title, Description, Color string
			Fields                    []struct{ Name, Value string }
		} `json:"embeds"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err.Error()
	}
	length := func(s string) int { return len(utf16.Encode([]rune(s))) }
	if len(m.Embeds) != 1 || len(m.Content) > 2000 {
		return "one embed is expected"
	}
	e := m.Embeds[0]
	total := length(e.Title) + length(e.Description)
	for _, f := range e.Fields {
		total += length(f.Name) + length(f.Value)
		if strings.TrimSpace(f.Name) == "" || strings.TrimSpace(f.Value) == "" {
			return "this field is required: " + f.Name
		}
		if length(f.Name) > 256 || length(f.Value) > 1024 {
			return "too long: " + f.Name
		}
	}
	if _, err := strconv.ParseUint(e.Color, 10, 24); err != nil {
		return "color is no number"
	}
	if length(e.Description) > 4096 || len(e.Fields) > 25 || total > 6000 {
		return fmt.Sprintf("%d fields, %d characters", len(e.Fields), total)
	}
	return ""
}

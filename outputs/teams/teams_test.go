package teams_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/teams"
)

const (
	connector = "webhookurl: URL/webhookb2/11-22@33/IncomingWebhook/s3cretT0ken/44"
	workflow  = "webhookurl: 'URL/workflows/0a1b/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s3cretT0ken'"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "teams",
		Config: "{" + connector + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"text":           "{" + connector + ", outputformat: text}",
			"empty":          "{" + connector + ", outputformat: ''}",
			"facts":          "{" + connector + ", outputformat: facts, activityimage: ''}",
			"fields":         "{" + connector + ", outputformat: fields, activityimage: https://example.com/i.png}",
			"workflow":       "{" + workflow + "}",
			"workflow_text":  "{" + workflow + ", outputformat: text, activityimage: ''}",
			"workflow_facts": "{" + workflow + ", outputformat: facts}",
			"adaptivecard":   "{" + connector + ", format: adaptivecard}",
			"messagecard":    "{" + workflow + ", format: messagecard}",
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: example.webhook.office.com/s3cretT0ken}": "must be a URL",
			"{" + connector + ", outputformat: fancy}":             "must be one of all, text, facts, fields",
			"{" + connector + ", format: html}":                    "must be one of auto, messagecard, adaptivecard",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what a connector or a workflow says, which differ in everything.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	var m struct {
		CardType    string `json:"@type"`
		Summary     string `json:"summary"`
		Type        string `json:"type"`
		Attachments []struct {
			ContentType string `json:"contentType"`
			Content     struct {
				Type, Version string
				Body          []json.RawMessage
			} `json:"content"`
		} `json:"attachments"`
	}
	err := json.Unmarshal(body, &m)
	tooLarge := len(body) > 18_000
	if strings.HasPrefix(r.URL.Path, "/workflows/") && m.CardType == "" {
		switch {
		case r.URL.Query().Get("sig") == "":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"code":"DirectApiAuthorizationRequired","message":""}}`)
		case err != nil || tooLarge || m.Type != "message" || len(m.Attachments) != 1 ||
			m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || m.Attachments[0].Content.Type != "AdaptiveCard":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"code":"TriggerInputSchemaMismatch","message":""}}`)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
		return
	}
	switch {
	case err != nil:
		http.Error(w, "Bad payload received by generic incoming webhook.", http.StatusBadRequest)
	case m.Summary == "" && m.Type == "":
		http.Error(w, "Summary or Text is required.", http.StatusBadRequest)
	case tooLarge:
		fmt.Fprint(w, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId tcid=0..")
	default:
		fmt.Fprint(w, "1")
	}
}

// Each text of a card is shown as it is, or cannot make a link.
func TestAnAttackerMakesNoLink(t *testing.T) {
	var sent []byte
	s := newServer(t, func(w http.ResponseWriter, body []byte) { sent = body; w.WriteHeader(http.StatusAccepted) })
	sender, err := outputstest.New("teams", "{webhookurl: '"+s+"', format: adaptivecard}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.(io.Closer).Close() })
	e := outputstest.Plain()
	const link = "[log in](https://evil.example)"
	e.Rule, e.Output, e.Hostname, e.Tags = link, link, link, []string{link}
	e.Fields = []event.Field{{Name: link, Value: event.StringValue(link)}}
	if err := sender.Send(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	var card any
	if err := json.Unmarshal(sent, &card); err != nil {
		t.Fatal(err)
	}
	runs, facts := 0, 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			text, _ := v["text"].(string)
			if strings.Contains(text, link) {
				if v["type"] != "TextRun" {
					t.Errorf("%v has the link", v)
				}
				runs++
			}
			for _, name := range []string{"title", "value"} {
				if text, ok := v[name].(string); ok {
					facts++
					if strings.Contains(text, "](") {
						t.Errorf("the fact %v has the link", v)
					}
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(card)
	if runs != 2 || facts != 12 {
		t.Errorf("saw %d runs and %d texts of facts", runs, facts)
	}
}

package grafanaoncall_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	_ "github.com/saker-security/saker/outputs/grafanaoncall"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/oncall/integrations/v1/formatted_webhook/s3cretT0ken/"
	outputstest.HTTP{
		Kind:   "grafanaoncall",
		Config: "{" + webhook + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"headers": "{" + webhook + ", customheaders: {X-Scope-OrgID: tenant-1}}",
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: oncall.example.com/s3cretT0ken}":     "must be a URL",
			"{" + webhook + ", customheaders: {'X:': secret}}": "customheaders",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what OnCall says to an alert of a Formatted Webhook.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	var alert struct {
		UID     string `json:"alert_uid"`
		State   string `json:"state"`
		Title   string `json:"title"`
		Message string `json:"message"`
	}
	if r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &alert) != nil || alert.UID == "" || alert.Title == "" || alert.State != "alerting" {
		http.Error(w, "Malformed alert", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, "Ok.")
}

package teams

import (
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestTheAddressTellsTheForm(t *testing.T) {
	for address, want := range map[string]bool{
		"https://contoso.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4":                                                                      false,
		"https://outlook.office.com/webhook/1@2/IncomingWebhook/3/4":                                                                                false,
		"https://prod-01.westeurope.logic.azure.com:443/workflows/0a/triggers/manual/paths/invoke?api-version=2016-06-01&sig=x":                     true,
		"https://default1.2.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/0a/triggers/manual/paths/invoke?sig=x": true,
		"https://prod-01.usgovtexas.logic.azure.us/workflows/0a/triggers/manual/paths/invoke":                                                       true,
		"https://example.com/?x=/workflows/1/triggers/2":                                                                                            false,
	} {
		for format, want := range map[string]bool{"auto": want, "": want, "messagecard": false, "adaptivecard": true} {
			c := Config{WebhookURL: config.NewSecret(address), Format: format}
			if got := c.adaptive(); got != want {
				t.Errorf("%s with format %q: adaptive is %t", address, format, got)
			}
		}
	}
}

func TestFieldsAreFacts(t *testing.T) {
	e := outputstest.Plain()
	for _, format := range []string{"facts", "fields"} {
		if s := messageCard(Config{OutputFormat: format}, e, widest).Sections[0]; len(s.Facts) == 0 || s.Text != "" {
			t.Errorf("%s: got %+v", format, s)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte("Webhook message delivery failed with error: HTTP error 429"))
	f.Add(400, []byte(`{"error":{"code":"WorkflowNotFound"}}`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if judge(status, nil, answer) == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
		if err := accepted(answer); err != nil && len(err.Error()) > 250 {
			t.Errorf("a long error: %v", err)
		}
	})
}

package webex_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/webex"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/v1/webhooks/incoming/Y2lzY29zcGFyazovs3cretT0ken"
	outputstest.HTTP{
		Kind:   "webex",
		Config: "{" + webhook + "}",
		Secret: "Y2lzY29zcGFyazovs3cretT0ken",
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: webexapis.com/v1/webhooks/incoming/s3cretT0ken}": "must be a URL",
			"{" + webhook + ", outputformat: all}":                         "outputformat",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Webex says to a webhook's message, with its documented limit.
func answer(w http.ResponseWriter, _ *http.Request, body []byte) {
	var m struct {
		Markdown string `json:"markdown"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Markdown == "" || len(m.Markdown) > 7439 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":"Message length limited to 7439 bytes, this one has %d","errors":[],"trackingId":"ROUTER_1"}`, len(m.Markdown))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

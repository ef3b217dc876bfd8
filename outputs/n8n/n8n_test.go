package n8n_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/n8n"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "n8n",
		Config: "{address: 'URL/webhook/s3cret1', user: falco, password: s3cret2, headerauthname: X-Falco-Token, headerauthvalue: s3cret3}",
		Secret: "s3cret1 s3cret2 s3cret3",
		Answer: node,
		Variants: map[string]string{
			"open":   "{address: 'URL/webhook/open'}",
			"header": "{address: 'URL/webhook/h', headerauthname: X-Falco-Token, headerauthvalue: s3cret3}",
			"basic":  "{address: 'URL/webhook/s3cret1', user: falco, password: s3cret2}",
			"bearer": "{address: 'URL/webhook/s3cret1', user: falco, password: s3cret2, headerauthname: authorization, headerauthvalue: Bearer s3cret3}",
		},
		Wrong: map[string]string{
			"{}":                                       "address",
			"{address: n8n.local/s3cret1}":             "must be a URL",
			"{address: URL, user: falco}":              "password",
			"{address: URL, password: s3cret2}":        "user",
			"{address: URL, headerauthname: X-A}":      "headerauthvalue",
			"{address: URL, headerauthvalue: s3cret3}": "headerauthname",
			"{address: URL, headerauthname: 'a b', headerauthvalue: s3cret3}":      "is no name of a header",
			"{address: URL, headerauthname: X-A, headerauthvalue: \"s3cret3\\n\"}": "has a character",
		},
	}.Run(t)
}

// node answers as a Webhook node does, whose kind of authentication its path tells.
func node(w http.ResponseWriter, r *http.Request, body []byte) {
	user, password, _ := r.BasicAuth()
	allowed := strings.HasSuffix(r.URL.Path, "/open") ||
		user == "falco" && password == "s3cret2" ||
		r.Header.Get("X-Falco-Token") == "s3cret3" || r.Header.Get("Authorization") == "Bearer s3cret3"
	if _, err := event.Decode(body); err != nil || !allowed || r.Method != http.MethodPost {
		http.Error(w, "Authorization data is wrong!", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `{"message":"Workflow was started"}`)
}

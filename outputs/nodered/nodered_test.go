package nodered_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/nodered"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "nodered",
		Config: "{address: 'URL/falco/s3cret1', user: falco, password: s3cret2, customheaders: {X-Token: s3cret3}}",
		Secret: "s3cret1 s3cret2 s3cret3",
		Answer: node,
		Variants: map[string]string{
			"open":    "{address: 'URL/open'}",
			"headers": "{address: 'URL/open', user: falco, password: s3cret2, customheaders: 'content-type: text/plain, Authorization: Bearer s3cret3'}",
		},
		Wrong: map[string]string{
			"{}":                                "address",
			"{address: nodered:1880/s3cret1}":   "must be a URL",
			"{address: URL, user: falco}":       "password",
			"{address: URL, password: s3cret2}": "user",

			"{address: URL, customheaders: {'a b': s3cret3}}":      `"a b" is no name of a header`,
			"{address: URL, customheaders: {X-A: \"s3cret3\\n\"}}": `the value of header "X-A"`,
		},
	}.Run(t)
}

// node answers as an http in node with a response node behind it does.
func node(w http.ResponseWriter, r *http.Request, body []byte) {
	user, password, _ := r.BasicAuth()
	if !strings.HasSuffix(r.URL.Path, "/open") && (user != "falco" || password != "s3cret2") {
		w.Header().Set("WWW-Authenticate", `Basic realm="Authorization Required"`)
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if _, err := event.Decode(body); err != nil || r.Method != http.MethodPost {
		http.Error(w, "Cannot POST", http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

package gotify_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	_ "github.com/saker-security/saker/outputs/gotify"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "gotify",
		Config: "{hostport: URL, token: A.s3cretT0ken}",
		Secret: "A.s3cretT0ken",
		Variants: map[string]string{
			"plaintext": "{hostport: URL/gotify/, token: A.s3cretT0ken, format: plaintext}",
			"text":      "{hostport: URL, token: A.s3cretT0ken, format: text}",
			"json":      "{hostport: URL, token: A.s3cretT0ken, format: json}",
			"empty":     "{hostport: URL, token: A.s3cretT0ken, format: ''}",
		},
		Wrong: map[string]string{
			"{token: A.s3cretT0ken}":                            "hostport",
			"{hostport: 'gotify:80', token: A.s3cretT0ken}":     "must be a URL",
			"{hostport: URL, token: A.s3cretT0ken, format: md}": "must be one of markdown, plaintext, text, json",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what Gotify says to a message: it wants the token of an application and a
// message that is not empty.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	problem := func(status int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"errorCode":%d,"errorDescription":%q}`, http.StatusText(status), status, text)
	}
	var m struct {
		Title, Message string
		Priority       int
		Extras         map[string]map[string]string
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Header.Get("X-Gotify-Key") != "A.s3cretT0ken":
		problem(http.StatusUnauthorized, "you need to provide a valid access token or user credentials to access this api")
	case json.Unmarshal(body, &m) != nil || m.Message == "":
		problem(http.StatusBadRequest, "Field 'message' is required")
	case m.Priority < 1 || m.Priority > 8 || m.Extras["client::display"]["contentType"] == "":
		problem(http.StatusBadRequest, "priority or extras are wrong")
	default:
		fmt.Fprintf(w, `{"id":25,"appid":5,"message":%q,"title":%q,"priority":%d}`, m.Message, m.Title, m.Priority)
	}
}

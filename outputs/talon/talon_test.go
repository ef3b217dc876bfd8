package talon_test

import (
	"net/http"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/talon"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "talon",
		Config: "{address: 'URL/s3cret1?token=s3cret2'}",
		Secret: "s3cret1 s3cret2",
		Answer: talon,
		Variants: map[string]string{
			"root": "{address: URL, checkcert: false}",
		},
		Wrong: map[string]string{
			"{}":                                 "address",
			"{address: falco-talon:2803}":        "must be a URL",
			"{address: 'ftp://talon/s3cret1'}":   "http:// or https://",
			"{address: URL, checkcert: perhaps}": "checkcert",
		},
	}.Run(t)
}

// talon answers as Falco Talon does, which takes POST alone and acts after its answer.
func talon(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method != http.MethodPost {
		http.Error(w, "Please send with post http method", http.StatusMethodNotAllowed)
		return
	}
	if _, err := event.Decode(body); err != nil {
		http.Error(w, "Please send a valid request body", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusOK)
}

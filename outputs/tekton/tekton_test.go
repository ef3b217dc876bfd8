package tekton_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/tekton"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "tekton",
		Config: "{eventlistener: 'URL/s3cret1?token=s3cret2'}",
		Secret: "s3cret1 s3cret2",
		Answer: listener,
		Wrong: map[string]string{
			"{}":                                    "eventlistener",
			"{eventlistener: el-falco.tekton:8080}": "must be a URL",
			"{eventlistener: 'ftp://el-falco/s3cret1'}":      "http:// or https://",
			"{eventlistener: 'http://el-falco/#s3cret1'}":    "without a fragment",
			"{eventlistener: 'http:///s3cret1'}":             "with a host",
			"{eventlistener: URL, checkcert: perhaps}":       "checkcert",
			"{eventlistener: URL, proxy: 's3cret1:3128/no'}": "proxy",
		},
	}.Run(t)
}

// listener answers as an EventListener does, which starts its pipelines after the answer.
func listener(w http.ResponseWriter, r *http.Request, body []byte) {
	if _, err := event.Decode(body); err != nil || r.Method != http.MethodPost {
		http.Error(w, "the payload is not an event", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"eventListener":"falco","namespace":"tekton","eventListenerUID":"0f1a","eventID":"2b7c"}`+"\n")
}

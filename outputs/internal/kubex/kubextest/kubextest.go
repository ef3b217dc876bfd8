// Package kubextest is the API server of Kubernetes for the tests of outputs that speak to
// it: small, in memory, and as strict as the real one about what those outputs write. What
// it answers was taken from kube-apiserver 1.37.
package kubextest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Kubeconfig returns the text of a kubeconfig in one line of JSON for the API server at
// address.
func Kubeconfig(address, token string) string {
	return fmt.Sprintf(`{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],`+
		`"clusters":[{"name":"k","cluster":{"server":%q}}],"users":[{"name":"u","user":{"token":%q}}]}`, address, token)
}

// Refuse answers as the API server does when it refuses: with a Status. Details may be "".
func Refuse(w http.ResponseWriter, code int, reason, message, details string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if details != "" {
		details = `"details":` + details + `,`
	}
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":%q,"reason":%q,%s"code":%d}`+"\n",
		message, reason, details, code)
}

// Authorized reports whether a request has the token; if not, it is answered.
func Authorized(w http.ResponseWriter, r *http.Request, token string) bool {
	if r.Header.Get("Authorization") == "Bearer "+token {
		return true
	}
	Refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized", "")
	return false
}

// Function answers for a function of the cluster: by itself when the request comes straight
// to it, and through the API server, which wants the token, otherwise.
func Function(token string) func(w http.ResponseWriter, r *http.Request, body []byte) {
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		straight := r.URL.IsAbs()
		if !straight && !Authorized(w, r, token) {
			return
		}
		_, err := event.Decode(body)
		switch {
		case r.Method != http.MethodPost || err != nil:
			http.Error(w, "not an event", http.StatusBadRequest)
		case straight != strings.HasSuffix(string(body), "\n"):
			http.Error(w, "a line feed too many or too few", http.StatusBadRequest)
		default:
			_, _ = io.WriteString(w, "done\n")
		}
	}
}

// CleanToken hides a token from golden files.
func CleanToken(token string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, token, "TOKEN") }
}

// Classes checks what the answers of a service mean that make, given the address of a proxy
// which answers for it, calls straight.
func Classes(t *testing.T, make func(address string) (outputs.Sender, error)) {
	t.Helper()
	outputstest.NoLeak(t)
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.IsAbs() {
			t.Errorf("the request for %s did not go to the service", r.RequestURI)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	sender, err := make(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sender.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	for code, want := range map[int]outputstest.Outcome{
		200: outputstest.Delivered, 202: outputstest.Delivered, 400: outputstest.Rejected,
		404: outputstest.Held, 429: outputstest.NotNow, 502: outputstest.NotNow,
	} {
		status = code
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("status %d is %q (%v), want %q", code, got, err, want)
		}
	}
}

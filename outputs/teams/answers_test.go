package teams_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// newServer starts a server with the given answer and returns its address.
func newServer(t *testing.T, answer func(w http.ResponseWriter, body []byte)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestWhatAnAnswerSaysCounts(t *testing.T) {
	const failed = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error %d with ContextId tcid=0,token=s3cretT0ken"
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{200, "1", outputstest.Delivered},
		{202, "", outputstest.Delivered},
		{200, fmt.Sprintf(failed, 429), outputstest.NotNow},
		{200, fmt.Sprintf(failed, 413), outputstest.Rejected},
		{200, fmt.Sprintf(failed, 400), outputstest.Rejected},
		{200, fmt.Sprintf(failed, 403), outputstest.Held},
		{200, fmt.Sprintf(failed, 500), outputstest.NotNow},
		{200, "Webhook message delivery failed with error: something", outputstest.NotNow},
		{200, fmt.Sprintf(failed, 200), outputstest.NotNow},
		{400, "Summary or Text is required.", outputstest.Rejected},
		{404, "Webhook Not Found", outputstest.Held},
		{400, `{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"off"}}`, outputstest.Held},
		{400, `{"error":{"code":"DirectApiAuthorizationRequired","message":"log in"}}`, outputstest.Held},
		{401, `{"error":{"code":"DirectApiInvalidAuthorizationScheme"}}`, outputstest.Held},
		{404, `{"error":{"code":"WorkflowNotFound"}}`, outputstest.Held},
		{400, `{"error":{"code":"TriggerInputSchemaMismatch"}}`, outputstest.Rejected},
		{429, `{"error":{"code":"WorkflowRunActionThrottled"}}`, outputstest.NotNow},
	} {
		address := newServer(t, func(w http.ResponseWriter, _ []byte) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		sender, err := outputstest.New("teams", "{webhookurl: "+address+"/webhookb2/s3cretT0ken}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sender.(io.Closer).Close() })
		err = sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%d %s is %q (%v), want %q", c.status, c.body, got, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cretT0ken") {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

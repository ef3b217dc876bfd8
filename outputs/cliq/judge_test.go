package cliq

import (
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersAreRead(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
		pause  time.Duration
	}{
		{400, `{"code":"request_limit_exceeded","message":"You have exceeded the URL throttle limits."}`, outputstest.NotNow, 10 * time.Minute},
		{429, `{"code":"throttles_limit_exceeded"}`, outputstest.NotNow, 10 * time.Minute},
		{400, `{"code":"channel_not_found"}`, outputstest.Held, 0},
		{400, `{"code":"invalid_oauthtoken"}`, outputstest.Held, 0},
		{401, `{"code":"oauthtoken_invalid"}`, outputstest.Held, 0},
		{400, `{"code":"invalid_inputs"}`, outputstest.Rejected, 0},
		{400, `no`, outputstest.Rejected, 0},
		{413, `{"code":"limit_exceeded"}`, outputstest.Rejected, 0},
		{500, `{"code":"internal_error"}`, outputstest.NotNow, 0},
	} {
		err := judge(c.status, nil, []byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want || outputs.Delay(err) != c.pause {
			t.Errorf("%d %s is %q after %v, want %q after %v", c.status, c.body, got, outputs.Delay(err), c.want, c.pause)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(400, []byte(`{"code":"request_limit_exceeded"}`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if judge(status, nil, answer) == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
	})
}

package ingest

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

// judgeFunc is a judge that is a function.
type judgeFunc func(body []byte) ([]event.Event, error)

func (f judgeFunc) Judge(body []byte) ([]event.Event, error) { return f(body) }

// wordJudge finds as many alerts as the body has the word alert.
func wordJudge(body []byte) ([]event.Event, error) {
	if !strings.HasPrefix(string(body), "{") {
		return nil, errors.New("there are no audit events")
	}
	found := make([]event.Event, strings.Count(string(body), "alert"))
	for i := range found {
		found[i] = event.Event{Output: "o", Rule: "r", Priority: event.Warning, Source: "k8s_audit", Time: time.Unix(1, 0), Fields: []event.Field{{Name: "ka.verb", Value: event.StringValue("get")}}}
	}
	return found, nil
}

func TestAuditEventsBecomeTheAlertsThatTheJudgeFinds(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Audit = judgeFunc(wordJudge) })
	server := httptest.NewServer(f.Router(Everything))
	defer server.Close()
	for _, tc := range []struct {
		name, body string
		want       answer
		events     int
	}{
		{"nothing matches", `{}`, stored, 0},
		{"two match", `{"a":["alert","alert"]}`, stored, 2},
		{"no audit events", `[]`, answer{400, plainText, badBody + "there are no audit events\n"}, 0},
		{
			"too many", `{"a":"` + strings.Repeat("alert", 11) + `"}`,
			answer{413, plainText, "Please send a smaller request body\nThe limit is 10 events in one request (limits.maxevents)\n"},
			0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(f.journal.stored())
			if got, _ := call(t, server, "POST", "/ingest/k8s-audit", tc.body); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if n := len(f.journal.stored()) - before; n != tc.events {
				t.Errorf("%d events were stored, want %d", n, tc.events)
			}
		})
	}
	if left := f.bytes.left.Load(); left != int64(f.Limits.MaxInFlightBytes) {
		t.Errorf("%d of the budget is left", left)
	}
}

func TestWithoutRulesThereIsNoPathForAuditEvents(t *testing.T) {
	server := httptest.NewServer(newFixture(t, nil).Router(Everything))
	defer server.Close()
	if got, _ := call(t, server, "POST", "/ingest/k8s-audit", `{}`); got.Status != 404 {
		t.Errorf("got %+v", got)
	}
}

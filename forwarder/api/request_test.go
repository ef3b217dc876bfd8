package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/auth"
)

// changes are all requests that change something, with a body that each takes.
var changes = []struct{ method, path, body string }{
	{"POST", "/deadletters/replay", `{"all":true}`},
	{"POST", "/deadletters/drop", `{"all":true}`},
	{"POST", "/deadletters/1/replay", `{}`},
	{"DELETE", "/deadletters/1", ``},
	{"POST", "/events/replay", `{"since":"1h","output":"slack"}`},
	{"POST", "/route/explain", `{}`},
	{"POST", "/silences", `{}`},
	{"PUT", "/silences/x", `{}`},
	{"DELETE", "/silences/x", ``},
	{"POST", "/outputs/slack/test", `{}`},
}

func TestAnotherWebSiteCannotMakeABrowserChangeAnything(t *testing.T) {
	s := newStore()
	s.bury(1, "slack", longAgo)
	server, log := operated(t, s, nil)
	for _, c := range changes {
		ask(t, server, c.method, c.path, c.body, 403, nil, "Sec-Fetch-Site", "cross-site")
		ask(t, server, c.method, c.path, c.body, 403, nil, "Origin", "https://evil.example")
		if c.method != "DELETE" {
			ask(t, server, c.method, c.path, c.body, 415, nil, "Content-Type", "text/plain")
		}
	}
	if len(s.letters) != 1 || len(s.given("slack")) != 0 {
		t.Error("something has changed")
	}
	if !strings.Contains(log.String(), `origin=https://evil.example`) {
		t.Errorf("the log says %s", log)
	}
}

func TestChangesNeedACredentialAndAreLoggedWithItsName(t *testing.T) {
	s := newStore()
	s.bury(1, "slack", longAgo)
	server, log := operated(t, s, func(o *Options) {
		o.Guard = auth.New(auth.Config{Username: "ann", Password: config.NewSecret("s3cret"), Token: config.NewSecret("t0ken")})
	})
	for _, c := range changes {
		resp, _ := get(t, server, "/api/v2"+c.path)
		if resp.StatusCode != 401 {
			t.Errorf("%s without a credential: %d", c.path, resp.StatusCode)
		}
	}
	ask(t, server, "POST", "/deadletters/1/replay", ``, 200, nil, "Authorization", "Basic YW5uOnMzY3JldA==")
	s.bury(2, "slack", longAgo)
	ask(t, server, "DELETE", "/deadletters/2", ``, 200, nil, "Authorization", "Bearer t0ken")
	text := log.String()
	if !strings.Contains(text, "by=ann") || !strings.Contains(text, "by=token") || strings.Contains(text, "s3cret") || strings.Contains(text, "t0ken") {
		t.Errorf("the log says %s", text)
	}
}

func TestABodyBeyondTheLimitIsRefused(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	large := `{"comment":"` + strings.Repeat("x", maxBody) + `"}`
	for _, path := range []string{"/silences", "/route/explain", "/deadletters/drop", "/events/replay"} {
		ask(t, server, "POST", path, large, 413, nil)
	}
}

func TestWhatAResourceDoesNotTakeIsAProblem(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	ask(t, server, "PUT", "/deadletters/1", `{}`, 405, nil)
	ask(t, server, "POST", "/deadletters", `{}`, 405, nil)
	ask(t, server, "GET", "/nothing", ``, 404, nil)
}

func TestAMomentIsATimeOrHowLongAgo(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"2h":                        now.Add(-2 * time.Hour),
		"1h30m":                     now.Add(-90 * time.Minute),
		"2026-01-01T00:00:00Z":      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-01-01T01:00:00+01:00": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := moment("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-2h", "yesterday", "2", "2026-01-01"} {
		if _, err := moment("since", text, now); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAnAlertIsExplained(t *testing.T) {
	var got event.Event
	server, _ := operated(t, newStore(), func(o *Options) {
		o.Explain = func(e event.Event) ([]Explanation, error) {
			got = e
			return []Explanation{{"slack", "no_match", "the match is false"}}, e.Validate()
		}
	})
	text := ask(t, server, "POST", "/route/explain", `{"rule":"r","priority":"Warning","output":"o","time":"2026-01-02T03:04:05Z","output_fields":{"a":1}}`, 200, nil)
	if text != `{"outputs":[{"output":"slack","verdict":"no_match","reason":"the match is false"}]}`+"\n" || got.Rule != "r" {
		t.Errorf("got %s for %+v", text, got)
	}
	if text := ask(t, server, "POST", "/route/explain", `{"rule":"r"}`, 400, nil); !strings.Contains(text, "the event would be refused: ") {
		t.Errorf("got %s", text)
	}
	if text := ask(t, server, "POST", "/route/explain", `{"rule":"r","priority":"loud"}`, 400, nil); !strings.Contains(text, "priority") {
		t.Errorf("got %s", text)
	}
}

func TestAnOutputIsTested(t *testing.T) {
	asked := make(chan string, 1)
	var result TestResult
	var failure error
	server, log := operated(t, newStore(), func(o *Options) {
		o.Test = func(ctx context.Context, name string) (TestResult, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > testTimeout {
				t.Errorf("the test ends at %v", deadline)
			}
			asked <- name
			return result, failure
		}
	})
	result = TestResult{Output: "alertmanager@a:9093", TookMS: 12, Error: "503", Permanent: true}
	text := ask(t, server, "POST", "/outputs/alertmanager@a:9093/test", "", 200, nil)
	if name := <-asked; name != "alertmanager@a:9093" || text != `{"output":"alertmanager@a:9093","accepted":false,"tookMs":12,"error":"503","permanent":true}`+"\n" {
		t.Errorf("%s got %s", name, text)
	}
	ask(t, server, "POST", "/outputs/alertmanager%40a%3A9093/test", "", 200, nil)
	<-asked
	if !strings.Contains(log.String(), `msg="a test event was sent" by=anybody`) {
		t.Errorf("the log says %s", log)
	}
	if text := ask(t, server, "POST", "/outputs/pager/test", "", 404, nil); !strings.Contains(text, "those that are: alertmanager@a:9093, slack") {
		t.Errorf("got %s", text)
	}
	failure = errors.New("password s3cret is wrong")
	if text := ask(t, server, "POST", "/outputs/slack/test", "", 500, nil); strings.Contains(text, "s3cret") {
		t.Errorf("got %s", text)
	}
}

func TestOneReplayRunsAtATime(t *testing.T) {
	s := newStore()
	s.bury(1, "slack", longAgo)
	s.bury(2, "slack", longAgo)
	started, goOn := make(chan struct{}), make(chan struct{})
	s.appended = func() {
		close(started)
		<-goOn
	}
	server, _ := operated(t, s, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v2/deadletters/replay", strings.NewReader(`{"ids":[1]}`))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if resp, err := server.Client().Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-started
	text := ask(t, server, "POST", "/deadletters/drop", `{"all":true}`, 503, nil)
	if !strings.Contains(text, "another replay or drop is under way") {
		t.Errorf("got %s", text)
	}
	close(goOn)
	<-done
}

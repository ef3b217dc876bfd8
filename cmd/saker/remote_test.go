package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/cmd/internal/client"
	"github.com/saker-security/saker/forwarder/api"
)

// answering is a client of a server that gives one answer after the other, and a list of
// what it was asked.
func answering(t *testing.T, answers ...string) (*client.Client, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(asked) == len(answers) {
			t.Errorf("request %d: %s, %v", len(asked)+1, body, err)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		asked = append(asked, r.URL.Path+" "+string(body))
		_, _ = fmt.Fprint(w, answers[len(asked)-1])
	}))
	t.Cleanup(s.Close)
	c, err := client.New(client.Options{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &asked
}

func TestDeadLettersThatAreTooManyForOneRequestTakeMore(t *testing.T) {
	c, asked := answering(t,
		`{"done":7,"failed":1,"failures":[{"id":3,"error":"no"}],"complete":false,"stopped":"more","before":"2026-01-02T03:04:05.6Z","after":8}`,
		`{"done":2,"failed":0,"later":1,"complete":true}`)
	got, err := work(t.Context(), c, "/deadletters/drop", api.Selection{All: true, Output: "slack"}, func(s api.Selection) any { return s })
	want := api.Work{Done: 9, Failed: 1, Later: 1, Failures: []api.Failure{{ID: 3, Error: "no"}}, Complete: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	requests := []string{
		`/api/v2/deadletters/drop {"all":true,"output":"slack"}`,
		`/api/v2/deadletters/drop {"all":true,"output":"slack","before":"2026-01-02T03:04:05.6Z","after":8}`,
	}
	if diff := cmp.Diff(requests, *asked); diff != "" {
		t.Error(diff)
	}
}

func TestWorkThatDoesNotGetOnIsNotTriedForEver(t *testing.T) {
	c, asked := answering(t,
		`{"done":1,"complete":false,"stopped":"full","before":"2026-01-02T03:04:05Z","after":8}`,
		`{"done":0,"complete":false,"stopped":"the disk is full","before":"2026-01-02T03:04:05Z","after":8}`)
	got, err := work(t.Context(), c, "/deadletters/drop", api.Selection{All: true}, func(s api.Selection) any { return s })
	if err != nil || got.Complete || got.Stopped != "the disk is full" || got.Done != 1 || len(*asked) != 2 {
		t.Errorf("%+v, %v after %d requests", got, err, len(*asked))
	}
}

func TestARangeThatIsTooLongForOneRequestTakesMore(t *testing.T) {
	c, asked := answering(t,
		`{"read":100,"matched":10,"appended":10,"since":"2026-01-02T03:04:05.6Z","until":"2026-01-02T05:04:05Z","oldest":"2026-01-02T04:00:00Z","complete":false,"stopped":"more","id":"x1","after":100}`,
		`{"read":50,"matched":5,"appended":5,"since":"2026-01-02T03:04:05.6Z","until":"2026-01-02T05:04:05Z","complete":true,"id":"x1"}`)
	got, err := replay(t.Context(), c, api.EventReplay{Since: "2h", Output: "slack", Limit: 20})
	if err != nil {
		t.Fatal(err)
	}
	if got.Read != 150 || got.Matched != 15 || got.Appended != 15 || !got.Complete || !got.Oldest.Equal(time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", got)
	}
	requests := []string{
		`/api/v2/events/replay {"since":"2h","output":"slack","limit":20}`,
		`/api/v2/events/replay {"since":"2026-01-02T03:04:05.6Z","until":"2026-01-02T05:04:05Z","output":"slack","limit":10,"id":"x1","after":100}`,
	}
	if diff := cmp.Diff(requests, *asked); diff != "" {
		t.Error(diff)
	}
}

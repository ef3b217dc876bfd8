package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const withTemplate = inBulk + ", createindextemplate: true"

func TestTheTemplateMatchesTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	for _, c := range []Config{
		{Index: "falco", Suffix: "daily", NumberOfShards: 1, NumberOfReplicas: 2},
		{Index: "alerts", Suffix: "none", NumberOfShards: -1},
	} {
		body, err := templateBody(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&got, body, "", " "); err != nil {
			t.Fatal(err)
		}
	}
	outputstest.Golden(t, "testdata/template.json.golden", got.String())
}

// first are the first lines of requests.
func first(requests []string) string {
	for i, r := range requests {
		requests[i], _, _ = strings.Cut(r, "\n")
	}
	return strings.Join(requests, ", ")
}

func TestTheTemplateIsMadeOnceUnlessItIsThere(t *testing.T) {
	const get, put, bulk = "GET /_index_template/falco", "PUT /_index_template/falco", "POST /_bulk"
	for _, tc := range []struct {
		name    string
		answers []answer
		want    []string // of three Sends
		failed  outputstest.Outcome
	}{
		{"there", []answer{{200, "{}"}}, []string{get + ", " + bulk, bulk, bulk}, yes},
		{"missing", []answer{{404, "{}"}, {200, "{}"}}, []string{get + ", " + put + ", " + bulk, bulk, bulk}, yes},
		{"not to be seen at first", []answer{{503, "{}"}, {200, "{}"}}, []string{get, get + ", " + bulk, bulk}, later},
		{"not to be made at first", []answer{{404, ""}, {400, `{"error":"bad"}`}, {404, ""}, {200, ""}}, []string{get + ", " + put, get + ", " + put + ", " + bulk, bulk}, held},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, tc.answers...)
			s := c.sender(t, withTemplate)
			for i, want := range tc.want {
				err := s.Send(t.Context(), batch(1))
				if got := first(c.take()); got != want {
					t.Errorf("send %d: got %s, want %s", i, got, want)
				}
				if sent := strings.HasSuffix(want, bulk); sent != (err == nil) || !sent && outputstest.OutcomeOf(err) != tc.failed {
					t.Errorf("send %d: got %v", i, err)
				}
			}
		})
	}
}

func TestTheTemplateIsMadeOnceByConcurrentSends(t *testing.T) {
	c := newCluster(t)
	s := c.sender(t, withTemplate)
	var sends sync.WaitGroup
	for range 8 {
		sends.Go(func() {
			if err := s.Send(t.Context(), batch(1)); err != nil {
				t.Error(err)
			}
		})
	}
	sends.Wait()
	if got := first(c.take()); strings.Count(got, "PUT") != 1 || strings.Count(got, "POST") != 8 {
		t.Errorf("got the requests %s", got)
	}
}

func TestWhoWaitsForTheTemplateIsNotHeldUp(t *testing.T) {
	made := newTemplate()
	made.lock <- struct{}{} // somebody is at it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := made.ensure(ctx, nil); outputstest.OutcomeOf(err) != later {
		t.Errorf("got %v", err)
	}
}

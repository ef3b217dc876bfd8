package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		" 5 ":                            5 * time.Second,
		"-5":                             0,
		"1.5":                            0,
		"soon":                           0,
		"99999":                          maxDelay,
		"99999999999999999999999999":     maxDelay,
		"Fri, 02 Jan 2026 03:05:05 GMT":  time.Minute,
		"Friday, 02-Jan-26 03:05:05 GMT": time.Minute,
		"Fri Jan  2 03:05:05 2026":       time.Minute,
		"Fri, 02 Jan 2026 03:00:00 GMT":  0,
		"Fri, 02 Jan 2099 03:00:00 GMT":  maxDelay,
		"2026-01-02T03:05:05Z":           0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}

func TestEveryStatusSaysWhoMustDoSomething(t *testing.T) {
	rejected := []int{400, 413, 422}
	passing := []int{408, 409, 421, 423, 424, 425, 429}
	for status := 300; status < 600; status++ {
		want := outputstest.Held
		switch {
		case slices.Contains(rejected, status):
			want = outputstest.Rejected
		case slices.Contains(passing, status) || status >= 500:
			want = outputstest.NotNow
		}
		if got := outputstest.OutcomeOf(StatusError(status, nil, nil)); got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
	later := StatusError(403, http.Header{"Retry-After": {"9"}}, nil)
	if outputs.Held(later) || outputs.Delay(later) != 9*time.Second {
		t.Errorf("an endpoint that says when to come back is not to be mended: %v", later)
	}
}

func TestTheErrorSaysWhatTheEndpointAnswered(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	for _, c := range []struct {
		status int
		header http.Header
		body   string
		want   string
	}{
		{404, nil, "", "the endpoint answered 404 Not Found"},
		{400, nil, " no\tsuch \n channel\x1b[31m\x00 ", "the endpoint answered 400 Bad Request: no such channel [31m"},
		{502, html, "<html>", "the endpoint answered 502 Bad Gateway"},
		{599, nil, "odd", "the endpoint answered 599: odd"},
		{302, nil, "", "the endpoint answered 302 Found (a redirect is followed only on the same host and without changing the method)"},
		{500, nil, "caf\xe9", "the endpoint answered 500 Internal Server Error: caf\uFFFD"},
		{500, nil, strings.Repeat("é", 400), "the endpoint answered 500 Internal Server Error: " + strings.Repeat("é", 256) + "…"},
		{500, nil, "x" + strings.Repeat("é", 400), "the endpoint answered 500 Internal Server Error: x" + strings.Repeat("é", 255) + "…"},
	} {
		if got := StatusError(c.status, c.header, []byte(c.body)).Error(); got != c.want {
			t.Errorf("status %d, body %q:\ngot  %q\nwant %q", c.status, c.body, got, c.want)
		}
	}
}

func TestWhatTheEndpointRepeatsOfTheRequestIsHidden(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://user:pa55word@h/services/T012AB/t0ken-a?api_key=qu3ry%2Bkey&n=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "GenieKey k3y-in-header")
	req.Header.Set("Content-Type", "application/json")
	for said, want := range map[string]string{
		"no route /services/T012AB/t0ken-a?api_key=qu3ry%2Bkey&n=1": "no route [hidden]",
		"no route /services/T012AB/t0ken-a":                         "no route [hidden]",
		"unknown team T012AB, token t0ken-a":                        "unknown team [hidden], token [hidden]",
		"key qu3ry+key or qu3ry%2Bkey is wrong":                     "key [hidden] or [hidden] is wrong",
		"not allowed: GenieKey k3y-in-header":                       "not allowed: [hidden]",
		"key k3y-in-header is unknown":                              "key [hidden] is unknown",
		"user:pa55word":                                             "[hidden]",
		"wanted application/json, 1 error":                          "wanted application/json, 1 error",
	} {
		if got := string(hideSecrets(req, []byte(said))); got != want {
			t.Errorf("%q is shown as %q, want %q", said, got, want)
		}
	}
}

func TestASecretAtTheCutIsHidden(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://h/t0ken-t0ken-t0ken", nil)
	if err != nil {
		t.Fatal(err)
	}
	for before := 470; before < maxText+10; before++ {
		said := strings.Repeat("x", before) + "t0ken-t0ken-t0ken"
		if got := StatusError(500, nil, hideSecrets(req, []byte(said))).Error(); strings.Contains(got, "t0k") {
			t.Fatalf("with %d bytes before it, the error shows %q", before, got[len(got)-30:])
		}
	}
}

func TestAnErrorOfTheConnectionDoesNotShowTheAddress(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://h/t0ken1", nil)
	if err != nil {
		t.Fatal(err)
	}
	inner := fmt.Errorf("odd Location header %q: %w", "/t0ken1", context.DeadlineExceeded)
	err = cleanError(req, &url.Error{Op: "Post", URL: "https://h/t0ken1", Err: inner})
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err.Error()), "t0ken1") {
		t.Errorf("the error is %v", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no longer the end of its context", err)
	}
	twice := fmt.Errorf("sdk: %w", &url.Error{Op: "Post", URL: "a", Err: &url.Error{Op: "Get", URL: "b", Err: context.Canceled}})
	if got := CleanError(twice); got != context.Canceled { //nolint:errorlint // the very error is meant
		t.Errorf("got %v", got)
	}
}

func FuzzStatusError(f *testing.F) {
	f.Add(503, "120", "text/plain", []byte("busy"))
	f.Add(400, "Fri, 02 Jan 2026 03:05:05 GMT", "", []byte("\xff\xfe\u202e\n"))
	f.Fuzz(func(t *testing.T, status int, after, kind string, body []byte) {
		err := StatusError(status, http.Header{"Retry-After": {after}, "Content-Type": {kind}}, body)
		if d := outputs.Delay(err); d < 0 || d > maxDelay {
			t.Errorf("a pause of %v", d)
		}
		text := err.Error()
		if len(text) > maxText+250 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("the error is %q", text)
		}
	})
}

package kubex

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersAreClassed(t *testing.T) {
	status := func(reason, details string) string {
		return `{"kind":"Status","status":"Failure","message":"why not","reason":"` + reason + `","details":{` + details + `}}`
	}
	for name, c := range map[string]struct {
		code        int
		body, after string
		want        outputstest.Outcome
		pause       time.Duration
		text        string
	}{
		"malformed":           {code: 400, body: status("BadRequest", ""), want: outputstest.Rejected, text: "400 Bad Request: why not"},
		"malformed, later":    {code: 400, body: status("BadRequest", `"retryAfterSeconds":3`), want: outputstest.Rejected},
		"unknown":             {code: 401, body: status("Unauthorized", ""), want: outputstest.Held, text: "401 Unauthorized: why not"},
		"forbidden":           {code: 403, body: status("Forbidden", ""), want: outputstest.Held},
		"not found":           {code: 404, body: status("NotFound", ""), want: outputstest.Held},
		"conflict":            {code: 409, body: status("Conflict", ""), want: outputstest.NotNow},
		"too large":           {code: 413, body: status("RequestEntityTooLarge", ""), want: outputstest.Rejected},
		"too many":            {code: 429, body: status("TooManyRequests", `"retryAfterSeconds":7`), want: outputstest.NotNow, pause: 7 * time.Second},
		"header":              {code: 429, body: "busy", after: "9", want: outputstest.NotNow, pause: 9 * time.Second, text: ": busy"},
		"header and details":  {code: 429, body: status("TooManyRequests", `"retryAfterSeconds":7`), after: "9", want: outputstest.NotNow, pause: 9 * time.Second},
		"details and header":  {code: 429, body: status("TooManyRequests", `"retryAfterSeconds":9`), after: "7", want: outputstest.NotNow, pause: 9 * time.Second},
		"very long":           {code: 503, body: status("ServiceUnavailable", `"retryAfterSeconds":2000000000`), want: outputstest.NotNow, pause: maxPause},
		"negative":            {code: 503, body: status("ServiceUnavailable", `"retryAfterSeconds":-5`), want: outputstest.NotNow},
		"starting":            {code: 500, body: status("ServerTimeout", `"retryAfterSeconds":1`), want: outputstest.NotNow, pause: time.Second},
		"page of a proxy":     {code: 502, body: "<html>no</html>", want: outputstest.NotNow, text: "502 Bad Gateway"},
		"no JSON object":      {code: 503, body: "no\nendpoints", want: outputstest.NotNow, text: ": no endpoints"},
		"another JSON object": {code: 500, body: `{"kind":"Pod"}`, want: outputstest.NotNow, text: `: {"kind":"Pod"}`},
		"status without name": {code: 599, want: outputstest.NotNow, text: "answered 599"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.after != "" {
				header.Set("Retry-After", c.after)
			}
			if strings.HasPrefix(c.body, "<html>") {
				header.Set("Content-Type", "text/html; charset=utf-8")
			}
			err := statusError(c.code, header, []byte(c.body))
			if got := outputstest.OutcomeOf(err); got != c.want || outputs.Delay(err) != c.pause {
				t.Errorf("it is %q, pause %v, want %q, pause %v: %v", got, outputs.Delay(err), c.want, c.pause, err)
			}
			if !strings.HasSuffix(err.Error(), c.text) {
				t.Errorf("got %q, want %q at the end", err, c.text)
			}
		})
	}
}

func TestTheDetailsOfAStatusAreRead(t *testing.T) {
	causes := strings.Repeat(`{"reason":"x\ny"},`, 2*maxCauses)
	e, _ := readStatus(404, nil, []byte(`{"kind":"Status","reason":"NotFound","message":"a\nb","details":{"name":"n","kind":"pods","causes":[`+causes[:len(causes)-1]+`]}}`))
	if e.Reason != NotFound || e.Message != "a b" || e.Kind != "pods" || e.Name != "n" || len(e.Causes) != maxCauses || e.Causes[0] != "x y" {
		t.Errorf("got %+v", e)
	}
	if got := Reason(fmt.Errorf("in between: %w", outputs.Hold(e))); got != NotFound {
		t.Errorf("reason %q", got)
	}
	if Reason(nil) != "" || Reason(http.ErrNoCookie) != "" {
		t.Error("another error has a reason")
	}
}

func TestANamespaceThatIsMissingOrEndsIsKnown(t *testing.T) {
	for body, want := range map[string]bool{
		`{"kind":"Status","reason":"NotFound","details":{"name":"a","kind":"namespaces"}}`:                true,
		`{"kind":"Status","reason":"Forbidden","details":{"causes":[{"reason":"NamespaceTerminating"}]}}`: true,
		`{"kind":"Status","reason":"NotFound","details":{"name":"a","kind":"pods"}}`:                      false,
		`{"kind":"Status","reason":"Forbidden","details":{"kind":"namespaces"}}`:                          false,
		`404 page not found`: false,
	} {
		if got := NoNamespace(statusError(404, http.Header{}, []byte(body))); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
	if NoNamespace(nil) || NoNamespace(http.ErrNoCookie) {
		t.Error("another error says so")
	}
}

func FuzzStatus(f *testing.F) {
	f.Add(429, []byte(`{"kind":"Status","message":"m","reason":"TooManyRequests","details":{"name":"n","kind":"k","retryAfterSeconds":1,"causes":[{"reason":"r"}]}}`))
	f.Add(404, []byte("404 page not found\n"))
	f.Add(500, []byte(`{"kind":"Status","details":{"retryAfterSeconds":2147483647}}`))
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		err := statusError(code, http.Header{}, body)
		if text := err.Error(); len(text) > 4096 || strings.ContainsAny(text, "\r\n") {
			t.Errorf("got %q", text)
		}
		if d := outputs.Delay(err); d < 0 || d > maxPause {
			t.Errorf("pause %v", d)
		}
	})
}

package splunk

import (
	"encoding/json"
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

const collector = "host: URL/services/collector/event"

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "splunk",
		Config: "{" + collector + ", token: s3cretToken, customheaders: {X-Scope: s3cretHeader}}",
		Secret: "s3cretToken s3cretHeader",
		Variants: map[string]string{
			"own":      "{" + collector + ", token: t, index: security, source: saker, sourcetype: 'saker:event', metadata: true}",
			"gzip":     "{" + collector + ", token: t, enablecompression: true}",
			"no_token": "{" + collector + ", customheaders: {Authorization: Bearer x, content-type: application/json}}",
		},
		Wrong: map[string]string{
			"{}":                                         "host",
			"{token: s3cretToken}":                       "host",
			"{host: 'splunk:8088/s3cretToken'}":          "host: must be a URL",
			"{host: URL, customheaders: {'a b': c}}":     "customheaders",
			"{host: URL, metadata: some}":                "metadata",
			"{host: URL, proxy: 'ftp://s3cretToken@h'}":  "proxy",
			"{host: URL, enablecompression: s3cretness}": "enablecompression",
		},
		Hollow: map[string]outputstest.Outcome{
			"\n<html>sign in</html>":             outputstest.Held,
			`{"text":"Server is busy","code":9}`: outputstest.NotNow,
			`{"text":"Success","code":0}`:        outputstest.Delivered,
		},
		Answer: accept,
	}.Run(t)
}

// accept answers as the collector does: it refuses what it would.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status, code int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code)
	}
	if kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); token == "" || kind != "Splunk" && kind != "Bearer" {
		refuse(http.StatusUnauthorized, 2, "Token is required")
		return
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		for {
			var e struct {
				Event any      `json:"event"`
				Time  *float64 `json:"time"`
			}
			err := decoder.Decode(&e)
			if err == io.EOF {
				break
			}
			if err != nil || e.Event == nil {
				refuse(http.StatusBadRequest, 6, "Invalid data format")
				return
			}
		}
	}
	fmt.Fprint(w, `{"text":"Success","code":0}`)
}

func batch(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = outputstest.Plain()
	}
	return all
}

func open(t *testing.T, handle http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	sender, err := outputstest.New("splunk", "{token: s3cretToken, host: "+s.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.(io.Closer).Close() })
	return sender
}

func TestTheCollectorsCodeSaysWhoseFaultItIs(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{200, `{"text":"Success","code":0}`, outputstest.Delivered},
		{200, `{"text":"Success","code":0,"ackId":7}`, outputstest.Delivered},
		{200, "ok", outputstest.Delivered}, // what only speaks like Splunk
		{200, `{"text":"Server is busy","code":9}`, outputstest.NotNow},
		{400, `{"text":"No data","code":5}`, outputstest.Rejected},
		{400, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, outputstest.Rejected},
		{400, `{"text":"Incorrect index","code":7,"invalid-event-number":0}`, outputstest.Held},
		{400, `{"text":"Data channel is missing","code":10}`, outputstest.Held},
		{400, `{"text":"ACK is disabled","code":14}`, outputstest.Held},
		{400, `{"text":"Query string authorization is not enabled","code":16}`, outputstest.Held},
		{401, `{"text":"Token is required","code":2}`, outputstest.Held},
		{403, `{"text":"Invalid token","code":4}`, outputstest.Held},
		{413, `{"text":"Content too long","code":27}`, outputstest.Rejected},
		{429, `{"text":"Queue at capacity","code":26}`, outputstest.NotNow},
		{500, `{"text":"Internal server error","code":8}`, outputstest.NotNow},
		{503, `{"text":"Server is busy","code":9}`, outputstest.NotNow},
	} {
		sender := open(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			fmt.Fprint(w, tc.body)
		})
		err := sender.Send(t.Context(), batch(1))
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d %s is %q (%v), want %q", tc.status, tc.body, got, err, tc.want)
		}
	}
}

func TestATokenThatTheAnswerRepeatsDoesNotShow(t *testing.T) {
	for _, status := range []int{200, 400, 403} {
		sender := open(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"text":%q,"code":9}`, r.Header.Get("Authorization"))
		})
		err := sender.Send(t.Context(), batch(1))
		if err == nil {
			t.Fatalf("%d: was delivered", status)
		}
		outputstest.NoSecret(t, "s3cretToken", err.Error())
	}
}

func TestABatchIsSplitByItsSize(t *testing.T) {
	var sizes []int
	sender := open(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sizes = append(sizes, len(body))
	})
	large := batch(4)
	for i := range large {
		large[i].Output = strings.Repeat("x", 400_000)
	}
	if err := sender.Send(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 2 || max(sizes[0], sizes[1]) > maxBody {
		t.Errorf("the requests have %v bytes, want two of at most %d", sizes, maxBody)
	}
}

func FuzzCode(f *testing.F) {
	f.Add([]byte(`{"text":"Success","code":0}`))
	f.Add([]byte(`{"code":"9"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if codeOf(body) != 0 && !json.Valid(body) {
			t.Errorf("a code was read from %q", body)
		}
	})
}

package sentinel

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	table = "endpoint: URL, ruleid: dcr-0123, stream: Custom-Saker_CL"
	login = "authority: URL, tenantid: tenant, clientid: app, clientsecret: s3cret/S"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "sentinel",
		Config: "{" + table + ", " + login + "}",
		Secret: "s3cret/S",
		Variants: map[string]string{
			"national": "{" + table + ", " + login + ", scope: 'https://monitor.azure.us/.default'}",
		},
		Wrong: map[string]string{
			"{}":                             "endpoint",
			"{endpoint: URL, ruleid: dcr-1}": "stream",
			"{endpoint: h, ruleid: a, stream: b, " + login + "}":     "endpoint: must be a URL",
			"{endpoint: URL, ruleid: a/b, stream: b}":                "ruleid: must be",
			"{endpoint: URL, ruleid: a, stream: 'b c'}":              "stream: must be",
			"{" + table + ", clientid: app}":                         "clientsecret",
			"{" + table + ", clientid: app, clientsecret: s3cret/S}": "tenantid: is required",
			"{" + table + ", tenantid: a}":                           "tenantid",
			"{" + table + ", authority: 'http://u:s3cret/S@h'}":      "authority",
		},
		// The first request asks for a token, and what it is refused for is no event's fault.
		Statuses:    map[int]outputstest.Outcome{400: outputstest.Held, 413: outputstest.Held, 422: outputstest.Held},
		Answer:      accept,
		NoRedirects: true, // a redirect to the same host is followed for each of two different requests
	}.Run(t)
}

// accept answers as Microsoft Entra and the Logs Ingestion API do: it refuses what they would.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/tenant/oauth2/v2.0/token") {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "app" ||
			r.FormValue("client_secret") != "s3cret/S" || !strings.HasSuffix(r.FormValue("scope"), "/.default") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"no %s"}`, r.FormValue("client_secret"))
			return
		}
		fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"t0ken"}`)
		return
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer t0ken":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.RequestURI() != "/dataCollectionRules/dcr-0123/streams/Custom-Saker_CL?api-version=2023-01-01":
		w.WriteHeader(http.StatusNotFound)
	case !wellFormed(body):
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// wellFormed reports whether the body is what the service takes.
func wellFormed(body []byte) bool {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return false
	}
	text, err := io.ReadAll(z)
	if err != nil || len(text) > 1_000_000 {
		return false
	}
	var rows []map[string]any
	if json.Unmarshal(text, &rows) != nil || len(rows) == 0 {
		return false
	}
	for _, r := range rows {
		if _, ok := r["TimeGenerated"].(string); !ok {
			return false
		}
	}
	return true
}

// service answers the requests for tokens, and with handle the others.
func service(t *testing.T, tokens *atomic.Int32, handle http.HandlerFunc) outputs.Sender {
	t.Helper()
	outputstest.NoLeak(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			tokens.Add(1)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"t0ken"}`)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("sentinel", strings.ReplaceAll("{"+table+", "+login+"}", "URL", s.URL), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.(io.Closer).Close() })
	return sender
}

func TestRefusalsOfRowsAreToldFromThoseOfSettings(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{204, "", outputstest.Delivered},
		{200, "<html>sign in</html>", outputstest.Held},
		{400, `{"error":{"code":"InvalidStream","message":"not configured"}}`, outputstest.Held},
		{400, `{"error":{"code":"InvalidPayload","message":"not an array"}}`, outputstest.Rejected},
		{400, "bad", outputstest.Rejected},
		{403, `{"error":{"code":"OperationFailed","message":"no access"}}`, outputstest.Held},
		{404, `{"error":{"code":"NotFound"}}`, outputstest.Held},
		{413, `{"error":{"code":"ContentLengthLimitExceeded"}}`, outputstest.Rejected},
		{429, "", outputstest.NotNow},
		{503, "", outputstest.NotNow},
	} {
		var tokens atomic.Int32
		sender := service(t, &tokens, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			fmt.Fprint(w, tc.body)
		})
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if got := outputstest.OutcomeOf(err); got != tc.want {
			t.Errorf("%d %s is %q (%v), want %q", tc.status, tc.body, got, err, tc.want)
		}
	}
}

func TestATokenIsKeptUntilItIsRefused(t *testing.T) {
	var tokens atomic.Int32
	status := http.StatusNoContent
	sender := service(t, &tokens, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	for i, step := range []struct {
		status int
		tokens int32
	}{{204, 1}, {204, 1}, {401, 1}, {204, 2}} {
		status = step.status
		err := sender.Send(t.Context(), []event.Event{outputstest.Plain()})
		if (err == nil) != (step.status == 204) || tokens.Load() != step.tokens {
			t.Errorf("step %d: %v, and %d tokens were asked for, want %d", i, err, tokens.Load(), step.tokens)
		}
	}
}

func TestARefusedSecretDoesNotShow(t *testing.T) {
	outputstest.NoLeak(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215 %s s3cret/S"}`, body)
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("sentinel", strings.ReplaceAll("{"+table+", "+login+"}", "URL", s.URL), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	err = sender.Send(t.Context(), []event.Event{outputstest.Plain()})
	if outputstest.OutcomeOf(err) != outputstest.Held || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecret(t, "s3cret/S", err.Error())
}

func TestABatchIsSplitByItsSizeAndLongEventsAreCut(t *testing.T) {
	var tokens, requests, rows atomic.Int32
	sender := service(t, &tokens, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		text, _ := io.ReadAll(z)
		var all []json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil || len(text) > maxBody+2 {
			t.Errorf("%d bytes, %v", len(text), err)
		}
		for _, row := range all {
			if len(row) > 64_000 {
				t.Errorf("a row has %d bytes", len(row))
			}
		}
		requests.Add(1)
		rows.Add(int32(len(all))) //nolint:gosec // a handful
		w.WriteHeader(http.StatusNoContent)
	})
	batch := make([]event.Event, 40)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat("é", 50_000)
	}
	if err := sender.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if rows.Load() != 40 || requests.Load() < 2 {
		t.Errorf("%d rows came in %d requests", rows.Load(), requests.Load())
	}
}

func TestWithoutAnApplicationTheEnvironmentNamesTheAccount(t *testing.T) {
	outputstest.NoLeak(t)
	identity := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("X-IDENTITY-HEADER") != "header" || r.FormValue("resource") != "https://monitor.azure.com" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"access_token":"t0ken","expires_on":"4102444800","resource":"https://monitor.azure.com","token_type":"Bearer"}`)
	}))
	t.Cleanup(identity.Close)
	t.Setenv("IDENTITY_ENDPOINT", identity.URL)
	t.Setenv("IDENTITY_HEADER", "header")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		accept(w, r, body)
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("sentinel", "{"+strings.ReplaceAll(table, "URL", s.URL)+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	if err := sender.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Error(err)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(400, []byte(`{"error":{"code":"InvalidStream"}}`))
	f.Add(503, []byte(`[]`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if status/100 != 2 && judge(status, nil, answer) == nil {
			t.Errorf("%d is a success", status)
		}
	})
}

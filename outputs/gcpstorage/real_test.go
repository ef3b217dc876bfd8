package gcpstorage_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRealServerStoresObjects(t *testing.T) {
	address := outputstest.Start(t, outputstest.Program{
		Module: "fake-gcs-server",
		Args: func(address, dir string) []string {
			host, port, _ := net.SplitHostPort(address)
			return []string{"-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", address}
		},
		Ready: "/_internal/healthcheck",
	})
	outputstest.NoLeak(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path, body string) string {
		t.Helper()
		var reader io.Reader = http.NoBody
		if body != "" {
			reader = strings.NewReader(body)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, address+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %v: %s", method, path, res.Status, err, text)
		}
		return string(text)
	}
	call(http.MethodPost, "/storage/v1/b?project=p", `{"name":"falco-1"}`)
	account := gcpxtest.New(t)
	e := outputstest.Plain()
	s := open(t, address, "prefix: falco, keys: event, credentials: "+account.Credentials)
	for range 2 { // the second finds it stored
		if err := s.Send(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	name := "falco/2019-05-17/2019-05-17T15:31:56.746609046Z_" + e.UUID + ".json"
	if got := call(http.MethodGet, "/storage/v1/b/falco-1/o/"+url.PathEscape(name)+"?alt=media", ""); got != string(e.AppendJSON(nil)) {
		t.Errorf("stored is %s", got)
	}
	missing, err := outputstest.New("gcpstorage", "{bucket: other, endpoint: '"+address+"', credentials: "+account.Credentials+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = missing.(io.Closer).Close() }) //nolint:forcetypeassert // a sender over HTTP is one
	if err := missing.Send(t.Context(), []event.Event{e}); outputstest.OutcomeOf(err) != outputstest.Held {
		t.Errorf("a missing bucket is %v, want an error that holds", err)
	}
}

package kubex

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAFunctionIsCalledStraightOrThroughTheAPIServer(t *testing.T) {
	outputstest.NoLeak(t)
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := map[bool]string{true: "line", false: "no line"}[strings.HasSuffix(string(body), "\n")]
		got = fmt.Sprintln(r.Method, r.URL.Path, r.Header.Get("Way"), r.Header.Get("event-id"), r.Header.Get("Authorization"), line)
	}))
	defer server.Close()
	host, number, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	way := func(name string) func(event.Event) http.Header {
		return func(e event.Event) http.Header {
			h := EventID(e)
			h.Set("Way", name)
			return h
		}
	}
	f := Function{Namespace: "ns", Service: "gw", Port: port, Host: host, Path: "/f", Direct: way("direct"), Proxied: way("proxied")}
	bare := f
	bare.Path = ""
	const id = "00000000-0000-4000-8000-000000000001"
	service := "/api/v1/namespaces/ns/services/gw:" + number + "/proxy"
	for _, c := range []struct {
		Function
		kubeconfig, want string
	}{
		{f, "", "POST /f direct " + id + "  line\n"},
		{f, config(server.URL, "", `{"token":"t"}`), "POST " + service + "/f proxied " + id + " Bearer t no line\n"},
		{bare, config(server.URL, "", "{}"), "POST " + service + "/ proxied " + id + "  no line\n"},
	} {
		caller, err := NewCaller(c.Function, httpx.Config{CheckCert: true}, c.kubeconfig, outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		var s outputs.Sender = caller
		if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil || got != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
		if err := caller.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewCaller(f, httpx.Config{}, "{}", outputstest.Env(t)); err == nil {
		t.Error("a kubeconfig without a context was taken")
	}
	if len(EventID(event.Event{})) != 0 {
		t.Error("an event without UUID has a header for it")
	}
}

package gotify

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestTheLargestMessageFits(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("é", 100_000)
	e.Fields = nil
	for range 500 {
		e.Fields = append(e.Fields, event.Field{Name: "f", Value: event.StringValue(strings.Repeat("v", 5000))})
	}
	for _, format := range []string{"markdown", "text"} {
		if got := payload(Config{Format: format}, e).Message; len(got) > maxText {
			t.Errorf("%s: the message has %d bytes", format, len(got))
		}
	}
}

func TestWithoutATokenThereIsNoHeader(t *testing.T) {
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(s.Close)
	sender, err := outputstest.New("gotify", "{hostport: '"+s.URL+"'}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
		t.Fatal(err)
	}
	if _, ok := got["X-Gotify-Key"]; ok || got == nil {
		t.Errorf("the headers are %v", got)
	}
}

// Package adaptertest is the test that every adapter of ingest runs: fixtures in the form
// that the sender publishes, and the events that they become.
package adaptertest

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Now is the time of messages in tests.
var Now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// Message returns a message with a body and pairs of header names and values.
func Message(body string, header ...string) adapter.Message {
	m := adapter.Message{Header: http.Header{}, Body: []byte(body), Now: Now, MaxEvents: 100}
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	return m
}

// Golden decodes every testdata/*.json and compares the events, one a line, with the file
// of the same name and the ending .golden. Each must be valid and stay the same when it is
// decoded again.
func Golden(t *testing.T, decode adapter.Decode, header ...string) {
	t.Helper()
	fixtures, err := filepath.Glob("testdata/*.json")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("there are no fixtures: %v", err)
	}
	for _, name := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := lines(t, decode, string(body), header)
			if again := lines(t, decode, string(body), header); again != got {
				t.Errorf("decoded again it is\n%s\nand not\n%s", again, got)
			}
			golden := strings.TrimSuffix(name, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the events differ (-want +got):\n%s", diff)
			}
		})
	}
}

func lines(t *testing.T, decode adapter.Decode, body string, header []string) string {
	t.Helper()
	events, err := decode(Message(body, header...))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, e := range events {
		if err := e.Validate(); err != nil {
			t.Errorf("rule %q: %v", e.Rule, err)
		}
		all = append(e.AppendJSON(all), '\n')
	}
	return string(all)
}

// Errors checks what an adapter says of each body: the key is the body, the value the
// error's text.
func Errors(t *testing.T, decode adapter.Decode, all map[string]string, header ...string) {
	t.Helper()
	for body, want := range all {
		events, err := decode(Message(body, header...))
		if err == nil {
			t.Errorf("%s became %d events", body, len(events))
		} else if err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", body, err, want)
		}
	}
}

// Fuzz checks that no body makes an adapter panic, that it returns either events or an
// error, and that events can be read again from what they are stored as.
func Fuzz(f *testing.F, decode adapter.Decode, header ...string) {
	f.Helper()
	fixtures, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range fixtures {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m := Message(string(body), header...)
		events, err := decode(m)
		if (err == nil) != (len(events) > 0) {
			t.Fatalf("%d events and the error %v", len(events), err)
		}
		if !bytes.Equal(m.Body, body) {
			t.Error("the body has changed")
		}
		for _, e := range events {
			if e.Validate() != nil {
				continue // ingest refuses it
			}
			if _, err := event.Decode(e.AppendJSON(nil)); err != nil {
				t.Errorf("the event cannot be read again: %v", err)
			}
		}
	})
}

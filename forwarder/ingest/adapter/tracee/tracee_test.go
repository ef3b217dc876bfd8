package tracee

import (
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter/adaptertest"
)

func TestEvents(t *testing.T) { adaptertest.Golden(t, Decode) }

func TestErrorsNameThePlace(t *testing.T) {
	adaptertest.Errors(t, Decode, map[string]string{
		"":                                  "there must be at least one event",
		"7":                                 "event 1: an event must be an object",
		`{}`:                                `event 1: member "eventName": is required`,
		`{"eventName":1}`:                   `event 1: member "eventName": must not be a JSON number`,
		`{"eventName":"a","args":{}}`:       `event 1: member "args": must not be a JSON object`,
		`{"eventName":"a","timestamp":1.5}`: `event 1: member "timestamp": must be nanoseconds, not "1.5"`,
		`{"name":"a","timestamp":"1"}`:      `event 1: member "timestamp": must be an RFC 3339 time, not "1"`,
		`{"eventName":"a"}` + "\n{":         "event 2: the JSON text ends too early",
	})
}

func TestSeverities(t *testing.T) {
	for severity, want := range map[string]event.Priority{
		"0": event.Informational, "1": event.Notice, "2": event.Warning, "3": event.Error, "4": event.Critical,
		"9": event.Critical, "-1": event.Informational, `"high"`: event.Error, `"?"`: event.Informational, "null": event.Informational,
	} {
		all, err := Decode(adaptertest.Message(`{"eventName":"a","metadata":{"Properties":{"Severity":` + severity + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0].Priority; got != want {
			t.Errorf("severity %s is %s, want %s", severity, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) { adaptertest.Fuzz(f, Decode) }

package alertmanager

import (
	"fmt"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter/adaptertest"
)

func TestEvents(t *testing.T) { adaptertest.Golden(t, Decode) }

func TestErrorsNameThePlace(t *testing.T) {
	adaptertest.Errors(t, Decode, map[string]string{
		"":                                     "the JSON text ends too early",
		"[]":                                   "must be an object, not a JSON array",
		`{"version":"3","alerts":[]}`:          `member "version": must be "4", not "3"`,
		`{"version":"4"}`:                      `member "alerts": must be an array`,
		`{"version":"4","alerts":{}}`:          `member "alerts": must be an array`,
		`{"version":"4","alerts":[]}`:          `member "alerts": there must be at least one alert`,
		`{"version":"4","alerts":[1]}`:         `member "alerts": event 1: an event must be an object`,
		`{"alerts":[{"labels":{"a":"b"}},{}]}`: `alert 2: member "labels": is required`,
		`{"alerts":[{"labels":{"a":1}}]}`:      `alert 1: member "labels": must not be a JSON number`,
		`{"alerts":[{"labels":{"a":"b"},"startsAt":"now"}]}`:                   `alert 1: member "startsAt": must be an RFC 3339 time, not "now"`,
		`{"alerts":[{"labels":{"a":"b"},"status":"resolved","endsAt":"now"}]}`: `alert 1: member "endsAt": must be an RFC 3339 time, not "now"`,
	})
}

func TestPriorities(t *testing.T) {
	for labels, want := range map[string]event.Priority{
		`"severity":"page"`: event.Critical, `"severity":"CRITICAL"`: event.Critical, `"severity":"error"`: event.Error,
		`"severity":"warning"`: event.Warning, `"severity":"info"`: event.Informational, `"severity":"none"`: event.Informational,
		`"priority":"alert"`: event.Alert, `"x":"y"`: event.Warning,
	} {
		all, err := Decode(adaptertest.Message(fmt.Sprintf(`{"alerts":[{"labels":{%s}}]}`, labels)))
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0].Priority; got != want {
			t.Errorf("%s is %s, want %s", labels, got, want)
		}
	}
}

func TestAnAlertSentAgainIsTheSameEventAndItsEndAnother(t *testing.T) {
	id := func(status, starts string) string {
		all, err := Decode(adaptertest.Message(fmt.Sprintf(
			`{"alerts":[{"status":%q,"labels":{"a":"b"},"startsAt":%q,"endsAt":"2026-03-04T05:00:00Z","fingerprint":"f"}]}`, status, starts)))
		if err != nil {
			t.Fatal(err)
		}
		return all[0].UUID
	}
	const start, later = "2026-03-04T04:00:00Z", "2026-03-04T06:00:00Z"
	if first, again := id("firing", start), id("firing", start); first != again {
		t.Error("the same alert has two ids")
	}
	if id("firing", start) == id("resolved", start) || id("firing", start) == id("firing", later) {
		t.Error("different alerts have the same id")
	}
}

func FuzzDecode(f *testing.F) { adaptertest.Fuzz(f, Decode) }

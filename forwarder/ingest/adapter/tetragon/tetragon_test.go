package tetragon

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/forwarder/ingest/adapter/adaptertest"
)

func TestEvents(t *testing.T) { adaptertest.Golden(t, Decode) }

func TestErrorsNameThePlace(t *testing.T) {
	adaptertest.Errors(t, Decode, map[string]string{
		"":                                       "there must be at least one event",
		"[]":                                     "there must be at least one event",
		"nonsense":                               "event 1: at byte 2: invalid character 'o' in literal null (expecting 'u')",
		`{"process_exec":{}`:                     "event 1: the JSON text ends too early",
		`{"node_name":"n"}`:                      "event 1: must have a member such as process_exec or process_kprobe",
		`{"process_exec":[]}`:                    `event 1: member "process_exec": must be an object, not a JSON array`,
		`{"process_exec":{}} 1`:                  "event 2: an event must be an object",
		`{"process_kprobe":{"policy_name":7}}`:   `event 1: member "process_kprobe": member "policy_name": must not be a JSON number`,
		`{"process_exec":{},"time":"yesterday"}`: `event 1: member "time": must be an RFC 3339 time, not "yesterday"`,
		`[{"process_exec":{},"time":""},{"time":"x"}]`: "event 2: must have a member such as process_exec or process_kprobe",
	})
}

func TestTooManyEventsAreRefused(t *testing.T) {
	m := adaptertest.Message(strings.Repeat(`{"process_exec":{}}`, 101))
	if _, err := Decode(m); err == nil || err.Error() != "there are too many events at once" {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) { adaptertest.Fuzz(f, Decode) }

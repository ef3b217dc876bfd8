package outputstest

import (
	"testing"

	"github.com/saker-security/saker/event"
)

func TestEventsAreAsIngestWouldMakeThem(t *testing.T) {
	names, ids := map[string]bool{}, map[string]bool{}
	for _, f := range Events() {
		text := string(f.Event.AppendJSON(nil))
		e, err := event.Decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if got := string(e.AppendJSON(nil)); got != text {
			t.Errorf("%s is read back as\n%s\nnot\n%s", f.Name, got, text)
		}
		if err := f.Event.Validate(); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		if names[f.Name] || ids[f.Event.UUID] {
			t.Errorf("%s: the name or the UUID is there twice", f.Name)
		}
		names[f.Name], ids[f.Event.UUID] = true, true
	}
}

package falcotext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAShortenedEventHasAtMostTheSize(t *testing.T) {
	worst := outputstest.Plain()
	worst.Rule, worst.Output, worst.Hostname = strings.Repeat("<", 9000), strings.Repeat("\x01", 100_000), strings.Repeat("\xff", 5000)
	worst.Tags = nil
	for range event.MaxTags {
		worst.Tags = append(worst.Tags, strings.Repeat("t", 500))
	}
	for i := range event.MaxFields {
		worst.Fields = append(worst.Fields, event.Field{Name: fmt.Sprintf("%s%d", strings.Repeat("n", 300), i), Value: event.CompositeValue(`["` + strings.Repeat("v", 300) + `"]`)})
	}
	all := append(outputstest.Events(), outputstest.Fixture{Name: "worst", Event: worst})
	for _, f := range all {
		before := string(f.Event.AppendJSON(nil))
		for _, size := range []int{2 << 10, 8 << 10, 65_000} {
			short := falcotext.Shorten(f.Event, size)
			text := short.AppendJSON(nil)
			if len(text) > max(size, 0) {
				t.Errorf("%s: %d bytes, want at most %d", f.Name, len(text), size)
			}
			if len(before) <= size && string(text) != before {
				t.Errorf("%s was cut although it has only %d bytes", f.Name, len(before))
			}
			if _, err := event.Decode(text); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			if short.UUID != f.Event.UUID || short.Priority != f.Event.Priority || !short.Time.Equal(f.Event.Time) {
				t.Errorf("%s is another event: %s", f.Name, text)
			}
		}
		if string(f.Event.AppendJSON(nil)) != before {
			t.Errorf("%s was changed", f.Name)
		}
	}
}

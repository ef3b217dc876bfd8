package event_test

import (
	"testing"

	"github.com/saker-security/saker/event"
)

func TestOnlyASummaryIsShortenedToItsHeadline(t *testing.T) {
	e := event.Event{Output: "first\nsecond"}
	if e.IsSummary() || e.Headline() != "first\nsecond" {
		t.Errorf("an ordinary event has the headline %q", e.Headline())
	}
	e = e.WithFields(event.Field{Name: event.SummaryKind, Value: event.StringValue("group")})
	if !e.IsSummary() || e.Headline() != "first" {
		t.Errorf("a summary has the headline %q", e.Headline())
	}
	e.Output = ""
	if e.Headline() != "" {
		t.Errorf("a summary without a text has the headline %q", e.Headline())
	}
}

func TestFiguresAreNotPartOfWhatIdentifiesASummary(t *testing.T) {
	for name, want := range map[string]bool{
		event.SummaryKind: true, event.SummaryCount: true, event.SummaryFirst: true, event.SummaryLast: true,
		event.SummaryKey: false, "proc.name": false, "saker.group": false,
	} {
		if got := event.IsSummaryFigure(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

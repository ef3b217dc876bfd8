// Package falcotext is how outputs show an event to people: colours, times, the fields
// that are text, and messages from a user's template. It keeps Falcosidekick's forms, so
// that a channel looks the same after a move.
package falcotext

import (
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
)

// Colour returns the colour of a priority in chat messages, as #rrggbb; "" for no priority.
func Colour(p event.Priority) string {
	switch p {
	case event.Emergency, event.Error:
		return "#e20b0b"
	case event.Alert, event.Critical:
		return "#ff5400"
	case event.Warning:
		return "#ffc700"
	case event.Notice:
		return "#5bffb5"
	case event.Informational:
		return "#68c2ff"
	case event.Debug:
		return "#ccfff2"
	}
	return ""
}

// Time returns t as messages show it: 2019-05-17 15:31:56.746609046 +0000 UTC.
func Time(t time.Time) string { return t.String() }

// Tags returns the event's tags in one line.
func Tags(e event.Event) string { return strings.Join(e.Tags, ", ") }

// StringFields yields name and content of the output fields whose value is a string, in
// bytewise order of their names, and of a summary's number of events. Messages show no
// others.
func StringFields(e event.Event) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range e.Fields {
			s, ok := f.Value.Str()
			if f.Name == event.SummaryCount {
				s, ok = f.Value.Text(), true
			}
			if ok && !yield(f.Name, s) {
				return
			}
		}
	}
}

// Ellipsis ends a text that was cut.
const Ellipsis = "…"

// Cut returns s if it has at most n characters (n ≥ 1), and otherwise its first n-1 with
// an Ellipsis.
func Cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	kept := 0
	for i := range s {
		if kept++; kept == n {
			return s[:i] + Ellipsis
		}
	}
	return s
}

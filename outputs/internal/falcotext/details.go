package falcotext

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
)

// Details yields what messages show beside the event's output, in the order in which they
// show it: rule, priority, source, hostname and tags if there are any, StringFields, time.
func Details(e event.Event) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		ok := yield("rule", e.Rule) && yield("priority", e.Priority.String()) && yield("source", e.Source)
		if e.Hostname != "" {
			ok = ok && yield("hostname", e.Hostname)
		}
		if len(e.Tags) > 0 {
			ok = ok && yield("tags", Tags(e))
		}
		if !ok {
			return
		}
		for name, value := range StringFields(e) {
			if !yield(name, value) {
				return
			}
		}
		yield("time", Time(e.Time))
	}
}

// Plain is the event as plain text: its output (format text), its Details in lines of their
// own (format fields), or both (any other format).
func Plain(e event.Event, format string) string {
	var b strings.Builder
	if format != "fields" {
		b.WriteString(e.Output)
	}
	if format == "text" {
		return b.String()
	}
	if b.Len() > 0 {
		b.WriteString("\n\n")
	}
	for name, value := range Details(e) {
		b.WriteString(name + ": " + value + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// CutBytes returns s if it has at most n bytes (n ≥ 3), and otherwise as many of its first
// characters as leave room for an Ellipsis.
func CutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := n - len(Ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + Ellipsis
}

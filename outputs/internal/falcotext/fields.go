package falcotext

import (
	"fmt"
	"iter"
	"unicode/utf16"

	"github.com/saker-security/saker/event"
)

// Field is a field as a message shows it.
type Field struct{ Name, Value string }

// Limits are how much of an event a message shows. Lengths are in UTF-16 code units: some
// services count those, and there are never fewer of them than characters.
type Limits struct {
	Text   int // of each long text
	Value  int // of the name and of the value of each field
	Fields int // output fields
}

// Show returns all as l allows; when some are left out, one more Field says how many.
func (l Limits) Show(all iter.Seq2[string, string]) []Field {
	var shown []Field
	hidden := 0
	for name, value := range all {
		if len(shown) == l.Fields {
			hidden++
			continue
		}
		shown = append(shown, Field{CutUTF16(name, l.Value), CutUTF16(value, l.Value)})
	}
	if hidden > 0 {
		shown = append(shown, Field{Ellipsis, fmt.Sprintf("and %d more fields", hidden)})
	}
	return shown
}

// The limits that Fit does not go below.
const (
	minText  = 16
	minValue = 16
)

// Fit returns what build makes within the widest limits that build says fit: l, or as much
// tighter as need be. What fits within no limits is what the tightest make.
func Fit[T any](l Limits, build func(Limits) (made T, fits bool)) T {
	for {
		made, fits := build(l)
		tighter := Limits{max(l.Text*3/4, minText), max(l.Value*3/4, minValue), l.Fields * 3 / 4}
		tighter.Text, tighter.Value = min(tighter.Text, l.Text), min(tighter.Value, l.Value)
		if fits || tighter == l {
			return made
		}
		l = tighter
	}
}

// Show returns v as Falcosidekick's templates print it, and null for null.
func Show(v event.Value, null string) string {
	if v.Kind() == event.Null {
		return null
	}
	return fmt.Sprint(decoded(v))
}

// AllFields yields name and text of all output fields, as Show returns it, in bytewise
// order of their names.
func AllFields(e event.Event, null string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range e.Fields {
			if !yield(f.Name, Show(f.Value, null)) {
				return
			}
		}
	}
}

// LenUTF16 is the number of UTF-16 code units of s.
func LenUTF16(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// CutUTF16 returns s if it has at most n UTF-16 code units (n ≥ 1), and otherwise as many
// of its characters as fit with an Ellipsis behind them.
func CutUTF16(s string, n int) string {
	if len(s) <= n {
		return s
	}
	size, kept := 0, 0
	for i, r := range s {
		if size < n {
			kept = i // what stands before leaves room for the Ellipsis
		}
		if size += utf16.RuneLen(r); size > n {
			return s[:kept] + Ellipsis
		}
	}
	return s
}

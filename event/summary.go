package event

import "strings"

// The names of the output fields that an event has which stands for several: the forwarder
// makes such a summary of events that an output is to tell people together. Its Output is a
// headline and, on lines of their own, what the first of the events say.
const (
	// SummaryKind is group, repetition or digest.
	SummaryKind = "saker.group.kind"
	// SummaryKey says what the events share: "rule=A, k8s.ns.name=prod". A digest has none.
	SummaryKey = "saker.group.key"
	// SummaryCount is the number of events.
	SummaryCount = "saker.group.count"
	// SummaryFirst and SummaryLast are the times of the first and the last event, RFC 3339.
	SummaryFirst = "saker.group.first"
	SummaryLast  = "saker.group.last"
)

// IsSummary reports whether e stands for several events.
func (e *Event) IsSummary() bool {
	_, ok := e.Field(SummaryKind)
	return ok
}

// Headline is the text for where there is only a line: the first line of a summary's
// output, and otherwise the output as it is.
func (e *Event) Headline() string {
	if !e.IsSummary() {
		return e.Output
	}
	line, _, _ := strings.Cut(e.Output, "\n")
	return line
}

// IsSummaryFigure reports whether the output field called name is about one summary rather
// than about what its events share. Destinations that tell alerts apart by labels leave
// such a field out of them, so that the next summary of a group is the same alert.
func IsSummaryFigure(name string) bool {
	switch name {
	case SummaryKind, SummaryCount, SummaryFirst, SummaryLast:
		return true
	}
	return false
}

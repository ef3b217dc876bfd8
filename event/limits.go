package event

import (
	"fmt"
	"math"
)

// The limits of an event. Decode refuses what is beyond the first four of them, Validate
// what is beyond any.
const (
	// MaxEventBytes is the most bytes that the JSON text of one event may have, as it comes
	// in and as AppendJSON writes it.
	MaxEventBytes = 1 << 20
	// MaxDepth is how many objects and arrays may be inside one another; the event itself is
	// the first, output_fields the second.
	MaxDepth = 100
	// MaxFields is the most output fields of an event.
	MaxFields = 1024
	// MaxTags is the most tags of an event.
	MaxTags = 256
	// MaxYear is the last year that RFC 3339 can write.
	MaxYear = 9999
)

// Validate reports what keeps e from being an alert: no rule, priority, time or output
// fields, or more of something than the limits allow. Decode doesn't ask for the members,
// because enrichment, which may add fields, comes between the two.
func (e *Event) Validate() error {
	switch {
	case e.Rule == "":
		return missing("rule")
	case e.Priority == None || e.Priority > Emergency:
		return missing("priority")
	case e.Time.IsZero():
		return missing("time")
	case e.Time.Year() < 0 || e.Time.Year() > MaxYear:
		return &memberError{"time", fmt.Sprintf("must be of a year between 0 and %d", MaxYear)}
	case len(e.Fields) == 0:
		return missing("output_fields")
	case len(e.Fields) > MaxFields:
		return tooMany("output_fields", MaxFields)
	case len(e.Tags) > MaxTags:
		return tooMany("tags", MaxTags)
	case !e.fits(MaxEventBytes):
		return fmt.Errorf("the event must not be larger than %d bytes", MaxEventBytes)
	}
	return nil
}

// fits reports whether e takes at most limit bytes as JSON. Most events are so small that
// they fit even if every byte were escaped, so they are not encoded to find out.
func (e *Event) fits(limit int) bool {
	const (
		skeleton = 256 // names of the members, priority, time
		escape   = 6   // \u003c for <
		member   = 4   // quotes, colon, comma
	)
	text, rest := len(e.UUID)+len(e.Output)+len(e.Rule)+len(e.Source)+len(e.Hostname), skeleton
	for _, f := range e.Fields {
		text += len(f.Name) + len(f.Value.text)
		rest += 2 * member
	}
	for _, t := range e.Tags {
		text += len(t)
		rest += member
	}
	if text > math.MaxInt/(2*escape) {
		return false
	}
	return text*escape+rest <= limit || len(e.AppendJSON(nil)) <= limit
}

// memberError says what is wrong with one member of the event.
type memberError struct{ member, reason string }

func (e *memberError) Error() string { return fmt.Sprintf("member %q: %s", e.member, e.reason) }

func missing(member string) error { return &memberError{member, "is required"} }

func tooMany(member string, limit int) error {
	return &memberError{member, fmt.Sprintf("must not have more than %d entries", limit)}
}

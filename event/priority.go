package event

import "strings"

// Priority is an alert's severity. The higher, the more severe; the numbers are
// Falcosidekick's, which shows them in metrics.
type Priority uint8

// The priorities. None is what an event without a priority has, and the minimum priority
// that lets everything pass.
const (
	None Priority = iota
	Debug
	Informational
	Notice
	Warning
	Error
	Critical
	Alert
	Emergency
)

var priorityNames = [...]string{"", "Debug", "Informational", "Notice", "Warning", "Error", "Critical", "Alert", "Emergency"}

// String returns the name as alerts show it, "Informational" and not "Info"; "" for None.
func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return ""
}

// ParsePriority returns the priority called s, in any case; "info" is Informational.
func ParsePriority(s string) (Priority, bool) {
	if strings.EqualFold(s, "info") {
		return Informational, true
	}
	for p := Debug; p <= Emergency; p++ {
		if strings.EqualFold(s, priorityNames[p]) {
			return p, true
		}
	}
	return None, false
}

// UnmarshalText reads a minimum priority from configuration; the empty text is None.
func (p *Priority) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = None
		return nil
	}
	v, ok := ParsePriority(string(text))
	if !ok {
		return errPriority
	}
	*p = v
	return nil
}

// MarshalText returns the name.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

type constError string

func (e constError) Error() string { return string(e) }

const errPriority = constError("must be one of emergency, alert, critical, error, warning, notice, informational, debug")

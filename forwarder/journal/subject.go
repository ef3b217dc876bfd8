package journal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

// The names in the log. An event's subject says its priority, events.0 to events.8, so
// that a consumer's filter can hold back what is below an output's minimum. A test event
// passes every minimum, so it has a subject that every filter includes: events.test.
const (
	eventStream = "EVENTS"
	deadStream  = "DEADLETTERS"

	eventPrefix = "events."
	allEvents   = eventPrefix + ">"
	testSubject = eventPrefix + "test"
	deadPrefix  = "dead."
)

// subjects is the number of subjects that events have: one a priority, and the tests'.
const subjects = int(event.Emergency) + 2

// testIndex is the place of the tests' subject among the others.
const testIndex = subjects - 1

var subjectNames = func() (names [subjects]string) {
	for p := range testIndex {
		names[p] = eventPrefix + strconv.Itoa(p)
	}
	names[testIndex] = testSubject
	return names
}()

// subjectIndex returns the place in subjectNames of e's subject.
func subjectIndex(e *event.Event) int {
	if route.IsTest(e) {
		return testIndex
	}
	return int(min(e.Priority, event.Emergency))
}

// filters returns the subjects of what an output with the given minimum priority gets.
func filters(minimum event.Priority) []string {
	if minimum == event.None {
		return []string{allEvents}
	}
	return subjectNames[min(minimum, event.Emergency):]
}

// maxName is the most bytes of an output's name.
const maxName = 64

// escape turns the name of an output into a name that NATS takes for a consumer and as a
// part of a subject. Different names stay different: everything but letters, digits, - and
// _ becomes = and two hexadecimal digits.
func escape(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("the name %q must have 1 to %d bytes", name, maxName)
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String(), nil
}

// unescape turns back what escape made. Anything else comes back as it is.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

package alertmanager

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/event"
)

// Level is a priority that a configuration gives by its name or by its number.
type Level event.Priority

// UnmarshalText reads a name in any case, or a number from 1 (debug) to 8 (emergency).
func (l *Level) UnmarshalText(text []byte) error {
	if n, err := strconv.Atoi(string(text)); err == nil && n >= int(event.Debug) && n <= int(event.Emergency) {
		*l = Level(n)
		return nil
	}
	p, ok := event.ParsePriority(string(text))
	if !ok {
		return errors.New("must be a priority, such as warning, or its number from 1 to 8")
	}
	*l = Level(p)
	return nil
}

// MarshalText returns the priority's name in lower case.
func (l Level) MarshalText() ([]byte, error) {
	return []byte(strings.ToLower(event.Priority(l).String())), nil
}

// Thresholds are the least priorities of events that report dropped system calls.
type Thresholds struct {
	text string
	list []threshold // the highest first
}

type threshold struct {
	drops    int64
	priority event.Priority
}

var (
	// thresholdItem takes the separators before it, so that the list in Falcosidekick's
	// documentation, which has colons in place of commas, means what it was meant to.
	thresholdItem  = regexp.MustCompile(`^[\s,:]*([0-9]+)\s*:\s*([A-Za-z]+)`)
	thresholdsRest = regexp.MustCompile(`^[\s,:]*$`)
)

// UnmarshalText reads a list such as "100:critical, 1:warning".
func (t *Thresholds) UnmarshalText(text []byte) error {
	rest := string(text)
	var list []threshold
	for {
		m := thresholdItem.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		rest = rest[len(m[0]):]
		drops, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return fmt.Errorf("%s is too large a number of drops", m[1])
		}
		priority, ok := event.ParsePriority(m[2])
		if !ok {
			return fmt.Errorf("%q is no priority", m[2])
		}
		list = append(list, threshold{drops, priority})
	}
	if !thresholdsRest.MatchString(rest) {
		return errors.New(`must be a list of number:priority, such as "100:critical, 1:warning"`)
	}
	slices.SortStableFunc(list, func(a, b threshold) int { return cmp.Compare(b.drops, a.drops) })
	*t = Thresholds{string(text), list}
	return nil
}

// MarshalText returns the list as it was written.
func (t Thresholds) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// String returns the list as it was written.
func (t Thresholds) String() string { return t.text }

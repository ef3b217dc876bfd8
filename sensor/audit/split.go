package audit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/saker-security/saker/sensor/audit/document"
)

// errKind is the refusal of JSON that is something else.
var errKind = errors.New(`it must be an audit event (kind "Event"), an "EventList" or an array of those`)

// maxEvents is how many events a body may have. A real one of 12 MiB has at most some 30 000.
const maxEvents = 50_000

var errTooMany = fmt.Errorf("there are more than %d at once", maxEvents)

// maxLists is how deep arrays of lists may be nested.
const maxLists = 4

// Split returns the texts of the audit events in a body: one Event, an EventList with items,
// or an array of those. They are parts of body. The whole body is checked to be JSON, but
// not the events themselves, see Event.Read.
func Split(body string) ([]string, error) {
	events, err := split(nil, body, maxLists)
	if err != nil {
		return nil, fmt.Errorf("read audit events: %w", err)
	}
	return events, nil
}

func split(events []string, body string, depth int) ([]string, error) {
	switch {
	case document.First(body) == '[' && depth > 0:
		err := document.Elements(body, func(raw string) (err error) {
			events, err = split(events, raw, depth-1)
			return err
		})
		return events, err
	case document.First(body) != '{':
		return nil, errKind
	}
	kind, items := "", ""
	err := document.Members(body, func(name, raw string) error {
		switch name {
		case "kind":
			kind = raw
		case "items":
			items = raw
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case kind == `"Event"`:
		return appendEvent(events, strings.TrimSpace(body))
	case kind != `"EventList"`:
		return nil, errKind
	case document.First(items) != '[':
		return events, nil
	}
	err = document.Elements(items, func(raw string) (err error) {
		events, err = appendEvent(events, raw)
		return err
	})
	return events, err
}

func appendEvent(events []string, raw string) ([]string, error) {
	if len(events) == maxEvents {
		return events, errTooMany
	}
	return append(events, raw), nil
}

// ReadEvents returns the audit events in text, for the tests of rules: bodies as Split takes
// them, one after the other. An object without a kind is taken for an event. Unlike what an
// API server sends, everything in it has to be an audit event.
func ReadEvents(text []byte) ([]any, error) {
	var events []any
	var previous *Event
	err := document.Values(string(text), func(raw string) error {
		bodies := []string{raw}
		var d document.Document
		if err := d.Parse(raw); err != nil {
			return err
		}
		if root := d.Root(); root.Kind() != document.Object || root.Get("kind").Exists() {
			var err error
			if bodies, err = Split(raw); err != nil {
				return err
			}
		}
		for _, body := range bodies {
			e := new(Event)
			if previous != nil {
				e.num, e.first, e.stamp = previous.num, previous.first, previous.stamp
			}
			if err := e.Read(body); err != nil {
				return fmt.Errorf("read audit event %d: %w", len(events)+1, err)
			}
			previous = e
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/sensor/audit/document"
	"github.com/saker-security/saker/sensor/fields"
)

// MaxEventBytes is how large one audit event may be. The API server cuts larger ones by
// default only from 100 KiB on when --audit-webhook-truncate-enabled is set.
const MaxEventBytes = 256 << 10

// Why an event is dropped.
var (
	errTooLarge = fmt.Errorf("it is larger than %d KiB", MaxEventBytes>>10)
	errNoTime   = errors.New("it has no stageTimestamp in the form of RFC 3339")
	errNoObject = errors.New("it is not an object")
)

// Event is one audit event. Its fields are read through the registry.
type Event struct {
	doc document.Document
	// root is the event, or does not exist if the object is no audit event.
	root document.Node
	time time.Time

	num                    uint64
	first, previous, stamp uint64
	hostname               string
	uri                    uriParams
	// nodes and values are room for what extractors return.
	nodes  []document.Node
	values []fields.Value
}

// keptValues is for how many list elements an Event keeps room between events.
const keptValues = 4096

// Read takes the JSON text of one audit event in place of the one before. What was
// extracted of that is void.
func (e *Event) Read(text string) error {
	if len(text) > MaxEventBytes {
		return errTooLarge
	}
	if err := e.doc.Parse(text); err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	root := e.doc.Root()
	if root.Kind() != document.Object {
		return errNoObject
	}
	when, err := time.Parse(time.RFC3339Nano, root.Get("stageTimestamp").Text())
	if err != nil {
		return errNoTime
	}
	e.root = document.Node{}
	if root.Get("auditID").Exists() {
		e.root = root
	}
	e.previous = e.stamp
	e.time, e.stamp = when, uint64(max(when.UnixNano(), 0))
	if e.num++; e.num == 1 {
		e.first, e.previous = e.stamp, e.stamp
	}
	e.uri = uriParams{}
	e.nodes, e.values = e.nodes[:0], e.values[:0]
	if cap(e.values) > keptValues {
		e.nodes, e.values = nil, nil
	}
	return nil
}

// clear lets go of the text, which may be part of a large body.
func (e *Event) clear() {
	e.doc.Reset()
	e.root, e.uri = document.Node{}, uriParams{}
	clear(e.values)
}

// Time is when the stage of the request was reached.
func (e *Event) Time() time.Time { return e.time }

// Text is the event's JSON.
func (e *Event) Text() string { return e.doc.Text() }

// alerts is the namespace of the ids of alerts.
var alerts = uuid.MustParse("0d7c1e5a-6c7a-5b43-9a3d-6a1f1f0c8b7e")

// AlertID is the UUID of the alert of a rule for this event: always the same for the same
// text, so that an event that comes twice, because the API server or the sensor was not sure
// of its delivery, is one alert to whoever looks at the UUID. It is made from the whole text:
// the audit ID alone is chosen by the client if it likes, who could hide one event behind
// another.
func (e *Event) AlertID(rule string) string {
	text := e.Text()
	b := make([]byte, 0, len(rule)+1+len(text))
	b = append(append(append(b, rule...), 0), text...)
	return uuid.NewSHA1(alerts, b).String()
}

// get is the value under the keys.
func (e *Event) get(keys ...string) document.Node { return e.root.Get(keys...) }

// text is the text of a value, null if there is none.
func text(n document.Node) fields.Value {
	if !n.Exists() {
		return fields.Value{}
	}
	return fields.Text(n.Text())
}

// list makes a list of the values that were appended since there were from of them, null
// if there were none.
func (e *Event) list(from int) fields.Value {
	vs := e.values[from:len(e.values):len(e.values)]
	if len(vs) == 0 {
		return fields.Value{}
	}
	return fields.Elements(vs)
}

// add appends a value to the list that is being made.
func (e *Event) add(s string) { e.values = append(e.values, fields.Text(s)) }

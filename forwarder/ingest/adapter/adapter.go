// Package adapter is what the adapters of ingest share: the contract, and how what other
// senders call things becomes an Event.
//
// An adapter stands between the body of a request, which ingest has read within its limits,
// and enrichment. It is a pure function of the message: it does no I/O and looks at no
// clock, and what it cannot make an event of is an error that names the place. Each folder
// beside this file is one sender's form.
//
//	POST /ingest/tetragon ─ body within limits ─ tetragon.Decode ─ enrich ─ validate ─ journal
//
// Facts that Falco has a field for get Falco's name (proc.name, k8s.pod.name, …), so that
// routes, templates and the pages need not know the sender; others stand below the
// sender's name (tetragon.policy). Where a message tells itself apart from all others, the
// event's UUID is made from that, so that a message sent again is recognised; ingest keeps
// it from senders it knows only.
package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

// Message is one request as an adapter sees it.
type Message struct {
	Header http.Header
	Body   []byte
	// Now is the time of events that bring none.
	Now time.Time
	// MaxEvents is the most events that the message may have; more are ErrTooMany.
	MaxEvents int
}

// Decode makes events of a message: at least one, or an error. The events keep nothing of
// the message's body.
type Decode func(Message) ([]event.Event, error)

// ErrTooMany says that a message has more events than MaxEvents.
const ErrTooMany = constError("there are too many events at once")

const (
	errNone = constError("there must be at least one event")
	errEnd  = constError("the JSON text ends too early")
)

type constError string

func (e constError) Error() string { return string(e) }

// Objects makes an event of each JSON object in the message's body, which is one object,
// several one after the other (as in NDJSON) or an array of objects.
func Objects(m Message, one func(object json.RawMessage) (event.Event, error)) ([]event.Event, error) {
	objects, err := Split(m.Body, m.MaxEvents)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, errNone
	}
	return Each(objects, "event", one)
}

// Each makes an event of each of the objects; what names one in errors.
func Each(objects []json.RawMessage, what string, one func(json.RawMessage) (event.Event, error)) ([]event.Event, error) {
	all := make([]event.Event, 0, len(objects))
	for i, object := range objects {
		e, err := one(object)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", what, i+1, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// Split returns the JSON objects in body, which is one object, several one after the other
// or an array, none of them larger than an event may be. They are parts of body or copies.
func Split(body []byte, limit int) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	inArray := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))
	if inArray {
		if _, err := d.Token(); err != nil {
			return nil, syntax(err)
		}
	}
	var all []json.RawMessage
	for !inArray || d.More() {
		var object json.RawMessage
		err := d.Decode(&object)
		if errors.Is(err, io.EOF) && !inArray {
			return all, nil
		}
		if err == nil && len(all) == limit {
			return nil, ErrTooMany
		}
		if err == nil {
			err = checkObject(object)
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(all)+1, syntax(err))
		}
		all = append(all, object)
	}
	if _, err := d.Token(); err != nil {
		return nil, syntax(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the body must end after the array")
	}
	return all, nil
}

func checkObject(raw json.RawMessage) error {
	if !bytes.HasPrefix(raw, []byte("{")) {
		return errors.New("an event must be an object")
	}
	if len(raw) > event.MaxEventBytes {
		return fmt.Errorf("must not be larger than %d bytes", event.MaxEventBytes)
	}
	return nil
}

// syntax gives encoding/json's errors our form; others stay as they are.
func syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnd
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("at byte %d: %w", bad.Offset, err)
	}
	return err
}

// Unmarshal reads raw into the struct that into points to. Its errors name the member.
func Unmarshal(raw json.RawMessage, into any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errEnd
	}
	err := json.Unmarshal(raw, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("must be an object, not a JSON %s", wrong.Value)
		}
		return fmt.Errorf("member %q: must not be a JSON %s", wrong.Field, wrong.Value)
	}
	return syntax(err)
}

// namespace keeps the ids of adapters apart from those that others derive.
var namespace = uuid.MustParse("5c2f1c52-6a43-5d0c-8f0b-3d2a1f7e9b64")

// ID returns the UUID of the event that the parts tell apart from all others.
func ID(parts ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00"))).String()
}

// Time reads an RFC 3339 time; the empty text is fallback.
func Time(member, text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		const most = 64
		return time.Time{}, fmt.Errorf("member %q: must be an RFC 3339 time, not %q", member, text[:min(len(text), most)])
	}
	return t, nil
}

// severities are the words that other senders have for priorities.
var severities = map[string]event.Priority{
	"emergency": event.Emergency, "emerg": event.Emergency, "panic": event.Emergency,
	"alert":    event.Alert,
	"critical": event.Critical, "crit": event.Critical, "fatal": event.Critical, "page": event.Critical, "disaster": event.Critical,
	"error": event.Error, "err": event.Error, "high": event.Error, "major": event.Error,
	"warning": event.Warning, "warn": event.Warning, "medium": event.Warning, "average": event.Warning, "moderate": event.Warning,
	"notice": event.Notice, "low": event.Notice, "minor": event.Notice,
	"informational": event.Informational, "information": event.Informational, "info": event.Informational, "none": event.Informational, "ok": event.Informational,
	"debug": event.Debug, "trace": event.Debug,
}

// Severity returns the priority that a word, in any case, stands for.
func Severity(word string) (event.Priority, bool) {
	p, ok := severities[strings.ToLower(strings.TrimSpace(word))]
	return p, ok
}

// Package cloudevents reads CloudEvents 1.0 over HTTP, in the structured, the batched and
// the binary mode.
//
// Data that is an alert of Falco's form stays that alert. Anything else becomes an event
// named after the CloudEvent's type, with the data's members as fields below "data" and the
// attributes below "ce". Its priority comes from the extensions severitytext or
// severitynumber, Informational without one. A CloudEvent's source and id, which are unique
// together, make the UUID.
package cloudevents

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// Source is the source of events whose data is no alert.
const Source = "cloudevents"

const (
	mediaSingle = "application/cloudevents"
	mediaBatch  = "application/cloudevents-batch"
	prefix      = "Ce-"
	json10      = "json"
)

// cloudEvent is one CloudEvent, whatever mode it came in.
type cloudEvent struct {
	// attributes are all context attributes, extensions included, by name.
	attributes map[string]string
	// data is JSON, or text if isText is set; empty without any.
	data   []byte
	isText bool
}

// Decode implements adapter.Decode. A body that is no CloudEvents media type and has no
// ce- headers is taken as structured, because many senders leave the media type out.
func Decode(m adapter.Message) ([]event.Event, error) {
	media, _, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	kind, format, hasFormat := strings.Cut(media, "+")
	if (kind == mediaSingle || kind == mediaBatch) && hasFormat && format != json10 {
		return nil, fmt.Errorf("the event format must be json, not %q", format)
	}
	if kind != mediaSingle && kind != mediaBatch && m.Header.Get(prefix+"Specversion") != "" {
		c, err := binary(m.Header, media, m.Body)
		if err != nil {
			return nil, err
		}
		e, err := c.event(m.Now)
		if err != nil {
			return nil, err
		}
		return []event.Event{e}, nil
	}
	return adapter.Objects(m, func(raw json.RawMessage) (event.Event, error) {
		c, err := structured(raw)
		if err != nil {
			return event.Event{}, err
		}
		return c.event(m.Now)
	})
}

// structured reads the JSON format.
func structured(raw json.RawMessage) (*cloudEvent, error) {
	var members map[string]json.RawMessage
	if err := adapter.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	c := &cloudEvent{attributes: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		switch name {
		case "data":
			c.data = value
		case "data_base64":
			var packed []byte
			if json.Unmarshal(value, &packed) != nil {
				return nil, errors.New(`member "data_base64": must be Base64`)
			}
			c.data = packed
		default:
			text, err := attribute(value)
			if err != nil {
				return nil, fmt.Errorf("member %q: %w", name, err)
			}
			c.attributes[name] = text
		}
	}
	if members["data"] != nil && members["data_base64"] != nil {
		return nil, errors.New(`members "data" and "data_base64" exclude each other`)
	}
	if members["data_base64"] != nil && !json.Valid(c.data) {
		c.isText = true
	}
	return c, nil
}

// attribute reads the value of a context attribute: text, a number, true or false.
func attribute(raw json.RawMessage) (string, error) {
	v, err := event.ParseValue(raw)
	switch {
	case err != nil:
		return "", err
	case v.Kind() == event.Null:
		return "", nil
	case v.Kind() == event.Composite:
		return "", errors.New("must not be an object or an array")
	}
	return v.Text(), nil
}

// binary reads the attributes from the request's header.
func binary(header http.Header, media string, body []byte) (*cloudEvent, error) {
	c := &cloudEvent{attributes: map[string]string{}, data: body}
	for key, values := range header {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok || len(values) == 0 {
			continue
		}
		text, err := headerText(values[0])
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", strings.ToLower(key), err)
		}
		c.attributes[strings.ToLower(name)] = text
	}
	if media != "" {
		c.attributes["datacontenttype"] = media
	}
	isJSON := media == "" || media == "application/json" || strings.HasSuffix(media, "+json")
	if len(bytes.TrimSpace(body)) == 0 {
		c.data = nil
	} else if valid := json.Valid(body); !valid && isJSON {
		return nil, errors.New("the body must be JSON, as the media type says")
	} else if !valid || !isJSON {
		c.isText = true
	}
	return c, nil
}

// headerText undoes the quoting and the percent-encoding of a header's value.
func headerText(text string) (string, error) {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		var plain strings.Builder
		for inner := text[1 : len(text)-1]; inner != ""; inner = inner[1:] {
			if inner[0] == '\\' && len(inner) > 1 {
				inner = inner[1:]
			}
			plain.WriteByte(inner[0])
		}
		text = plain.String()
	}
	decoded, err := url.PathUnescape(text)
	if err != nil || !utf8.ValidString(decoded) {
		return "", errors.New("must be percent-encoded UTF-8")
	}
	return decoded, nil
}

// event makes the Event.
func (c *cloudEvent) event(now time.Time) (event.Event, error) {
	if v := c.attributes["specversion"]; v != "1.0" && v != "0.3" {
		return event.Event{}, fmt.Errorf("attribute %q: must be 1.0, not %q", "specversion", v[:min(len(v), 64)])
	}
	for _, name := range []string{"id", "source", "type"} {
		if c.attributes[name] == "" {
			return event.Event{}, fmt.Errorf("attribute %q: is required", name)
		}
	}
	id := adapter.ID(Source, c.attributes["source"], c.attributes["id"])
	if e, ok := c.alert(); ok {
		e.UUID = cmp.Or(e.UUID, id)
		return e, nil
	}
	at, err := adapter.Time("time", c.attributes["time"], now)
	if err != nil {
		return event.Event{}, err
	}
	fields, err := c.fields()
	return event.Event{
		UUID: id, Output: c.text(), Priority: c.priority(), Rule: c.attributes["type"],
		Time: at, Fields: fields, Source: Source,
	}, err
}

// alert returns the data if it is a whole alert of Falco's form.
func (c *cloudEvent) alert() (event.Event, bool) {
	if c.isText || !bytes.HasPrefix(bytes.TrimLeft(c.data, " \t\r\n"), []byte("{")) {
		return event.Event{}, false
	}
	e, err := event.Decode(c.data)
	return e, err == nil && e.Validate() == nil
}

// severities are the names of the ranges of severitynumber, four numbers each, from 1.
var severities = []event.Priority{event.Debug, event.Debug, event.Informational, event.Warning, event.Error, event.Critical}

func (c *cloudEvent) priority() event.Priority {
	for _, name := range []string{"severitytext", "severity", "priority"} {
		if p, ok := adapter.Severity(c.attributes[name]); ok {
			return p
		}
	}
	if n, err := strconv.Atoi(c.attributes["severitynumber"]); err == nil && n >= 1 && n <= 4*len(severities) {
		return severities[(n-1)/4]
	}
	return event.Informational
}

func (c *cloudEvent) text() string {
	var l adapter.Line
	l.Say("CloudEvent", c.attributes["type"], "from", c.attributes["source"])
	l.Fact("subject", c.attributes["subject"])
	l.Fact("id", c.attributes["id"])
	return l.String()
}

func (c *cloudEvent) fields() ([]event.Field, error) {
	var f adapter.Fields
	for name, value := range c.attributes {
		f.Text("ce."+name, value)
	}
	switch {
	case c.isText && utf8.Valid(c.data):
		f.Text("data", string(c.data))
	case c.isText:
		f.Text("data_base64", base64.StdEncoding.EncodeToString(c.data))
	case len(c.data) > 0:
		f.Flatten("data", c.data)
	}
	return f.Sorted()
}

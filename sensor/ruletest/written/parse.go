package written

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules/program"
)

// Mistake is something wrong at a place of a file. Lines and columns count from 1.
type Mistake struct {
	File         string
	Line, Column int
	Message      string
}

// Error returns the mistake as file:line:column: message.
func (m *Mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// At returns the mistake at a node of the file.
func At(file string, n *yaml.Node, format string, args ...any) *Mistake {
	return &Mistake{file, max(n.Line, 1), max(n.Column, 1), fmt.Sprintf(format, args...)}
}

// Reader reads written events of one source. It and its events are for one goroutine.
type Reader struct {
	// File is what messages call the file.
	File string
	// Fields are those of the source, made by Registry.
	Fields *fields.Registry

	host host
}

// Event reads a mapping of field to value, to which those of the mapping defaults are added
// that it does not have; defaults may be nil. num is the event's number, from 1. The error
// joins all mistakes.
func (r *Reader) Event(n, defaults *yaml.Node, num uint64) (*Event, error) {
	e := newEvent(r.Fields, true, num, &r.host)
	var errs []error
	for _, m := range []*yaml.Node{defaults, n} {
		if m != nil {
			errs = append(errs, r.add(e, m))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(r.Fields.EventTypes) > 0 && e.Type() == "" {
		return nil, At(r.File, n, "the event has no evt.type")
	}
	return e, nil
}

// add takes over the fields of a mapping.
func (r *Reader) add(e *Event, n *yaml.Node) error {
	pairs, err := Pairs(r.File, n)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pairs {
		errs = append(errs, r.field(e, p))
	}
	return errors.Join(errs...)
}

func (r *Reader) field(e *Event, p Pair) error {
	name, _, ok := splitName(p.Key.Value)
	f, known := r.Fields.Lookup(name)
	if !ok || !known {
		return At(r.File, p.Key, "unknown field %q%s", p.Key.Value, r.nearest(name))
	}
	arg, err := parseArg(f, p.Key.Value)
	if err != nil {
		return At(r.File, p.Key, "%v", err)
	}
	v, err := parse(f, arg.Given, p.Value)
	if err != nil {
		return At(r.File, p.Value, "%s: %v", p.Key.Value, err)
	}
	if name == "evt.type" {
		if err := r.checkType(v.Str); err != nil {
			return At(r.File, p.Value, "%v", err)
		}
	}
	e.given[keyOf(name, arg)] = v
	return nil
}

func (r *Reader) nearest(name string) string {
	return program.DidYouMean(name, func(yield func(string) bool) {
		for _, f := range r.Fields.All() {
			if !yield(f.Name) {
				return
			}
		}
	})
}

func (r *Reader) checkType(name string) error {
	for _, t := range r.Fields.EventTypes {
		if t == name && t != "" {
			return nil
		}
	}
	if r.Fields.Unwatched[name] {
		return fmt.Errorf("events of type %q are not watched, so no rule can match one", name)
	}
	return fmt.Errorf("unknown event type %q%s", name, program.DidYouMean(name, func(yield func(string) bool) {
		for _, t := range r.Fields.EventTypes {
			if t != "" && !yield(t) {
				return
			}
		}
	}))
}

// parseArg reads the argument in the brackets of key, which starts with the field's name.
func parseArg(f *fields.Field, key string) (fields.Arg, error) {
	_, text, _ := splitName(key)
	a := fields.Arg{Given: strings.Contains(key, "[")}
	if !a.Given {
		if f.Arg == fields.IndexArg || f.Arg == fields.KeyArg {
			return a, fmt.Errorf("field %q lacks its argument in brackets", f.Name)
		}
		return a, nil
	}
	switch f.Arg {
	case fields.NoArg:
		return a, fmt.Errorf("field %q takes no argument", f.Name)
	case fields.IndexArg, fields.OptionalIndexArg:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return a, fmt.Errorf("field %q takes a number as its argument, not %q", f.Name, text)
		}
		a.Index = int(n)
	default:
		a.Key = text
		if text == "" {
			return a, fmt.Errorf("field %q lacks its argument in brackets", f.Name)
		}
	}
	if f.CheckArg != nil {
		if err := f.CheckArg(a); err != nil {
			return a, fmt.Errorf("field %q: %w", key, err)
		}
	}
	return a, nil
}

// maxElements is how many elements a list may have.
const maxElements = 10000

// parse reads a value of the field.
func parse(f *fields.Field, withArg bool, n *yaml.Node) (fields.Value, error) {
	if n.Tag == "!!null" {
		return fields.Value{}, nil
	}
	list := f.List || f.AnyOf && !withArg
	switch n.Kind {
	case yaml.ScalarNode:
		v, err := parseScalar(f, n)
		if err != nil || !list {
			return v, err
		}
		return fields.Elements([]fields.Value{v}), nil
	case yaml.SequenceNode:
		if !list {
			return fields.Value{}, fmt.Errorf("must be %s, not a list", kindOf(f))
		}
	default:
		return fields.Value{}, fmt.Errorf("must be %s, not a mapping", kindOf(f))
	}
	if len(n.Content) > maxElements {
		return fields.Value{}, fmt.Errorf("the list has more than %d elements", maxElements)
	}
	vs := make([]fields.Value, 0, len(n.Content))
	for _, c := range n.Content {
		c = resolve(c)
		if c.Kind != yaml.ScalarNode {
			return fields.Value{}, errors.New("the elements of the list must be plain values")
		}
		v, err := parseScalar(f, c)
		if err != nil {
			return fields.Value{}, err
		}
		vs = append(vs, v)
	}
	return fields.Elements(vs), nil
}

func parseScalar(f *fields.Field, n *yaml.Node) (fields.Value, error) {
	text := n.Value
	if n.Tag == "!!binary" {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return fields.Value{}, errors.New("is not base64")
		}
		text = string(raw)
	}
	return parseText(f, text)
}

// parseJSON reads a value of an alert's output_fields.
func parseJSON(f *fields.Field, withArg bool, v event.Value) (fields.Value, error) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: v.Text()}
	switch v.Kind() {
	case event.Null:
		return fields.Value{}, nil
	case event.Composite:
		var texts []any
		dec := json.NewDecoder(strings.NewReader(v.Text()))
		dec.UseNumber()
		if err := dec.Decode(&texts); err != nil {
			return fields.Value{}, fmt.Errorf("must be %s", kindOf(f))
		}
		n = &yaml.Node{Kind: yaml.SequenceNode}
		for _, t := range texts {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(t)})
		}
	}
	return parse(f, withArg, n)
}

// parseText reads one value of the field's type.
func parseText(f *fields.Field, text string) (fields.Value, error) {
	bad := fmt.Errorf("must be %s, not %q", kindOf(f), text)
	if f.Resolves {
		a := addressOf(text)
		return fields.Value{Valid: true, Addr: a, Str: text}, nil
	}
	switch f.Type {
	case fields.String, fields.Path, fields.Bytes:
		return fields.Text(text), nil
	case fields.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fields.Value{}, bad
		}
		return fields.Boolean(b), nil
	case fields.Int:
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			return fields.Value{}, bad
		}
		return fields.Signed(n), nil
	case fields.Uint:
		n, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return fields.Value{}, bad
		}
		return fields.Unsigned(n), nil
	case fields.Port:
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fields.Value{}, bad
		}
		return fields.Unsigned(n), nil
	case fields.Time, fields.Duration:
		n, ok := parseNanoseconds(f.Type, text)
		if !ok {
			return fields.Value{}, bad
		}
		return fields.Unsigned(n), nil
	default:
		a, err := netip.ParseAddr(text)
		if err != nil {
			return fields.Value{}, bad
		}
		return fields.Address(a.Unmap()), nil
	}
}

func parseNanoseconds(t fields.Type, text string) (uint64, bool) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, true
	}
	if t == fields.Duration {
		d, err := time.ParseDuration(text)
		return uint64(max(d, 0)), err == nil && d >= 0
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return uint64(at.UnixNano()), err == nil && at.UnixNano() >= 0
}

// kindOf says what a value of the field is.
func kindOf(f *fields.Field) string {
	return [...]string{
		fields.String: "text", fields.Path: "text", fields.Bytes: "text or !!binary",
		fields.Int: "a whole number", fields.Uint: "a whole number that is not negative",
		fields.Time:     "a time such as 2026-01-31T12:00:00Z or a number of nanoseconds",
		fields.Duration: "a duration such as 5s or a number of nanoseconds",
		fields.Port:     "a port number", fields.Bool: "true or false",
		fields.IP: "an address", fields.Net: "an address",
	}[f.Type]
}

// Package generic makes events of any sender's JSON with expressions in CEL, the language
// that Kubernetes uses, which the configuration gives:
//
//	ingest:
//	  generic:
//	    - name: zabbix
//	      each: body.problems
//	      rule: item.name
//	      output: '"Zabbix: " + item.name + " on " + item.host'
//	      priority: item.severity
//	      hostname: item.host
//
// takes what is POSTed to /ingest/generic/zabbix. An expression sees body, the request's
// JSON; item, one element of the list that each gives, or body without each; headers, a map
// by lower-case name without those that carry credentials; and now, the time of the
// request. A number of the body is an int where it is whole, else a double.
package generic

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest/adapter"
)

// Mapping is an entry of the list "ingest.generic": a name, and expressions in CEL.
type Mapping struct {
	Name     string `key:"name" required:"true" doc:"Name of the mapping: it takes what is POSTed to /ingest/generic/NAME. Up to 63 lower-case letters, digits, - and _."`
	Each     string `key:"each" doc:"CEL expression of a list: each of its elements becomes an event, as the variable item. Empty: the request is one event, and item is its body."`
	Rule     string `key:"rule" required:"true" doc:"CEL expression of the rule: text."`
	Output   string `key:"output" required:"true" doc:"CEL expression of the alert's text."`
	Priority string `key:"priority" doc:"CEL expression of the priority: a word such as critical, error, high, warning, medium or info. Empty or null is Informational."`
	Time     string `key:"time" doc:"CEL expression of the time: a timestamp, RFC 3339 text, or seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size. Empty or null is when the request came."`
	Source   string `key:"source" doc:"CEL expression of the source: text. Empty is the mapping's name."`
	Hostname string `key:"hostname" doc:"CEL expression of the host's name: text."`
	Tags     string `key:"tags" doc:"CEL expression of the tags: a list of text, or text."`
	Fields   string `key:"fields" doc:"CEL expression of the output fields: a map. Maps in it are taken apart: a.b. Empty is item."`
	ID       string `key:"id" doc:"CEL expression of a text by which the sender tells its events apart. From it follows the event's UUID, so that an event sent again is recognised."`
}

var namePattern = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)

// Validate checks the name and compiles the expressions.
func (m Mapping) Validate() error {
	if !namePattern.MatchString(m.Name) {
		return config.At("name", errors.New("must be up to 63 lower-case letters, digits, - and _"))
	}
	_, err := compile(m)
	return err
}

// mapping is a compiled Mapping.
type mapping struct {
	name                                                                      string
	each, rule, output, priority, time, source, hostname, tags, fields, ident *expression
}

// New returns the adapter of a mapping. An error names the key whose expression is wrong.
func New(m Mapping) (adapter.Decode, error) {
	c, err := compile(m)
	if err != nil {
		return nil, err
	}
	return c.decode, nil
}

func compile(m Mapping) (*mapping, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	c := &mapping{name: m.Name}
	var errs []error
	for _, e := range []struct {
		key, text string
		into      **expression
		gives     []kind
	}{
		{"each", m.Each, &c.each, []kind{kindList}},
		{"rule", m.Rule, &c.rule, []kind{kindText}},
		{"output", m.Output, &c.output, []kind{kindText}},
		{"priority", m.Priority, &c.priority, []kind{kindText}},
		{"time", m.Time, &c.time, []kind{kindTime, kindText, kindNumber}},
		{"source", m.Source, &c.source, []kind{kindText}},
		{"hostname", m.Hostname, &c.hostname, []kind{kindText}},
		{"tags", m.Tags, &c.tags, []kind{kindList, kindText}},
		{"fields", m.Fields, &c.fields, []kind{kindMap}},
		{"id", m.ID, &c.ident, []kind{kindText, kindNumber}},
	} {
		if *e.into, err = newExpression(env, e.key, e.text, e.gives); err != nil {
			errs = append(errs, config.At(e.key, err))
		}
	}
	return c, errors.Join(errs...)
}

func (c *mapping) decode(m adapter.Message) ([]event.Event, error) {
	body, err := parse(m.Body)
	if err != nil {
		return nil, err
	}
	vars := map[string]any{"body": body, "item": body, "headers": headers(m.Header), "now": m.Now}
	if c.each == nil {
		e, err := c.event(vars, m.Now)
		return []event.Event{e}, err
	}
	list, err := c.each.eval(vars)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, errors.New("each: must give a list, not null")
	}
	return c.items(list.(traits.Lister), vars, m)
}

// items makes an event of each element of the list.
func (c *mapping) items(list traits.Lister, vars map[string]any, m adapter.Message) ([]event.Event, error) {
	var all []event.Event
	for at := list.Iterator(); at.HasNext().Value() == true; {
		if len(all) == m.MaxEvents {
			return nil, adapter.ErrTooMany
		}
		vars["item"] = at.Next()
		e, err := c.event(vars, m.Now)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(all)+1, err)
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, errors.New("each: the list must not be empty")
	}
	return all, nil
}

func (c *mapping) event(vars map[string]any, now time.Time) (event.Event, error) {
	r := results{vars: vars}
	e := event.Event{
		Rule: r.text(c.rule), Output: r.text(c.output), Priority: r.priority(c.priority), Time: r.time(c.time, now),
		Source: r.text(c.source), Hostname: r.text(c.hostname), Tags: r.list(c.tags), Fields: r.fields(c.fields),
	}
	if c.source == nil {
		e.Source = c.name
	}
	if id := r.text(c.ident); id != "" {
		e.UUID = adapter.ID("generic", c.name, id)
	}
	return e, r.err
}

// results evaluates expressions and keeps the first error. An absent expression is null.
type results struct {
	vars map[string]any
	err  error
}

func (r *results) eval(x *expression) ref.Val {
	if x == nil || r.err != nil {
		return nil
	}
	v, err := x.eval(r.vars)
	r.err = err
	return v
}

// fail keeps an error about x.
func (r *results) fail(x *expression, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", x.key, err)
	}
}

// text returns text, and the text of a number; "" for null.
func (r *results) text(x *expression) string { return plain(r.eval(x)) }

func (r *results) priority(x *expression) event.Priority {
	word := r.text(x)
	if word == "" {
		return event.Informational
	}
	p, ok := adapter.Severity(word)
	if !ok && r.err == nil {
		const most = 64
		r.fail(x, fmt.Errorf("must give a priority such as critical, error, warning or info, not %q", word[:min(len(word), most)]))
	}
	return p
}

func (r *results) time(x *expression, now time.Time) time.Time {
	v := r.eval(x)
	if v == nil {
		return now
	}
	t, err := asTime(v)
	if err != nil {
		r.fail(x, err)
	}
	return t
}

func (r *results) list(x *expression) []string {
	switch v := r.eval(x).(type) {
	case nil:
		return nil
	case traits.Lister:
		var all []string
		for at := v.Iterator(); at.HasNext().Value() == true; {
			if len(all) == event.MaxTags {
				r.fail(x, fmt.Errorf("must not give more than %d entries", event.MaxTags))
				return nil
			}
			if text := plain(at.Next()); text != "" {
				all = append(all, text)
			}
		}
		return all
	default:
		return []string{plain(v)}
	}
}

func (r *results) fields(x *expression) []event.Field {
	v := r.eval(x)
	if x == nil && r.err == nil {
		v = asValue(r.vars["item"])
	}
	if v == nil {
		return nil
	}
	text, err := appendJSON(nil, v)
	if err == nil && len(text) > event.MaxEventBytes {
		err = fmt.Errorf("must not be larger than %d bytes", event.MaxEventBytes)
	}
	var f adapter.Fields
	if err == nil {
		name := ""
		if _, isMap := v.(traits.Mapper); !isMap {
			name = "item"
		}
		f.Flatten(name, text)
	}
	fields, flatErr := f.Sorted()
	if err := cmp.Or(err, flatErr); err != nil && r.err == nil {
		r.err = fmt.Errorf("fields: %w", err)
	}
	return fields
}

// parse reads the request's JSON; whole numbers become int64 (or uint64), others float64.
func parse(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the text ends too early")
		}
		return nil, fmt.Errorf("the body must be JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body must be a single JSON value")
	}
	return withNumbers(v), nil
}

// withNumbers turns the numbers in v, in place, into types that CEL knows; those that none
// can hold become text.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n
		}
		if n, err := v.Float64(); err == nil {
			return n
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = withNumbers(v[key])
		}
	}
	return v
}

// headers returns the request's header for expressions, without what could end up in an
// event and must not.
func headers(h http.Header) map[string]string {
	all := make(map[string]string, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch lower := strings.ToLower(name); lower {
		case "authorization", "proxy-authorization", "cookie":
		default:
			all[lower] = strings.Join(h[name], ", ")
		}
	}
	return all
}

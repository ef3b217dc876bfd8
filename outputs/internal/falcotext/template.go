package falcotext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/saker-security/saker/event"
)

// MaxRendered is the longest text that a Template makes, in bytes. A longer one is cut.
const MaxRendered = 64 << 10

// Template is a message format: a Go text/template without functions of our own. Its dot
// has the members UUID, Output, Priority, Rule, Time, OutputFields (a map), Source, Tags
// and Hostname; a field that the event lacks shows as <no value>. In a configuration it is
// a string that must parse. The zero Template renders nothing.
type Template struct {
	text   string
	parsed *template.Template
}

// UnmarshalText parses text; the empty text is the zero Template.
func (t *Template) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*t = Template{}
		return nil
	}
	parsed, err := template.New("messageformat").Parse(string(text))
	if err != nil {
		return fmt.Errorf("must be a Go template: %w", err)
	}
	*t = Template{string(text), parsed}
	return nil
}

// MarshalText returns the template's source.
func (t Template) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// String returns the template's source.
func (t Template) String() string { return t.text }

// GoString returns the template's source.
func (t Template) GoString() string { return fmt.Sprintf("%q", t.text) }

// Render returns the text for e; "" when the template is zero or cannot be executed for
// this event, for then a message without the text is better than none.
func (t Template) Render(e event.Event) string {
	if t.parsed == nil {
		return ""
	}
	var b bounded
	err := t.parsed.Execute(&b, dot(e))
	if err != nil && !errors.Is(err, errFull) {
		return ""
	}
	return strings.ToValidUTF8(b.text.String(), "")
}

// errFull ends the execution of a template that writes too much.
var errFull = errors.New("the text is too long")

// bounded is a buffer that takes MaxRendered bytes.
type bounded struct{ text bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	room := MaxRendered - b.text.Len()
	if len(p) > room {
		b.text.Write(p[:room])
		return room, errFull
	}
	return b.text.Write(p)
}

// view is the dot of templates.
type view struct {
	UUID         string
	Output       string
	Priority     event.Priority
	Rule         string
	Time         time.Time
	OutputFields map[string]any
	Source       string
	Tags         []string
	Hostname     string
}

func dot(e event.Event) view {
	fields := make(map[string]any, len(e.Fields))
	for _, f := range e.Fields {
		fields[f.Name] = decoded(f.Value)
	}
	return view{e.UUID, e.Output, e.Priority, e.Rule, e.Time, fields, e.Source, e.Tags, e.Hostname}
}

// decoded returns v as encoding/json decodes it, numbers as json.Number.
func decoded(v event.Value) any {
	switch v.Kind() {
	case event.String:
		return v.Text()
	case event.Number:
		return json.Number(v.Text())
	case event.Bool:
		return v.Text() == "true"
	case event.Composite:
		d := json.NewDecoder(strings.NewReader(v.Text()))
		d.UseNumber()
		var x any
		if d.Decode(&x) != nil {
			return v.Text()
		}
		return x
	}
	return nil
}

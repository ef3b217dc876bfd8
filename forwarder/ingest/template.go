package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
)

// maxTemplated bounds the text of one templated field, in bytes; what is beyond is cut off.
const maxTemplated = 16 << 10

type fieldTemplate struct {
	name string
	tmpl *template.Template
}

func parseTemplate(name, text string) (fieldTemplate, error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return fieldTemplate{}, fmt.Errorf("parse the template of field %q: %w", name, err)
	}
	return fieldTemplate{name, t}, nil
}

// render executes the template. When that fails on the way, the text made so far counts.
func (t fieldTemplate) render(dot map[string]any) string {
	var out boundedText
	_ = t.tmpl.Execute(&out, dot)
	return out.text.String()
}

// templateData gives the fields to a template as Falcosidekick does: a map by name, in
// which numbers print the way they were sent.
func templateData(fields []event.Field) map[string]any {
	dot := make(map[string]any, len(fields)+1)
	for _, f := range fields {
		dot[f.Name] = plainValue(f.Value)
	}
	return dot
}

func plainValue(v event.Value) any {
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
			return nil
		}
		return x
	default:
		return nil
	}
}

var errTooLong = errors.New("the text is too long")

// boundedText takes at most maxTemplated bytes and never ends inside a character.
type boundedText struct{ text strings.Builder }

func (b *boundedText) Write(p []byte) (int, error) {
	room := maxTemplated - b.text.Len()
	if len(p) <= room {
		return b.text.Write(p)
	}
	b.text.Write(p[:characterStart(p, room)])
	return 0, errTooLong
}

// characterStart returns the greatest place up to n at which text can be cut without
// splitting a UTF-8 character.
func characterStart[T string | []byte](text T, n int) int {
	if n >= len(text) {
		return len(text)
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return n
}

package slack

import (
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Slack refuses a message that is too large as a whole.
func TestNoMessageIsOverTheLimits(t *testing.T) {
	c := Config{OutputFormat: "all"}
	if err := c.MessageFormat.UnmarshalText([]byte("{{.Output}} {{.OutputFields}}")); err != nil {
		t.Fatal(err)
	}
	for _, f := range outputstest.Events() {
		m := payload(c, f.Event)
		a := m.Attachments[0]
		for name, text := range map[string]string{"text": m.Text, "attachment": a.Text, "fallback": a.Fallback} {
			if n := utf8.RuneCountInString(text); n > maxText {
				t.Errorf("%s: the %s has %d characters", f.Name, name, n)
			}
		}
		if n := len(a.Fields); n > maxFields+7 {
			t.Errorf("%s: %d fields are shown", f.Name, n)
		}
		for _, field := range a.Fields {
			if n := utf8.RuneCountInString(field.Value); n > maxValue {
				t.Errorf("%s: field %s has %d characters", f.Name, field.Title, n)
			}
		}
	}
}

func TestFieldsThatAreNotShownAreCounted(t *testing.T) {
	for _, f := range outputstest.Events() {
		if f.Name != "many_fields" {
			continue
		}
		shown := fields(f.Event)
		more, last := shown[len(shown)-2], shown[len(shown)-1]
		if more.Value != "and 30 more fields" || last.Title != "time" {
			t.Errorf("the last fields are %+v and %+v", more, last)
		}
		return
	}
	t.Fatal("there is no event with many fields")
}

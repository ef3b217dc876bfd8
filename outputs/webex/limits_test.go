package webex

import (
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestTheLargestMessageFits(t *testing.T) {
	e := outputstest.Plain()
	e.Output, e.Rule, e.Hostname = strings.Repeat("é", 50_000), strings.Repeat("r", 5000), strings.Repeat("h", 5000)
	e.Tags = slices.Repeat([]string{strings.Repeat("t", 500)}, 256)
	for i := range e.Fields {
		e.Fields[i].Name += strings.Repeat("n", 5000)
	}
	got := payload(e).Markdown
	if len(got) > maxMessage || !strings.Contains(got, "* …") {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestAMessageThatJustFitsIsWhole(t *testing.T) {
	e := outputstest.Plain()
	room := maxMessage - len(markdown(e, widest)) + len(e.Output)
	for over := range 2 {
		e.Output = strings.Repeat("x", min(room, widest.Text)+over)
		if cut := strings.Contains(payload(e).Markdown, "x…"); cut != (over > 0) {
			t.Errorf("%d characters over: cut is %t", over, cut)
		}
	}
}

package googlechat

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/api/chat/v1"

	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Google refuses a message with a member that it does not know.
func TestMessagesHaveTheFormThatGooglePublishes(t *testing.T) {
	var key falcotext.Template
	if err := key.UnmarshalText([]byte("{{.Rule}}")); err != nil {
		t.Fatal(err)
	}
	for _, f := range outputstest.Events() {
		body, err := httpx.EncodeFit(widest, maxBody, func(l falcotext.Limits) any {
			return payload(Config{ThreadKey: key, MessageFormat: key}, f.Event, l)
		})
		if err != nil {
			t.Fatal(err)
		}
		var m chat.Message
		strict := json.NewDecoder(bytes.NewReader(body))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&m); err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if m.Text == "" || m.Thread.ThreadKey == "" || len(m.Cards) != 1 || m.Cards[0].Sections[0].Widgets[0].KeyValue.TopLabel != "rule" {
			t.Errorf("%s: Google reads %+v", f.Name, m)
		}
	}
}

package sensing

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
)

func TestWarningsThatSayTheSameAreOneLine(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	warn(log, config.Problems{
		{File: "falco.yaml", Line: 1, Key: "plugins", Message: "has no effect"},
		{File: "falco.yaml", Line: 2, Key: "rule", Message: "unknown key"},
		{File: "falco.yaml", Line: 3, Key: "metrics.enabled", Message: "has no effect"},
	})
	want := []string{
		`level=WARN msg=configuration problem="has no effect" keys="[plugins metrics.enabled]"`,
		`level=WARN msg=configuration problem="falco.yaml:2: rule: unknown key"`,
	}
	if got := strings.TrimSpace(text.String()); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

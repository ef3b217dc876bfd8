package httpx

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
)

func TestABodyIsMadeToFit(t *testing.T) {
	text := func(l falcotext.Limits) any { return falcotext.CutUTF16(strings.Repeat("<", 1000), l.Text) }
	limits := falcotext.Limits{Text: 2000}
	for most, want := range map[int]int{
		6003: 6003, // 1000 characters of six bytes, quotes and a newline
		6002: 843*6 - 6 + 3 + 3,
		1:    15*6 + 3 + 3,
	} {
		body, err := EncodeFit(limits, most, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) != want {
			t.Errorf("at most %d bytes: got %d, want %d", most, len(body), want)
		}
	}
	if _, err := EncodeFit(limits, 10, func(falcotext.Limits) any { return func() {} }); !outputs.Rejected(err) {
		t.Errorf("what has no JSON: %v", err)
	}
}

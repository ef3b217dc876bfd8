package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "a", "B_1": "${A}", "EMPTY": ""}
	tests := []struct{ in, want, err string }{
		{in: "", want: ""},
		{in: "plain $A $ 5$", want: "plain $A $ 5$"},
		{in: "${A}${A}-${B_1}", want: "aa-${A}"},
		{in: "${EMPTY:-x}${NONE:-y:-z}${A:-w}", want: "xy:-za"},
		{in: "${NONE:-}", want: ""},
		{in: "$${A} $$${A}", want: "${A} $${A}"},
		{in: "${NONE}", err: "needs the environment variable NONE"},
		{in: "${EMPTY}", err: "needs the environment variable EMPTY"},
		{in: "${A", err: "without its }"},
		{in: "${}", err: "names no variable"},
		{in: "${a b}", err: "names no variable"},
	}
	for _, test := range tests {
		got, err := expand(test.in, env)
		switch {
		case test.err == "" && (err != nil || got != test.want):
			t.Errorf("%q becomes %q, error %v; want %q", test.in, got, err, test.want)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%q: error %v, want %q", test.in, err, test.err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"${A}", "$${A}", "${A:-b}", "${", "}", "$$${", "${A:-${B}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := expand(s, map[string]string{"A": "${A}"})
		if err == nil && !strings.Contains(s, "${") && got != s {
			t.Errorf("%q without variables became %q", s, got)
		}
		escaped := strings.ReplaceAll(s, "${", "$${")
		if got, err := expand(escaped, nil); err != nil || got != s {
			t.Errorf("%q written as %q became %q, error %v", s, escaped, got, err)
		}
	})
}

func TestNearestFindsTypingErrorsOnly(t *testing.T) {
	candidates := []string{"webhookurl", "outputformat", "footer", "icon", "port", "user"}
	tests := map[string]string{
		"webhokurl": "webhookurl", "webhook_url": "webhookurl", "outptuformat": "outputformat", "icno": "icon",
		"ports": "port", "p": "", "xyz": "", "url": "", "usr": "user", strings.Repeat("x", 1000): "", "": "",
	}
	for word, want := range tests {
		if got := nearest(word, candidates); got != want {
			t.Errorf("nearest to %q is %q, not %q", word, got, want)
		}
	}
}

package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
)

func TestNothingThatPrintsShowsASecret(t *testing.T) {
	const plain = "s3cret-v4lue"
	type Holder struct {
		Exported   config.Secret
		unexported config.Secret
		list       []config.Secret
		table      map[string]config.Secret
		pointer    *config.Secret
		any        any
	}
	s := config.NewSecret(plain)
	h := Holder{s, s, []config.Secret{s}, map[string]config.Secret{"a": s}, &s, s}
	var shown bytes.Buffer
	for _, value := range []any{s, &s, h, &h, []any{s}, map[string]any{"a": h}, struct{ Holder }{h}} {
		for _, verb := range "vsqxXdTbcoOeEfFgGUtp" {
			for _, flags := range []string{"", "+", "#", "-20", " ", "0", "+#"} {
				fmt.Fprintf(&shown, "%"+flags+string(verb)+"\n", value)
			}
		}
		fmt.Fprintln(&shown, value)
		if data, err := json.Marshal(value); err == nil {
			shown.Write(data)
		}
		if data, err := yaml.Marshal(value); err == nil {
			shown.Write(data)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "value", value)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "value", value)
		fmt.Fprint(&shown, fmt.Errorf("wrapped: %v", value), errors.New(fmt.Sprint(value)))
	}
	for _, form := range []string{plain, fmt.Sprintf("%x", plain), fmt.Sprintf("%X", plain), fmt.Sprint([]byte(plain))} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("the secret shows as %s", form)
		}
	}
	if !strings.Contains(shown.String(), "[hidden]") {
		t.Error("nothing was printed")
	}
}

func TestASecretRevealsWhatItHolds(t *testing.T) {
	if s := config.NewSecret("x"); s.Reveal() != "x" || s.IsZero() || s.String() != "[hidden]" {
		t.Errorf("the secret reveals %q and shows %q", s.Reveal(), s)
	}
	if s := config.NewSecret(""); s.Reveal() != "" || !s.IsZero() || s.String() != "" || s != (config.Secret{}) {
		t.Errorf("the empty secret reveals %q and shows %q", s.Reveal(), s)
	}
}

package outputstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
)

// Env is what outputs get from the forwarder, in tests.
func Env(testing.TB) outputs.Env {
	return outputs.Env{UserAgent: "Saker/test"}
}

// Kind returns the registered kind called name, and fails the test if there is none.
func Kind(t testing.TB, name string) outputs.Registration {
	t.Helper()
	kind, ok := outputs.Lookup(name)
	if !ok {
		t.Fatalf("no kind of output is registered as %q", name)
	}
	return kind
}

// Load fills a new configuration of kind from the YAML text of its section, as a user's
// file would. The text may set shared keys too ("region" for an output of AWS).
func Load(kind outputs.Registration, text string) (any, error) {
	cfg := kind.NewConfig()
	each := func(string, string) ([]any, error) { return []any{cfg}, nil }
	file := "outputs:\n  test:\n" + indent(text) + "\n"
	src := config.Source{
		File: "test.yaml", Text: []byte(file),
		Set: []string{"outputs.test.type=" + kind.Name},
	}
	_, err := config.Load(src, config.Section{Path: "outputs", Each: each, Kinds: []string{kind.Name}})
	return cfg, err
}

func indent(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }

// New makes a Sender of the kind called name from the YAML text of its section.
func New(name, text string, env outputs.Env) (outputs.Sender, error) {
	kind, ok := outputs.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("no kind of output is registered as %q", name)
	}
	cfg, err := Load(kind, text)
	if err != nil {
		return nil, err
	}
	return kind.Build(cfg, env)
}

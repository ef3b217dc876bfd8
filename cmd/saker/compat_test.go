package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/sensor"
)

// declared returns the path of every key of the forwarder and of every kind of output, and
// of the sections of the kinds.
func declared(t *testing.T) (keys map[string]bool, sections []string) {
	t.Helper()
	keys = map[string]bool{}
	for _, s := range forwarder.DocSections() {
		if s.Path != "" {
			sections = append(sections, s.Path)
		}
		for _, structure := range s.All() {
			fields, err := config.Fields(structure)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fields {
				section := s.Path
				if f.Shared != "" {
					section = f.Shared
				}
				keys[strings.TrimPrefix(section+"."+f.Key, ".")] = true
			}
		}
	}
	return keys, sections
}

// A key that Falcosidekick has and we know nothing of would be a setting that silently
// stops working for who comes from there.
func TestEveryFalcosidekickKeyOfWhatIsThereWorks(t *testing.T) {
	keys, sections := declared(t)
	tops := map[string]bool{}
	for _, s := range sections {
		top, _, _ := strings.Cut(s, ".")
		tops[top] = true
	}
	checked := map[string]int{}
	all := config.FalcosidekickKeys()
	for _, key := range all {
		i := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(key, s+".") })
		top, rest, nested := strings.Cut(key, ".")
		var section string
		switch {
		case i >= 0:
			section = sections[i]
		case nested && tops[top] && !strings.Contains(rest, "."):
			section = top // what the outputs of one vendor share: aws.region
		case !nested, ownSections[top]:
			section = "the forwarder"
		default:
			continue // of an output that there is not
		}
		checked[section]++
		if reason := withoutEffect[key]; keys[key] == (reason != "") {
			t.Errorf("%s: Falcosidekick's key %s is there: %t; reason why it need not be: %q", section, key, keys[key], reason)
		}
	}
	// stdout is ours, and without it the loop above has looked at every section.
	for _, s := range append(sections, "the forwarder") {
		if checked[s] == 0 && slices.ContainsFunc(all, func(k string) bool { return strings.HasPrefix(k, s+".") }) {
			t.Errorf("no key of %s was looked at", s)
		}
	}
	if checked["the forwarder"] < 20 || checked["slack"] < 9 {
		t.Errorf("too little was looked at: %v", checked)
	}
}

// withoutEffect are keys that only cause a warning, and why nobody misses them.
var withoutEffect = map[string]string{
	"elasticsearch.batching.flushinterval": "what there is is sent at once; batch.age waits",
}

// ownSections are Falcosidekick's sections that are no outputs.
var ownSections = map[string]bool{"tlsserver": true, "tlsclient": true, "mutualtlsclient": true, "prometheus": true}

// generated runs `saker config generate` and returns the folder of the reference.
func generated(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const page = "differences-from-falcosidekick.md" // a part of which is generated
	if err := os.WriteFile(filepath.Join(dir, page), read(t, filepath.Join(root, "docs", page)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"config", "generate", dir, "--outputs", filepath.Join(root, "outputs")}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "reference")
}

func TestTheGeneratedExampleTurnsNothingOnAndFitsTheGeneratedSchema(t *testing.T) {
	dir := generated(t)
	example := filepath.Join(dir, "saker.example.yaml")
	var sensing sensor.Config
	loaded, err := forwarder.LoadConfig(config.Source{File: example, Known: []string{}},
		config.Section{Path: sensorPath, Into: []any{&sensing}})
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Outputs) > 0 || len(loaded.Source.Warnings) > 0 {
		t.Errorf("the example has outputs %v and warnings %v", loaded.Outputs, loaded.Source.Warnings)
	}

	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(dir, "saker.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(read(t, example), &document); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
	for _, wrong := range []map[string]any{
		{"listenprot": 1},
		{"slack": map[string]any{"outputformat": "fancy"}},
	} {
		if schema.Validate(wrong) == nil {
			t.Errorf("the schema takes %v", wrong)
		}
	}
}

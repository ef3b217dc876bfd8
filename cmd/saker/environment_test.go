package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/outputs"
)

// variableOf is the variable that sets a key.
func variableOf(path string) string { return strings.ToUpper(strings.ReplaceAll(path, ".", "_")) }

// variableText is a value as a variable has it.
func variableText(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ",")
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, fmt.Sprint(item))
		}
		return strings.Join(items, ",")
	case map[string]string:
		var items []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, k+":"+v[k])
		}
		return strings.Join(items, ",")
	case map[string]any:
		var items []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, fmt.Sprint(k, ":", v[k]))
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(v)
}

// flatten puts the values below a section into variables.
func flatten(environ map[string]string, path string, v any) {
	section, ok := v.(map[string]any)
	if !ok || path == "" && !ok {
		environ[variableOf(path)] = variableText(v)
		return
	}
	for name, value := range section {
		flatten(environ, strings.TrimPrefix(path+"."+name, "."), value)
	}
}

// exampleVariables are the settings of an output's documented example, as variables.
func exampleVariables(t *testing.T, k outputs.Registration, secret string) map[string]string {
	t.Helper()
	parts, err := outputs.ReadPage(k.Page)
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	_, text, _ := strings.Cut(parts.Example, "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	var all map[string]any
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	environ := map[string]string{}
	flatten(environ, "", all)
	for name, value := range environ {
		environ[name] = placeholder.ReplaceAllString(value, secret)
	}
	return environ
}

var placeholder = regexp.MustCompile(`\$\{\w+\}`)

// loadKind reads the configuration of one kind from variables alone.
func loadKind(k outputs.Registration, environ map[string]string) (*config.Loaded, error) {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		list = append(list, name+"="+environ[name])
	}
	return config.Load(config.Source{Environ: list}, config.Section{Path: k.Key, Into: []any{k.NewConfig(), new(deliver.Settings), new(forwarder.Routing)}})
}

func TestEveryKeyOfEveryOutputIsReadFromTheEnvironmentAlone(t *testing.T) {
	for _, k := range outputs.Kinds() {
		var base map[string]string
		var loaded *config.Loaded
		var err error
		for _, secret := range secrets {
			base = exampleVariables(t, k, secret)
			if loaded, err = loadKind(k, base); err == nil {
				break
			}
		}
		if err != nil || !loaded.Configured(k.Key) {
			t.Errorf("%s: its example as variables: %v; the output is off", k.Name, err)
			continue
		}
		for _, structure := range []any{k.NewConfig(), new(deliver.Settings), new(forwarder.Routing)} {
			fields, err := config.Fields(structure)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fields {
				if f.Type != "sections" && !slices.Equal(f.Env, []string{"-"}) {
					checkVariable(t, k, base, f)
				}
			}
		}
	}
}

// checkVariable sets one more key than base does, whose configuration is right.
func checkVariable(t *testing.T, k outputs.Registration, base map[string]string, f config.Field) {
	t.Helper()
	path := cmp.Or(f.Shared, k.Key) + "." + f.Key
	name := variableOf(path)
	text, given := base[name]
	if !given {
		text = cmp.Or(variableText(value(t, path, f)), "/nowhere")
	}
	environ := maps.Clone(base)
	environ[name] = text
	loaded, err := loadKind(k, environ)
	if err != nil {
		return // it has been read: without it there is no mistake
	}
	if got := loaded.Origin(path); got != "environment "+name {
		t.Errorf("%s: its value is from %q, want the variable %s", path, got, name)
	}
	checkReadBack(t, loaded, path, f.Type, text)
}

// checkReadBack compares a key's value in effect with the text that set it.
func checkReadBack(t *testing.T, loaded *config.Loaded, path, kind, want string) {
	t.Helper()
	if !slices.Contains([]string{"string", "int", "bool"}, kind) {
		return // another form of the same value, or a secret
	}
	var text bytes.Buffer
	if err := loaded.WriteEffective(&text); err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var v any = all
	for name := range strings.SplitSeq(path, ".") {
		section, _ := v.(map[string]any)
		v = section[name]
	}
	if got := fmt.Sprint(v); got != want {
		t.Errorf("%s is %q, want %q", path, got, want)
	}
}

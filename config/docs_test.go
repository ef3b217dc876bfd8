package config_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
)

// worldSections documents the sections that world loads.
func worldSections() []config.DocSection {
	return []config.DocSection{
		{Title: "General", Structs: []any{new(top)}},
		{Path: "slack", Title: "Slack", Doc: "Posts to a channel | room.", Kind: "slack", Structs: []any{new(settings), new(slack)}},
		{Path: "smtp", Title: "SMTP", Structs: []any{new(smtp)}},
		{Path: "kinds", Title: "Kinds", Structs: []any{new(kinds)}},
		{Path: "aws.lambda", Title: "AWS Lambda", Doc: "Calls a function.", Kind: "lambda", Structs: []any{new(lambda)}},
	}
}

func written(t *testing.T, write func(io.Writer, []config.DocSection) error) string {
	t.Helper()
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := write(b, worldSections()); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("the document differs from run to run")
	}
	return first.String()
}

func TestDocumentsFollowFromTheStructs(t *testing.T) {
	golden(t, "reference.md", written(t, config.WriteReference))
	golden(t, "environment.md", written(t, config.WriteEnvironment))
	golden(t, "example.yaml", written(t, config.WriteExample))
	golden(t, "schema.json", written(t, config.WriteSchema))
}

func TestTheExampleChangesNothing(t *testing.T) {
	var without, with world
	if _, err := without.load(config.Source{}); err != nil {
		t.Fatal(err)
	}
	loaded, err := with.load(text(written(t, config.WriteExample)))
	if err != nil {
		t.Fatal(err)
	}
	equateEmpty := cmp.FilterValues(func(a, b any) bool { return isEmpty(a) && isEmpty(b) }, cmp.Ignore())
	if diff := cmp.Diff(without, with, sameSecrets, equateEmpty, cmp.AllowUnexported(slack{})); diff != "" {
		t.Error(diff)
	}
	if loaded.Configured("slack") || len(loaded.Warnings) > 0 {
		t.Errorf("slack is on or there are warnings: %v", loaded.Warnings)
	}
}

func isEmpty(x any) bool {
	v := reflect.ValueOf(x)
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// validate checks YAML text against the schema of world.
func validate(t *testing.T, text string) error {
	t.Helper()
	c := jsonschema.NewCompiler()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(written(t, config.WriteSchema)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(instance)
}

func TestTheSchemaAgreesWithLoad(t *testing.T) {
	valid := map[string]string{
		"the example": written(t, config.WriteExample),
		"nothing":     "{}",
		"every type": `
x-anchors: {a: 1}
debug: true
customfields: {k8s.ns: a, n: 1}
slack: {webhookurl_file: /x, port: 1, ratio: 0.1, tags: a, customheaders: "a:b", flush: 5, size: 1, outputformat: text, footer: 3}
smtp:
aws: {region: a, lambda: {functionname: ""}}
auth: {tokens: [{name: a, value: b}]}
`,
		"variables": "debug: ${D}\nslack: {port: '${P}', outputformat: '${F}', webhookurl: '${U}'}",
		"instances": "outputs:\n  a: {type: slack, webhookurl: x, minimumpriority: warning}\n  b: {type: lambda, functionname: f, region: x}\n",
	}
	for name, text := range valid {
		if err := validate(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	invalid := map[string]string{
		"an unknown section":           "slak: {}",
		"an unknown key":               "slack: {foter: x}",
		"a wrong bool":                 "debug: maybe",
		"a wrong number":               "slack: {port: [1]}",
		"a value that is not allowed":  "slack: {outputformat: fancy}",
		"a value instead of a section": "slack: x",
		"an instance without type":     "outputs: {a: {webhookurl: x}}",
		"an instance of unknown type":  "outputs: {a: {type: slak}}",
		"another kind's key":           "outputs: {a: {type: slack, functionname: x}}",
		"a bad name":                   "outputs: {A: {type: slack, webhookurl: x}}",
		"a bad entry of a list":        "auth: {tokens: [{nam: x}]}",
	}
	for name, yaml := range invalid {
		var w world
		if _, err := w.load(text(yaml)); err == nil && name != "an instance without type" {
			t.Errorf("%s: Load accepts it", name)
		}
		if err := validate(t, yaml); err == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

func TestDocumentsOfABadStructAreRefused(t *testing.T) {
	sections := []config.DocSection{{Path: "x", Title: "X", Structs: []any{new(struct {
		A chan int `key:"a" doc:"A."`
	})}}}
	for _, write := range []func(io.Writer, []config.DocSection) error{
		config.WriteReference, config.WriteEnvironment, config.WriteExample, config.WriteSchema,
	} {
		if err := write(io.Discard, sections); err == nil {
			t.Error("no error")
		}
	}
}

func TestTheEffectiveConfigurationNamesOriginsAndHidesSecrets(t *testing.T) {
	var w world
	src := text(`
customfields: {k8s.ns: "multi\nline", b: "true"}
slack:
  webhookurl: s3cret
  tags: [a, "1"]
  size: 1MiB
smtp: {to: x@y}
aws: {secretaccesskey: s3cret}
auth: {tokens: [{name: ci, value: s3cret}, {name: me, value: s3cret, role: admin}]}
outputs:
  team: {type: lambda, functionname: f, region: here}
`)
	src.Environ, src.Set = []string{"SLACK_FLUSH=1h30m"}, []string{"slack.port=1"}
	src.Environ = append(src.Environ, "SLACK_MINIMUMPRIORITY=info")
	loaded, err := w.load(src)
	if loaded == nil || len(lines(err)) != 2 { // smtp is set by half, which does not keep it from being shown
		t.Fatal(err)
	}
	var b strings.Builder
	if err := loaded.WriteEffective(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "s3cret") {
		t.Error("a secret shows")
	}
	golden(t, "effective.yaml", b.String())
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(b.String()), &parsed); err != nil {
		t.Errorf("it is no YAML: %v", err)
	}
}

func TestNothingIsEffectiveWithoutSections(t *testing.T) {
	loaded, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := loaded.WriteEffective(&b); err != nil || b.Len() > 0 {
		t.Errorf("wrote %q, error %v", b.String(), err)
	}
}

func TestFalcosidekicksKeysAreComplete(t *testing.T) {
	keys := config.FalcosidekickKeys()
	if len(keys) != 518 || !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != 518 {
		t.Errorf("%d keys, which must be 518, sorted and different", len(keys))
	}
	for _, key := range []string{
		"slack.webhookurl", "elasticsearch.batching.flushinterval", "aws.lambda.functionname",
		"gcp.cloudfunctions.name", "otlp.metrics.extraattributes", "tlsserver.notlspaths",
		"prometheus.extralabels", "customfields",
	} {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is not among them", key)
		}
	}
}

package main

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/cmd/internal/migrate"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder"
	"github.com/saker-security/saker/outputs"
)

// plausible are values of keys whose outputs look at them closely: by the name alone, or
// by the whole path, which comes first.
var plausible = map[string]string{
	"address": "http://receiver.example:8080", "hostport": "http://receiver.example:9200", "url": "http://receiver.example:8080",
	"webhookurl": "https://receiver.example/hook", "receiverurl": "https://receiver.example/hook", "apiurl": "https://receiver.example",
	"eventlistener": "http://receiver.example:8080", "forwarder": "receiver.example:8125", "host": "http://receiver.example",
	"endpoint": "http://receiver.example:4318", "minimumpriority": "warning", "enabled": "true",
	"cacertfile": "", "certfile": "", "keyfile": "", "mutualtls": "false", "kubeconfig": "",

	"alertmanager.endpoint":             "/api/v2/alerts",
	"alertmanager.customseveritymap":    "{warning: high}",
	"aws.lambda.functionname":           "falco",
	"aws.securitylake.accountid":        "123456789012",
	"aws.sns.topicarn":                  "arn:aws:sns:eu-west-1:123456789012:falco",
	"aws.sqs.url":                       "https://sqs.eu-west-1.amazonaws.com/123456789012/falco",
	"aws.region":                        "eu-west-1",
	"gcp.cloudfunctions.name":           "projects/p/locations/l/functions/f",
	"gcp.credentials":                   "eyJ0eXBlIjoic2VydmljZV9hY2NvdW50IiwiY2xpZW50X2VtYWlsIjoiYUBiLnRlc3QiLCJwcml2YXRlX2tleSI6IngifQ==", // {"type":"service_account",…}
	"kafka.hostport":                    "receiver.example:9092",
	"otlp.logs.headers":                 "name=value",
	"otlp.metrics.headers":              "name=value",
	"otlp.traces.headers":               "name=value",
	"loki.endpoint":                     "/loki/api/v1/push",
	"mqtt.broker":                       "tcp://receiver.example:1883",
	"nats.hostport":                     "nats://receiver.example:4222",
	"rabbitmq.url":                      "amqp://receiver.example:5672",
	"redis.address":                     "receiver.example:6379",
	"slack.messageformat":               "{{ .Rule }}",
	"smtp.from":                         "falco@example.test",
	"smtp.hostport":                     "receiver.example:587",
	"smtp.to":                           "a@example.test, b@example.test",
	"stan.hostport":                     "nats://receiver.example:4222",
	"syslog.port":                       "514",
	"syslog.host":                       "receiver.example",
	"talon.address":                     "http://receiver.example:2803",
	"timescaledb.host":                  "receiver.example",
	"logstash.address":                  "receiver.example",
	"wavefront.endpointhost":            "receiver.example",
	"wavefront.endpointtype":            "direct",
	"yandex.datastreams.streamname":     "/ru-central1/folder/database/stream",
	"elasticsearch.createindextemplate": "true",
}

// everything is a configuration with each of Falcosidekick's keys that an output has.
func everything(t *testing.T) (text []byte, on []string) {
	t.Helper()
	theirs := config.FalcosidekickKeys()
	root := map[string]any{}
	for _, k := range outputs.Kinds() {
		fields, err := config.Fields(k.NewConfig())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range fields {
			path := cmp.Or(f.Shared, k.Key) + "." + f.Key
			if !slices.Contains(theirs, path) {
				continue
			}
			found = true
			put(root, strings.Split(path, "."), value(t, path, f))
		}
		if found {
			on = append(on, k.Name)
		}
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text, on
}

// put sets a key below nested sections.
func put(section map[string]any, path []string, v any) {
	for ; len(path) > 1; path = path[1:] {
		next, ok := section[path[0]].(map[string]any)
		if !ok {
			next = map[string]any{}
			section[path[0]] = next
		}
		section = next
	}
	section[path[0]] = v
}

// value is a value for a key.
func value(t *testing.T, path string, f config.Field) any {
	t.Helper()
	text, known := plausible[path]
	if !known {
		text, known = plausible[path[strings.LastIndexByte(path, '.')+1:]]
	}
	if known || f.Default != "" {
		var v any
		if err := yaml.Unmarshal([]byte(cmp.Or(text, f.Default)), &v); err != nil || f.Type != "map" {
			return cmp.Or(text, f.Default)
		}
		return v
	}
	switch f.Type {
	case "bool":
		return false
	case "int", "number":
		return 1
	case "map":
		return map[string]string{"name": "value"}
	case "list":
		return []string{"name"}
	default:
		if len(f.OneOf) > 0 {
			return f.OneOf[0]
		}
		return "value"
	}
}

func TestAConfigurationWithEveryKeyOfFalcosidekickLoadsWithAllOutputsOn(t *testing.T) {
	text, on := everything(t)
	loaded, err := forwarder.LoadConfig(config.Source{File: "everything.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range on {
		if !slices.ContainsFunc(loaded.Outputs, func(i forwarder.Instance) bool { return i.Kind.Name == name }) {
			t.Errorf("%s is off", name)
		}
	}
	for _, w := range loaded.Source.Warnings {
		if strings.HasSuffix(w.Message, "is accepted for compatibility but has no effect") {
			t.Errorf("%v", w)
		}
	}
	result, err := migrate.File("everything.yaml", text, nil)
	if err != nil || len(result.Mistakes) > 0 {
		t.Errorf("migrated: %v, %v", err, result.Mistakes)
	}
}

// Falcosidekick's own example file is not part of this tree: the test reads the one that
// SAKER_UPSTREAM_SIDEKICK_EXAMPLE names.
func TestFalcosidekicksExampleFileLoadsAndMigrates(t *testing.T) {
	name := os.Getenv("SAKER_UPSTREAM_SIDEKICK_EXAMPLE")
	if name == "" {
		t.Skip("SAKER_UPSTREAM_SIDEKICK_EXAMPLE names no file")
	}
	text := read(t, name)
	loaded, err := forwarder.LoadConfig(config.Source{File: name, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("warnings:\n%v", loaded.Source.Warnings)
	result, err := migrate.File(name, text, nil)
	if err != nil || len(result.Mistakes) > 0 {
		t.Fatalf("%v\n%v", err, result.Mistakes)
	}
	t.Logf("remarks:\n%v", result.Remarks)
}

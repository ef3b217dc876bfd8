package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
)

func TestProblemsNamePlaceKeyAndRemedy(t *testing.T) {
	tests := map[string]struct {
		yaml         string
		environ, set []string
		want         []string
	}{
		"unknown keys, with the nearest": {
			yaml: "slak: {}\nslack:\n  webhokurl: x\n  retry: {maxage: 1h}\n  zzz: 1\nwebhookurl: x\nfunctionname: f\naws.lamda.functionname: f\n",
			want: []string{
				"saker.yaml:1: slak: unknown key (did you mean slack?)",
				"saker.yaml:3: slack.webhokurl: unknown key (did you mean webhookurl?)",
				"saker.yaml:4: slack.retry.maxage: unknown key (did you mean max_age?)",
				"saker.yaml:5: slack.zzz: unknown key",
				"saker.yaml:6: webhookurl: unknown key (did you mean slack.webhookurl?)",
				"saker.yaml:7: functionname: unknown key (did you mean aws.lambda.functionname?)",
				"saker.yaml:8: aws.lamda.functionname: unknown key (did you mean aws.lambda.functionname?)",
			},
		},
		"wrong types": {
			yaml: `
debug: yes
customfields: [a]
slack:
  checkcert: {}
  port: 65536
  ratio: much
  flush: soon
  timeout: 10
  size: 10 elephants
  maxconcurrentrequests: 1.5
  footer: [a]
  tags: {a: b}
  outputformat: fancy
  minimumpriority: high
  customheaders: a:b,secret
  webhookurl: [s3cret]
smtp: mail.example.com
`,
			want: []string{
				`saker.yaml:2: debug: must be true or false, not "yes"`,
				`saker.yaml:3: customfields: must be a map, not a list`,
				`saker.yaml:5: slack.checkcert: must be true or false, not a section`,
				`saker.yaml:6: slack.port: must be a whole number from 0 to 65535, not "65536"`,
				`saker.yaml:7: slack.ratio: must be a number, not "much"`,
				`saker.yaml:8: slack.flush: must be a duration such as 30s or 5m, not "soon"`,
				`saker.yaml:9: slack.timeout: needs a unit, for example 10s or 10m, not "10"`,
				`saker.yaml:10: slack.size: must be a size such as 64MiB or 1GiB, not "10 elephants"`,
				`saker.yaml:11: slack.maxconcurrentrequests: must be a whole number, not "1.5"`,
				`saker.yaml:12: slack.footer: must be a text, not a list`,
				`saker.yaml:13: slack.tags: must be a list, not a section`,
				`saker.yaml:14: slack.outputformat: must be one of all, text, fields, not "fancy"`,
				`saker.yaml:15: slack.minimumpriority: must be one of emergency, alert, critical, error, warning, notice, informational, debug, not "high"`,
				`saker.yaml:16: slack.customheaders: must be a map, or a text of the form name:value,name:value; item 2 is not`,
				`saker.yaml:17: slack.webhookurl: must be a text, not a list`,
				`saker.yaml:18: smtp: must be a section with keys of its own, not a value`,
			},
		},
		"values of lists and maps, at their own lines": {
			yaml: "slack:\n  tags:\n    - a\n    - [b]\ncustomfields:\n  a: x\n  k8s:\n    ns: y\n  a: z\n  ? [b]\n  : c\n",
			want: []string{
				"saker.yaml:4: slack.tags: must be a text, not a list",
				`saker.yaml:8: customfields.k8s: must be a text, not a section (write "k8s.ns": …)`,
				"saker.yaml:9: customfields.a: is set twice, first in line 6",
				"saker.yaml:10: customfields: a key must be a text",
			},
		},
		"collections": {
			yaml: "kinds:\n  ports: [1, x]\n  levels:\n    loud: x\n  limits:\n    a: much\n  tokens: [[s3cret]]\n  headers: {A: {B: s3cret}}\n  formats: [a, c]\n",
			environ: []string{
				"KINDS_LIMITS=a:s3", "KINDS_TOKENS=ok", "KINDS_HEADERS={\"A\": [\"s3cret\"]}", "KINDS_LEVELS={s3cret",
				"KINDS_WAIT=9223372036854775807", "KINDS_OFFSET=128", "KINDS_PORTS=" + strings.Repeat("x", 100),
			},
			want: []string{
				`saker.yaml:2: kinds.ports: must be a whole number, not "x"`,
				`saker.yaml:4: kinds.levels: name of an entry must be one of emergency, alert, critical, error, warning, notice, informational, debug, not "loud"`,
				`saker.yaml:6: kinds.limits.a: must be a whole number, not "much"`,
				"saker.yaml:7: kinds.tokens: must be a text, not a list",
				`saker.yaml:8: kinds.headers.A: must be a text, not a section (write "A.B": …)`,
				`saker.yaml:9: kinds.formats: must be one of a, b, not "c"`,
				"environment KINDS_HEADERS: kinds.headers.A: must be a text, not a JSON object or array",
				"environment KINDS_LEVELS: must be a map; the text begins like a JSON object but is none",
				"environment KINDS_LIMITS: kinds.limits.a: must be a whole number",
				`environment KINDS_OFFSET: must be a whole number from -128 to 127, not "128"`,
				`environment KINDS_PORTS: must be a whole number, not "` + strings.Repeat("x", 80) + `…"`,
				`environment KINDS_WAIT: must be a duration below 292 years, not "9223372036854775807"`,
			},
		},
		"durations and sizes out of range": {
			yaml: "slack: {flush: -1s, timeout: '-5', size: -1, retry: {max_age: 0}, webhookurl: x}\nlogstash: {port: 9223372036854775808}",
			environ: []string{
				"SLACK_FLUSH=99999999999999999999", "SLACK_SIZE=9000000TiB",
			},
			want: []string{
				`saker.yaml:1: slack.flush: must not be negative, not "-1s"`,
				`saker.yaml:1: slack.timeout: needs a unit, for example 0s or 0m, not "-5"`,
				`saker.yaml:1: slack.size: must be a size such as 64MiB or 1GiB, not "-1"`,
				`saker.yaml:2: logstash.port: must be a whole number from -9223372036854775808 to 9223372036854775807, not "9223372036854775808"`,
				`environment SLACK_FLUSH: must be a duration such as 30s or 5m, not "99999999999999999999"`,
				`environment SLACK_SIZE: must be a size such as 64MiB or 1GiB, not "9000000TiB"`,
			},
		},
		"keys that are there twice": {
			yaml: "slack: {footer: a, Footer: b}\nSlack: {port: 1}\nslack.footer: c\n",
			want: []string{
				"saker.yaml:1: slack.footer: is set twice, first in line 1",
				"saker.yaml:2: slack: is set twice, first in line 1",
				"saker.yaml:3: slack.footer: is set twice, first in line 1",
			},
		},
		"all layers, in their order": {
			yaml:    "slack:\n  port: a\n",
			environ: []string{"SLACK_RATIO=a", "SLACK_PORT=b", "AUTH_TOKENS=x"},
			set:     []string{"slack.port=c", "slack.nort=1", "debug", "slack.checkcert=maybe"},
			want: []string{
				`saker.yaml:2: slack.port: must be a whole number of 0 or more, not "a"`,
				"environment AUTH_TOKENS: can be set only in the configuration file",
				`environment SLACK_PORT: must be a whole number of 0 or more, not "b"`,
				`environment SLACK_RATIO: must be a number, not "a"`,
				`--set slack.port: must be a whole number of 0 or more, not "c"`,
				"--set slack.nort: unknown key (did you mean port?)",
				"--set flag 3: must have the form key=value",
				`--set slack.checkcert: must be true or false, not "maybe"`,
			},
		},
		"expansion": {
			yaml:    "slack:\n  footer: ${NONE}\n  outputformat: ${FORMAT}\n  webhookurl: s3cret${\n  channel: x\n  tags: ['${1}']\ncustomfields: {a: '${EMPTY}'}\n",
			environ: []string{"FORMAT=s3cret", "EMPTY="},
			want: []string{
				"saker.yaml:2: slack.footer: needs the environment variable NONE, which is not set (write ${NONE:-} if it may be missing)",
				`saker.yaml:3: slack.outputformat: must be one of all, text, fields, not "${FORMAT}"`,
				"saker.yaml:4: slack.webhookurl: has a ${ without its } (write $${ for the characters themselves)",
				"saker.yaml:5: slack.channel: unknown key",
				"saker.yaml:6: slack.tags: has a ${…} that names no variable (write $${ for the characters themselves)",
				"saker.yaml:7: customfields.a: needs the environment variable EMPTY, which is not set (write ${EMPTY:-} if it may be missing)",
			},
		},
		"instances": {
			yaml: `
outputs:
  a: {webhookurl: x}
  b: {type: slak, webhookurl: x, nonsense: {}}
  c: {type: slack, webhokurl: x}
  slack: {type: slack}
  Big: {type: slack}
  d-e: {type: slack, webhookurl: x}
  d_e: {type: slack, webhookurl: x}
  f: slack
  g:
`,
			environ: []string{"OUTPUTS_C_FOTER=x", "OUTPUTS_A_ANYTHING=x"},
			set:     []string{"outputs.h.webhookurl=x", "outputs.x y.type=slack"},
			want: []string{
				"saker.yaml:3: outputs.a.type: is required, one of lambda, slack",
				`saker.yaml:4: outputs.b.type: must be one of lambda, slack, not "slak"`,
				"saker.yaml:5: outputs.c.webhookurl: is required",
				"saker.yaml:5: outputs.c.webhokurl: unknown key (did you mean webhookurl?)",
				"saker.yaml:6: outputs.slack: the name is that of the section at the top level",
				"saker.yaml:7: outputs.big: the name must be up to 63 lower-case letters, digits, - and _, not - or _ at its ends",
				`saker.yaml:9: outputs.d_e: the name differs too little from "d-e": both have the variables OUTPUTS_D_E_…`,
				"saker.yaml:10: outputs.f: must be a section with keys of its own, not a value",
				"saker.yaml:10: outputs.f.type: is required, one of lambda, slack",
				"saker.yaml:11: outputs.g.type: is required, one of lambda, slack",
				"--set outputs.h: outputs.h.type: is required, one of lambda, slack",
				"--set outputs.x y: the name must be up to 63 lower-case letters, digits, - and _, not - or _ at its ends",
			},
		},
		"lists of sections": {
			yaml: "auth:\n  tokens:\n    - name: a\n      vale: b\n    - x\n    - {name: a, value: b, role: boss}\n",
			want: []string{
				"saker.yaml:3: auth.tokens[0].value: is required",
				"saker.yaml:4: auth.tokens[0].vale: unknown key (did you mean value?)",
				"saker.yaml:5: auth.tokens[1]: must be a section with keys of its own",
				`saker.yaml:6: auth.tokens[2].role: must be one of viewer, admin, not "boss"`,
			},
		},
		"a section where a list of sections stands": {
			yaml: "auth: {tokens: {name: a}}",
			want: []string{"saker.yaml:1: auth.tokens: must be a list of sections"},
		},
		"a list at the root": {
			yaml: "- a\n", want: []string{"saker.yaml:1: must be a map of keys and values"},
		},
		"broken YAML": {
			yaml: "slack:\n\tport: 1\n",
			want: []string{"saker.yaml:2: found character that cannot start any token"},
		},
		"two documents": {
			yaml: "debug: true\n---\ndebug: false\n",
			want: []string{"saker.yaml:2: a second YAML document begins here; write one"},
		},
		"a key without a name": {
			yaml: "slack: &a {'': *a}\n",
			want: []string{"saker.yaml:1: slack: has a key without a name"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var w world
			src := text(test.yaml)
			src.Environ, src.Set = test.environ, test.set
			_, err := w.load(src)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, lines(err)); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if _, ok := errors.AsType[config.Problems](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

func TestMergeKeysAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &a0 {footer: x}\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d {<<: [*a%d, *a%d, *a%d]}\n", i, i, i-1, i-1, i-1)
	}
	b.WriteString("slack: {<<: *a59}\n")
	var w world
	_, err := w.load(text(b.String()))
	if len(lines(err)) == 0 {
		t.Fatal("no error")
	}
	for _, line := range lines(err) {
		if !strings.Contains(line, "merge keys (<<)") {
			t.Error(line)
		}
	}
}

func TestAliasesInCirclesEnd(t *testing.T) {
	for _, yaml := range []string{
		"slack: &s {<<: *s}",
		"slack: &s {<<: &l [*l, *l, *l, *s]}",
		"slack: &s {retry: *s}",
		"slack: {tags: &l [*l]}",
		"customfields: &m {a: *m}",
		"auth: &a {tokens: &l [*l, *a]}",
		"outputs: &o {a: *o}",
	} {
		var w world
		if _, err := w.load(text(yaml)); len(lines(err)) == 0 {
			t.Errorf("%s: no error", yaml)
		}
	}
}

func TestInstancesAndListsOfSectionsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("auth: {tokens: [" + strings.Repeat("{}, ", 1001) + "]}\noutputs:\n")
	for i := range 1001 {
		fmt.Fprintf(&b, "  n%d: {type: slack, webhookurl: x}\n", i)
	}
	var w world
	_, err := w.load(text(b.String()))
	want := []string{
		"saker.yaml:1: auth.tokens: has more than 1000 entries",
		"saker.yaml:1003: outputs: has more than 1000 entries",
	}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Error(diff)
	}
}

func TestFilesOfOtherTypesAreRefused(t *testing.T) {
	var w world
	_, err := w.load(config.Source{File: "c.toml", Text: []byte("a = 1")})
	want := []string{"c.toml: files of type .toml are not read; write YAML (.yaml, .yml) or JSON (.json)"}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenJSONNamesItsLine(t *testing.T) {
	tests := map[string]string{
		"{\n  \"debug\": tru\n}":            "c.json:2: invalid character '\\n' in literal true (expecting 'e')",
		"{\"debug\": true":                  "c.json:1: unexpected EOF",
		"{}\n{}":                            "c.json:2: something follows the JSON value",
		"[1]":                               "c.json:1: must be a map of keys and values",
		strings.Repeat("[", 200):            "c.json:1: is nested too deep",
		"{\"debug\": true, \"Debug\": 1}\n": "c.json:1: debug: is set twice, first in line 1",
	}
	for json, want := range tests {
		var w world
		_, err := w.load(config.Source{File: "c.json", Text: []byte(json)})
		if diff := cmp.Diff([]string{want}, lines(err)); diff != "" {
			t.Errorf("%q: %s", json, diff)
		}
	}
}

func TestLenientTurnsUnknownKeysIntoWarnings(t *testing.T) {
	var w world
	src := text("slak: {}\nslack: {footer: x}\n")
	src.Lenient, src.Set = true, []string{"slack.foter=y"}
	loaded, err := w.load(src)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"saker.yaml:1: slak: unknown key (did you mean slack?)",
		"--set slack.foter: unknown key (did you mean footer?)",
	}
	if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestKeysOfThePeerWithoutEffectAreWarnings(t *testing.T) {
	var w world
	src := text(`
redis: {address: x, password: "", tls: null}
otlp:
  logs: {endpoint: x, headers: ""}
  metrics: {endpont: x}
aws: {sqs: {url: x}}
loki: x
`)
	src.Known = config.FalcosidekickKeys()
	src.Environ = []string{"REDIS_KEY=x", "SYSLOG_PORT=tcp://10.0.0.1:1", "NODERED_ADDRESS=", "HOME=/"}
	src.Set = []string{"kafka.topic=x"}
	loaded, err := w.load(src)
	want := []string{
		"saker.yaml:5: otlp.metrics.endpont: unknown key",
		"saker.yaml:7: loki: must be a section with keys of its own, not a value",
	}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Error(diff)
	}
	want = []string{
		"saker.yaml:2: redis.address: is accepted for compatibility but has no effect",
		"saker.yaml:4: otlp.logs.endpoint: is accepted for compatibility but has no effect",
		"saker.yaml:6: aws.sqs.url: is accepted for compatibility but has no effect",
		"environment REDIS_KEY: redis.key: is accepted for compatibility but has no effect",
		"--set kafka.topic: is accepted for compatibility but has no effect",
	}
	if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestAVariableOfAnInstanceWithoutKeyIsAWarning(t *testing.T) {
	var w world
	src := text("outputs:\n  a: {type: slack, webhookurl: x}\n  a_b: {type: slack, webhookurl: x}\n")
	src.Environ = []string{"OUTPUTS_A_FOTER=x", "OUTPUTS_A_B_FOOTER=x", "OUTPUTS_A_B_ZZZ=x", "OUTPUTS_C_ZZZ=x", "OUTPUTS_A_ZZZ="}
	loaded, err := w.load(src)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"environment OUTPUTS_A_B_ZZZ: sets no key of outputs.a_b",
		"environment OUTPUTS_A_FOTER: sets no key of outputs.a (did you mean OUTPUTS_A_FOOTER?)",
	}
	if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

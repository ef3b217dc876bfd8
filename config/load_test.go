package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

var sameSecrets = cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })

func TestDefaultsFillWhatNothingSets(t *testing.T) {
	var w world
	loaded, err := w.load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	want := slack{
		transport: transport{CheckCert: true}, Format: "all", Footer: "Saker",
		Size: 64 << 20, Ratio: 0.5, Port: 443, Flush: time.Second,
	}
	if diff := cmp.Diff(want, w.Slack, sameSecrets, cmp.AllowUnexported(slack{})); diff != "" {
		t.Error(diff)
	}
	if w.Settings.Retry.MaxAge != 24*time.Hour || w.Settings.Concurrency != 1 || w.Settings.Timeout != 10*time.Second {
		t.Errorf("settings are %+v", w.Settings)
	}
	if w.Lambda.Region != "us-east-1" {
		t.Errorf("shared key's default is %q", w.Lambda.Region)
	}
	if got := loaded.Origin("slack.footer"); got != "default" {
		t.Errorf("origin of a default is %q", got)
	}
}

func TestEveryTypeIsReadFromTheFile(t *testing.T) {
	var w world
	loaded, err := w.load(text(`
debug: True
customfields: {k8s.cluster.name: x, Env: 5, none: null}
slack:
  WebhookURL: https://hooks/s3cret
  outputformat: TEXT
  footer: ""
  customheaders: "Authorization: Bearer a:b, X-A: 1,"
  tags: [a, " b ", "", 3]
  size: 1GiB
  ratio: 1
  port: "80"
  flush: 1000
  minimumpriority: info
  timeout: 1m
  checkcert: false
  maxconcurrentrequests: ""
  retry: {max_age: 1h}
auth:
  tokens:
    - {name: a, value: b}
    - {name: c, value: d, role: ADMIN}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := slack{
		transport: transport{CheckCert: false}, WebhookURL: config.NewSecret("https://hooks/s3cret"),
		Format: "text", Headers: map[string]string{"Authorization": "Bearer a:b", "X-A": "1"},
		Tags: []string{"a", "b", "3"}, Size: 1 << 30, Ratio: 1, Port: 80, Flush: 1000,
	}
	if diff := cmp.Diff(want, w.Slack, sameSecrets, cmp.AllowUnexported(slack{})); diff != "" {
		t.Error(diff)
	}
	wantTop := top{Debug: true, CustomFields: map[string]string{"k8s.cluster.name": "x", "Env": "5", "none": ""}}
	wantTop.Logstash.Port = 5044
	wantTop.Auth.Tokens = []token{
		{"a", config.NewSecret("b"), "viewer"}, {"c", config.NewSecret("d"), "admin"},
	}
	if diff := cmp.Diff(wantTop, w.Top, sameSecrets); diff != "" {
		t.Error(diff)
	}
	wantSettings := settings{MinimumPriority: event.Informational, Concurrency: 1, Timeout: time.Minute}
	wantSettings.Retry.MaxAge = time.Hour
	if diff := cmp.Diff(wantSettings, w.Settings); diff != "" {
		t.Error(diff)
	}
	if got := loaded.Origin("slack.port"); got != "saker.yaml:12" {
		t.Errorf("origin of slack.port is %q", got)
	}
}

func TestCollectionsHoldEveryTypeOfValue(t *testing.T) {
	want := kinds{
		Ports:  []int{8, 9},
		Levels: map[event.Priority]string{event.Warning: "w:w", event.Informational: ""},
		Limits: map[string]int{"a": 1, "b": 2}, Tokens: []config.Secret{config.NewSecret("x")},
		Headers: map[string]config.Secret{"A": config.NewSecret("s:t")}, Formats: []string{"b", "a"},
		Password: config.NewSecret("p"), Wait: 5 * time.Millisecond, Unseen: "${HOME}", Offset: -3, Everything: false,
	}
	for name, src := range map[string]config.Source{
		"from the file": text(`
kinds:
  ports: [8, 9]
  levels: {warning: "w:w", Info: null}
  limits: {a: 1, b: "2"}
  tokens: x
  headers: {A: "s:t"}
  formats: [B, a]
  password: p
  wait: 5
  offset: -3
  everything: f
`),
		"from the environment": {Environ: []string{
			"KINDS_PORTS=8, 9", "KINDS_LEVELS=warning:w:w,info:", "KINDS_LIMITS={\"a\":1,\"b\":\"2\"}", "KINDS_TOKENS=x",
			"KINDS_HEADERS=A:s:t", "KINDS_FORMATS=b,A", "KINDS_PASSWORD=p", "OLD_WAIT=5ms", "KINDS_OFFSET=-3", "KINDS_EVERYTHING=0",
			"KINDS_UNSEEN=x",
		}},
	} {
		var w world
		if _, err := w.load(src); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.Kinds, sameSecrets); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheHigherLayerWins(t *testing.T) {
	const file = "slack: {footer: file, tags: [file], customheaders: {a: file}, webhookurl: file}"
	tests := map[string]struct {
		environ, set        []string
		footer, url, origin string
		tags                []string
		headers             map[string]string
	}{
		"the file over the default": {
			footer: "file", url: "file", tags: []string{"file"}, headers: map[string]string{"a": "file"},
			origin: "saker.yaml:1",
		},
		"the environment over the file, with lists and maps whole": {
			environ: []string{
				"SLACK_FOOTER=env", "SLACK_TAGS= x , y", "SLACK_WEBHOOKURL=env",
				"SLACK_CUSTOMHEADERS=B:http://x:1, c : d",
			},
			footer: "env", url: "env", tags: []string{"x", "y"},
			headers: map[string]string{"B": "http://x:1", "c": "d"}, origin: "environment SLACK_FOOTER",
		},
		"an empty variable is unset": {
			environ: []string{"SLACK_FOOTER=", "SLACK_TAGS=", "SLACK_CUSTOMHEADERS="},
			footer:  "file", url: "file", tags: []string{"file"}, headers: map[string]string{"a": "file"},
			origin: "saker.yaml:1",
		},
		"flags over all, the last of two": {
			environ: []string{"SLACK_FOOTER=env"},
			set: []string{
				"slack.footer=one", "Slack.Footer=two=2", "slack.tags=",
				`slack.customheaders={"A:B": "c,d", "n": 1}`,
			},
			footer: "two=2", url: "file", tags: []string{},
			headers: map[string]string{"A:B": "c,d", "n": "1"}, origin: "--set",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var w world
			src := text(file)
			src.Environ, src.Set = test.environ, test.set
			loaded, err := w.load(src)
			if err != nil {
				t.Fatal(err)
			}
			if w.Slack.Footer != test.footer || w.Slack.WebhookURL.Reveal() != test.url {
				t.Errorf("footer %q, url %q", w.Slack.Footer, w.Slack.WebhookURL.Reveal())
			}
			if diff := cmp.Diff(test.tags, w.Slack.Tags); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.headers, w.Slack.Headers); diff != "" {
				t.Error(diff)
			}
			if got := loaded.Origin("slack.footer"); got != test.origin {
				t.Errorf("origin of the footer is %q, not %q", got, test.origin)
			}
		})
	}
}

func TestVariablesAreExpandedInTheFileOnly(t *testing.T) {
	var w world
	src := text(`
slack:
  webhookurl: https://${HOST}/${PATH_:-services}
  footer: $${HOME} costs $5 and ${DOLLAR}
  tags: ["${HOST}", "${EMPTY:-}"]
  customheaders: {X: "${HOST}"}
  port: ${PORT}
`)
	src.Environ = []string{"HOST=h", "PORT=8", "EMPTY=", "DOLLAR=${HOST}", "CUSTOMFIELDS=a:${HOST}"}
	if _, err := w.load(src); err != nil {
		t.Fatal(err)
	}
	if got := w.Slack.WebhookURL.Reveal(); got != "https://h/services" {
		t.Errorf("url is %q", got)
	}
	if got := w.Slack.Footer; got != "${HOME} costs $5 and ${HOST}" {
		t.Errorf("footer is %q", got)
	}
	if !slices.Equal(w.Slack.Tags, []string{"h"}) || w.Slack.Headers["X"] != "h" || w.Slack.Port != 8 {
		t.Errorf("tags %q, headers %q, port %d", w.Slack.Tags, w.Slack.Headers, w.Slack.Port)
	}
	if got := w.Top.CustomFields["a"]; got != "${HOST}" {
		t.Errorf("the variable was expanded to %q", got)
	}
}

func TestPercentStandsForAVariableInTheEnvironmentOnly(t *testing.T) {
	var w world
	src := text("customfields: {a: '%HOST'}")
	if _, err := w.load(src); err != nil || w.Top.CustomFields["a"] != "%HOST" {
		t.Errorf("from the file: %q, %v", w.Top.CustomFields, err)
	}
	src.Environ = []string{"CUSTOMFIELDS=a:%HOST,b:%NONE,c:5%", "HOST=h"}
	loaded, err := w.load(src)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "h", "c": "5%"}, w.Top.CustomFields); diff != "" {
		t.Error(diff)
	}
	want := []string{`environment CUSTOMFIELDS: customfields.b: is left out, for the environment variable "NONE" is not set`}
	if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestASecretIsReadFromAFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, empty := write("good", "s3cret\r\n\n"), write("empty", "\n")
	long := write("long", strings.Repeat("x", 1<<20+1))
	tests := map[string]struct {
		yaml string
		env  string
		want string
		err  []string
	}{
		"named in the file":        {yaml: "slack: {webhookurl_file: " + good + "}", want: "s3cret"},
		"named in the environment": {env: "SLACK_WEBHOOKURL_FILE=" + good, want: "s3cret"},
		"the environment's file over the file's value": {
			yaml: "slack: {webhookurl: x}", env: "SLACK_WEBHOOKURL_FILE=" + good, want: "s3cret",
		},
		"the environment's value over the file's file": {
			yaml: "slack: {webhookurl_file: /nowhere}", env: "SLACK_WEBHOOKURL=x", want: "x",
		},
		"no name is no file": {yaml: "slack: {webhookurl: x, webhookurl_file: ''}", want: "x"},
		"both in one layer": {
			yaml: "slack:\n  webhookurl: x\n  webhookurl_file: " + good,
			err:  []string{"saker.yaml:3: slack.webhookurl_file: cannot be set together with slack.webhookurl"},
		},
		"a missing file": {
			env: "SLACK_WEBHOOKURL_FILE=/nowhere",
			err: []string{`environment SLACK_WEBHOOKURL_FILE: read "/nowhere": no such file or directory`},
		},
		"an empty file": {
			yaml: "slack: {webhookurl_file: " + empty + "}",
			err:  []string{fmt.Sprintf("saker.yaml:1: slack.webhookurl_file: read %q: the file is empty", empty)},
		},
		"a file that is no secret": {
			yaml: "slack: {webhookurl_file: " + long + "}",
			err:  []string{fmt.Sprintf("saker.yaml:1: slack.webhookurl_file: read %q: is larger than 1MiB", long)},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var w world
			src := text(test.yaml)
			src.Environ = []string{test.env}
			_, err := w.load(src)
			if diff := cmp.Diff(test.err, lines(err)); diff != "" {
				t.Error(diff)
			}
			if err == nil && w.Slack.WebhookURL.Reveal() != test.want {
				t.Errorf("secret is %q, not %q", w.Slack.WebhookURL.Reveal(), test.want)
			}
		})
	}
}

func TestAnEntryOfAMapOfSecretsMayStandInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var w world
	if _, err := w.load(text("kinds: {headers: {ci_file: " + file + ", ops: plain, _file: odd}}")); err != nil {
		t.Fatal(err)
	}
	want := map[string]config.Secret{
		"ci": config.NewSecret("s3cret"), "ops": config.NewSecret("plain"), "_file": config.NewSecret("odd"),
	}
	if diff := cmp.Diff(want, w.Kinds.Headers, sameSecrets); diff != "" {
		t.Error(diff)
	}
	_, err := w.load(text("kinds:\n  headers:\n    ci_file: /nowhere"))
	if diff := cmp.Diff([]string{`saker.yaml:3: kinds.headers.ci_file: read "/nowhere": no such file or directory`}, lines(err)); diff != "" {
		t.Error(diff)
	}
}

func TestASharedKeyReachesAllAndAnInstanceMayDiffer(t *testing.T) {
	var w world
	src := text(`
aws:
  region: eu-west-1
  lambda: {functionname: f}
outputs:
  one: {type: lambda, functionname: g}
  two: {type: lambda, functionname: h, region: us-west-2}
`)
	src.Environ = []string{"AWS_SECRETACCESSKEY=k", "OUTPUTS_ONE_SECRETACCESSKEY=own"}
	if _, err := w.load(src); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"one": &lambda{Region: "eu-west-1", Key: config.NewSecret("own"), Function: "g"},
		"two": &lambda{Region: "us-west-2", Key: config.NewSecret("k"), Function: "h"},
	}
	if diff := cmp.Diff(want, w.Instances, sameSecrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lambda{"eu-west-1", config.NewSecret("k"), "f"}, w.Lambda, sameSecrets); diff != "" {
		t.Error(diff)
	}
}

func TestAKeyCalledTypeHasItsDefaultInInstances(t *testing.T) {
	type typed struct {
		Type string `key:"type" default:"_doc" doc:"Type."`
	}
	var own, instance typed
	_, err := config.Load(text("search: {type: event}\noutputs: {one: {type: search}}"),
		config.Section{Path: "search", Into: []any{&own}},
		config.Section{Path: "outputs", Kinds: []string{"search"}, Each: func(string, string) ([]any, error) { return []any{&instance}, nil }},
	)
	if err != nil {
		t.Fatal(err)
	}
	if own.Type != "event" || instance.Type != "_doc" {
		t.Errorf("got %q, and %q in the instance", own.Type, instance.Type)
	}
}

func TestASecretMustNotStandOnACommandLine(t *testing.T) {
	var w world
	src := text("slack: {footer: x}")
	src.Set = []string{"slack.webhookurl=https://hooks/s3cret"}
	_, err := w.load(src)
	want := "--set slack.webhookurl: is a secret and must not stand on a command line: set it in the file, in the environment or with slack.webhookurl_file"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
}

func TestInstancesComeFromTheFileAndFromFlags(t *testing.T) {
	var w world
	src := text(`
outputs:
  platform-team: {type: "${KIND}", webhookurl: x, footer: file}
`)
	src.Environ = []string{"KIND=slack", "OUTPUTS_PLATFORM_TEAM_FOOTER=env", "OUTPUTS_NONE_FOOTER=x"}
	secret := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(secret, []byte("y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src.Set = []string{"outputs.second.type=SLACK", "outputs.second.webhookurl_file=" + secret}
	loaded, err := w.load(src)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(w.Instances)); !slices.Equal(got, []string{"platform-team", "second"}) {
		t.Fatalf("instances are %q", got)
	}
	if c, ok := w.Instances["platform-team"].(*slack); !ok || c.Footer != "env" || c.Format != "all" {
		t.Errorf("platform-team is %+v", w.Instances["platform-team"])
	}
	if !loaded.Configured("outputs.second") || loaded.Configured("slack") {
		t.Error("the instance must be on, and the section off")
	}
}

func TestASectionIsOnWhenItsRequiredKeysAreSet(t *testing.T) {
	tests := map[string]struct {
		yaml       string
		slack      bool
		smtp       bool
		wantErrors []string
	}{
		"nothing set":               {},
		"only keys not required":    {yaml: "slack: {footer: x}"},
		"empty required keys":       {yaml: "smtp: {hostport: '', from: '', to: }"},
		"an empty section":          {yaml: "smtp:\nslack: null"},
		"all of one":                {yaml: "slack: {webhookurl: x}", slack: true},
		"all of several":            {yaml: "smtp: {hostport: x, from: a, to: b}", smtp: true},
		"a null key is the default": {yaml: "slack: {webhookurl: x, port: null}", slack: true},
		"some of several": {
			yaml: "slack:\n  footer: x\nsmtp:\n  hostport: x\n  to: ''\n",
			wantErrors: []string{
				"saker.yaml:4: smtp.from: is required because smtp.hostport is set",
				"saker.yaml:4: smtp.to: is required because smtp.hostport is set",
			},
		},
		"a contradiction is found in a section that is on": {
			yaml:       "smtp:\n  hostport: x\n  from: a\n  to: a\n",
			wantErrors: []string{"saker.yaml:4: smtp.to: must not be the sender"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var w world
			loaded, err := w.load(text(test.yaml))
			if diff := cmp.Diff(test.wantErrors, lines(err)); diff != "" {
				t.Fatal(diff)
			}
			if err == nil && (loaded.Configured("slack") != test.slack || loaded.Configured("smtp") != test.smtp) {
				t.Errorf("slack %v, smtp %v", loaded.Configured("slack"), loaded.Configured("smtp"))
			}
		})
	}
}

func TestVariablesThatKubernetesSetsAreIgnored(t *testing.T) {
	var w world
	src := config.Source{Environ: []string{
		"LOGSTASH_PORT=tcp://10.0.0.1:5044", "LOGSTASH_PORT_5044_TCP_ADDR=10.0.0.1", "LOGSTASH=x",
		"SLACK=x", "SLACK_PORT=udp://10.0.0.1:80", "AWS=x", "OUTPUTS_X_PORT=tcp://10.0.0.1:80", "no equals sign",
	}}
	loaded, err := w.load(src)
	if err != nil {
		t.Fatal(err)
	}
	if w.Top.Logstash.Port != 5044 || w.Slack.Port != 443 || len(loaded.Warnings) > 0 {
		t.Errorf("ports %d and %d, warnings %v", w.Top.Logstash.Port, w.Slack.Port, loaded.Warnings)
	}
	want := []string{
		"environment LOGSTASH_PORT: is ignored, for it is the address that Kubernetes sets for a Service of that name",
		"environment SLACK_PORT: is ignored, for it is the address that Kubernetes sets for a Service of that name",
	}
	if diff := cmp.Diff(want, lines(loaded.Notes)); diff != "" {
		t.Error(diff)
	}
}

func TestAnchorsMergeKeysAndDottedKeysWork(t *testing.T) {
	var w world
	_, err := w.load(text(`
x-common: &common
  footer: common
  port: 1
slack:
  <<: *common
  PORT: 2
  webhookurl: x
slack.outputformat: fields
aws.lambda: {functionname: f}
outputs:
  a: &a {type: slack, webhookurl: y, <<: [*common]}
  b: *a
`))
	if err != nil {
		t.Fatal(err)
	}
	if s := w.Slack; s.Footer != "common" || s.Port != 2 || s.Format != "fields" || w.Lambda.Function != "f" {
		t.Errorf("slack is %+v, lambda %+v", s, w.Lambda)
	}
	if diff := cmp.Diff(w.Instances["a"], w.Instances["b"], sameSecrets, cmpopts.IgnoreUnexported(slack{})); diff != "" {
		t.Error(diff)
	}
}

func TestJSONIsReadWithItsPlaces(t *testing.T) {
	var w world
	src := config.Source{File: "c.JSON", Text: []byte("{\n\t\"slack\": {\n\t\t\"webhookurl\": \"\\ud83d\\ude00\\/\",\n\t\t\"port\": true,\n\t\t\"tags\": [1.50, null]\n\t}\n}")}
	_, err := w.load(src)
	if diff := cmp.Diff([]string{`c.JSON:4: slack.port: must be a whole number of 0 or more, not "true"`}, lines(err)); diff != "" {
		t.Error(diff)
	}
	if w.Slack.WebhookURL.Reveal() != "😀/" || !slices.Equal(w.Slack.Tags, []string{"1.50"}) {
		t.Errorf("slack is %+v", w.Slack)
	}
}

func TestTheFileIsReadFromDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("slack: {footer: x}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var w world
	if _, err := w.load(config.Source{File: file}); err != nil || w.Slack.Footer != "x" {
		t.Errorf("footer %q, error %v", w.Slack.Footer, err)
	}
	if err := os.Truncate(file, 4<<20+1); err != nil {
		t.Fatal(err)
	}
	_, err := w.load(config.Source{File: file})
	if diff := cmp.Diff([]string{file + ": is larger than 4MiB"}, lines(err)); diff != "" {
		t.Error(diff)
	}
	_, err = w.load(config.Source{File: "/nowhere/c.yaml"})
	if diff := cmp.Diff([]string{"/nowhere/c.yaml: no such file or directory"}, lines(err)); diff != "" {
		t.Error(diff)
	}
}

package migrate

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/config"
	_ "github.com/saker-security/saker/outputs/all" // the outputs that configurations name
)

func known(t testing.TB) *keys {
	t.Helper()
	k, err := declared(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheTableNamesKeysThatFalcosidekickHas(t *testing.T) {
	theirs := config.FalcosidekickKeys()
	for _, d := range differences {
		if !slices.ContainsFunc(theirs, d.concerns) {
			t.Errorf("%s is none of Falcosidekick's keys", d.key)
		}
		for _, except := range d.except {
			if !slices.Contains(theirs, except) {
				t.Errorf("%s, an exception, is none of Falcosidekick's keys", except)
			}
		}
	}
	for _, key := range slices.Concat(ignored, fileOnly) {
		if !slices.Contains(theirs, key) {
			t.Errorf("%s is none of Falcosidekick's keys", key)
		}
	}
	k := known(t)
	for wrong, right := range misspelled {
		if k.theirs[wrong] || k.headers[wrong] {
			t.Errorf("%s is no misspelling", wrong)
		}
		if !k.theirs[right] && !k.headers[right] {
			t.Errorf("%s is none of Falcosidekick's keys or sections", right)
		}
	}
}

func TestFiles(t *testing.T) {
	for _, tc := range []struct {
		name, file, text string
		environ          []string
		want             string
		remarks          []string
		mistakes         []string
	}{
		{name: "nothing", text: "# all by the environment\n", want: "# all by the environment\n"},
		{name: "null", text: "~\n", want: "~\n"},
		{
			name: "what is the same stays as it is, byte by byte",
			text: "# head\n\nslack:   # chat\n    webhookurl:   'http://x.test/'   # here\n\n    footer: ''\nwebex:\n  # webhookurl: \"\"\n",
			want: "# head\n\nslack:   # chat\n    webhookurl:   'http://x.test/'   # here\n\n    footer: ''\nwebex:\n  # webhookurl: \"\"\n",
		},
		{
			name: "a priority that there is not means everything",
			text: "slack:\n  webhookurl: http://x.test/\n  minimumpriority: high # really\nwebhook:\n  address: http://x.test/\n  minimumPriority: info\n",
			want: "slack:\n  webhookurl: http://x.test/\n" +
				"  # Saker: slack.minimumpriority: Falcosidekick takes \"high\" for everything; it is no priority, and here everything is the empty text\n" +
				"  minimumpriority: \"\" # really\nwebhook:\n  address: http://x.test/\n" +
				"  # Saker: webhook.minimumpriority: Falcosidekick takes \"info\" for everything; here it is informational\n" +
				"  minimumPriority: info\n",
			remarks: []string{
				`x.yaml:3: slack.minimumpriority: Falcosidekick takes "high" for everything; it is no priority, and here everything is the empty text`,
				`x.yaml:6: webhook.minimumpriority: Falcosidekick takes "info" for everything; here it is informational`,
			},
		},
		{
			name: "unknown keys become comments, with what is below them",
			text: "slak:\n  webhookurl: http://x.test/\n  # note\n\n  list:\n  - a\n# foot\nlistenport: 1\n",
			want: "# Saker: slak: is a key that neither Falcosidekick nor Saker reads; it is commented out\n" +
				"# slak:\n#   webhookurl: http://x.test/\n#   # note\n\n#   list:\n#   - a\n# foot\nlistenport: 1\n",
			remarks: []string{"x.yaml:1: slak: is a key that neither Falcosidekick nor Saker reads; it is commented out"},
		},
		{
			name: "a section may become empty",
			text: "slack:\n  channels: a\n",
			want: "slack:\n  # Saker: slack.channels: is a key that neither Falcosidekick nor Saker reads; it is commented out\n  # channels: a\n",
			remarks: []string{
				"x.yaml:2: slack.channels: is a key that neither Falcosidekick nor Saker reads; it is commented out",
			},
		},
		{
			name: "misspelled keys are put right, and a map becomes the list that it should have been",
			text: "dogstastd:\n  forwarded: x.test:8125\n  tag:\n    a: b\n    c: d\n  namespace: n.\n",
			want: "# Saker: dogstastd: Falcosidekick does not read this key; it reads dogstatsd\ndogstatsd:\n" +
				"  # Saker: dogstatsd.forwarded: Falcosidekick does not read this key; it reads dogstatsd.forwarder\n  forwarder: x.test:8125\n" +
				"  # Saker: dogstatsd.tag: Falcosidekick does not read this key; it reads dogstatsd.tags\n" +
				"  # tag:\n  #   a: b\n  #   c: d\n  tags: \"a:b,c:d\"\n  namespace: n.\n",
			remarks: []string{
				"x.yaml:1: dogstastd: Falcosidekick does not read this key; it reads dogstatsd",
				"x.yaml:2: dogstatsd.forwarded: Falcosidekick does not read this key; it reads dogstatsd.forwarder",
				"x.yaml:3: dogstatsd.tag: Falcosidekick does not read this key; it reads dogstatsd.tags",
			},
		},
		{
			name: "half of an output becomes comments",
			text: "kafka:\n  hostport: a:1\n  topic:\n  tls: true\n",
			want: "kafka:\n  # Saker: kafka.hostport: without kafka.topic (or KAFKA_TOPIC in the environment) the output gets nothing from Falcosidekick, and is a mistake here; commented out\n" +
				"  # hostport: a:1\n  topic:\n  tls: true\n",
			remarks: []string{
				"x.yaml:2: kafka.hostport: without kafka.topic (or KAFKA_TOPIC in the environment) the output gets nothing from Falcosidekick, and is a mistake here; commented out",
			},
		},
		{
			name: "the environment may have the other half", environ: []string{"KAFKA_TOPIC=t"},
			text: "kafka:\n  hostport: a:1\n", want: "kafka:\n  hostport: a:1\n",
		},
		{
			name: "what looks like a variable and is none",
			text: "webhook:\n  address: http://x.test/\n  customheaders: {X-A: 'a${b', Y: c}\n",
			want: "webhook:\n  address: http://x.test/\n" +
				"  # Saker: webhook.customheaders: Falcosidekick takes ${ as these characters, Saker for the begin of a variable: written as $${\n" +
				"  customheaders: {X-A: \"a$${b\", Y: c}\n",
			remarks: []string{"x.yaml:3: webhook.customheaders: Falcosidekick takes ${ as these characters, Saker for the begin of a variable: written as $${"},
		},
		{
			name: "between braces the file is written anew",
			text: "# head\nslack: {webhookurl: http://x.test/, channels: a} # side\n",
			want: "# head\n# side\nslack:\n  webhookurl: http://x.test/\n" +
				"  # Saker: slack.channels: is a key that neither Falcosidekick nor Saker reads; it is commented out\n  # channels: a\n",
			remarks: []string{"x.yaml:2: slack.channels: is a key that neither Falcosidekick nor Saker reads; it is commented out"},
		},
		{
			name: "JSON becomes YAML", file: "x.json",
			text: "{\n\t\"slack\": {\n\t\t\"webhookurl\": \"http://x.test/\",\n\t\t\"minimumpriority\": \"high\"\n\t}\n}\n",
			want: "\"slack\":\n  \"webhookurl\": \"http://x.test/\"\n" +
				"  # Saker: slack.minimumpriority: Falcosidekick takes \"high\" for everything; it is no priority, and here everything is the empty text\n" +
				"  \"minimumpriority\": \"\"\n",
			remarks: []string{`x.json:4: slack.minimumpriority: Falcosidekick takes "high" for everything; it is no priority, and here everything is the empty text`},
		},
		{
			name:     "what is still wrong has its place in the file that was given",
			text:     "slak: a\nlistenport: 70000\nslack:\n  outputformat: fancy\n",
			want:     "# Saker: slak: is a key that neither Falcosidekick nor Saker reads; it is commented out\n# slak: a\nlistenport: 70000\nslack:\n  outputformat: fancy\n",
			remarks:  []string{"x.yaml:1: slak: is a key that neither Falcosidekick nor Saker reads; it is commented out"},
			mistakes: []string{"x.yaml:2: listenport: must be a port from 0 to 65535, not 70000", `x.yaml:4: slack.outputformat: must be one of all, text, fields, not "fancy"`},
		},
		{
			name:    "a key that is there twice",
			text:    "listenport: 1\nListenPort: 2\n",
			want:    "listenport: 1\n# Saker: listenport: is set twice, first in line 1; this one is commented out\n# ListenPort: 2\n",
			remarks: []string{"x.yaml:2: listenport: is set twice, first in line 1; this one is commented out"},
		},
		{
			name: "what no entry is wrong about is not looked into", text: "x-chat: &chat {webhookurl: http://x.test/, what: ever}\nwebhook:\n  <<: {address: http://x.test/}\n",
			want: "x-chat: &chat {webhookurl: http://x.test/, what: ever}\nwebhook:\n  <<: {address: http://x.test/}\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.file == "" {
				tc.file = "x.yaml"
			}
			r, err := File(tc.file, []byte(tc.text), tc.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(r.Text)); diff != "" {
				t.Errorf("text: %s", diff)
			}
			if diff := cmp.Diff(tc.remarks, texts(r.Remarks)); diff != "" {
				t.Errorf("remarks: %s", diff)
			}
			if diff := cmp.Diff(tc.mistakes, texts(r.Mistakes)); diff != "" {
				t.Errorf("mistakes: %s", diff)
			}
		})
	}
}

func texts(problems config.Problems) (all []string) {
	for _, p := range problems {
		all = append(all, p.Error())
	}
	return all
}

func TestValuesThatMeanSomethingElse(t *testing.T) {
	const alertmanager = "alertmanager:\n  hostport: http://x.test/\n  "
	for _, tc := range []struct {
		text   string
		remark string // a part of the only one
		line   string // of the result, "" for the last of the text
	}{
		{"slack: {webhookurl: http://x.test/}\nlistenaddress: localhost", "must be an IP address", `listenaddress: "127.0.0.1"`},
		{"customfields:\n  a: '%HOME'", "${HOME} is the variable", ""},
		{"customfields:\n  Akey: b", `"Akey" stays as it is`, ""},
		{"customfields:\n  k8s.cluster: b", "drops entries with a dot", ""},
		{"customtags:\n- '%HOME'", "${HOME} is the variable", ""},
		{alertmanager + "extralabels: a:b, c:d", "these labels were not set", ""},
		{alertmanager + "extraannotations: a:b", "these annotations were not set", ""},
		{alertmanager + "customseveritymap: debug:x", "these severities were not set", ""},
		{alertmanager + "customseveritymap:\n    debug: x", "these severities were not set", ""},
		{alertmanager + "customseveritymap:\n    \"1\": x", "", ""},
		{alertmanager + "dropeventthresholds: 10000:critical:10:warning", "commas are meant", `  dropeventthresholds: "10000:critical, 10:warning"`},
		{alertmanager + "dropeventthresholds: 10000:critical,10:warning", "", ""},
		{alertmanager + "endpoint: /api/v1/alerts", "version 2 since 0.16", `  endpoint: "/api/v2/alerts"`},
		{alertmanager + "maxconcurrentrequests: 0", "at most 64", ""},
		{"slack:\n  webhookurl: http://x.test/\n  outputformat: field", "it is fields", `  outputformat: "fields"`},
		{"pagerduty:\n  routingkey: x\n  region: eu", "here it has an effect", ""},
		{"pagerduty:\n  routingkey: x\n  region: us", "", ""},
		{"rocketchat:\n  webhookurl: http://x.test/\n  footer: x", "has no effect: ", ""},
		{"ui:\n  listenaddress: 0.0.0.0", "everybody who reaches the page", ""},
	} {
		t.Run(tc.text, func(t *testing.T) {
			r, err := File("x.yaml", []byte(tc.text), nil)
			if err != nil || len(r.Mistakes) > 0 {
				t.Fatalf("%v, %v", err, r.Mistakes)
			}
			wanted := 1
			if tc.remark == "" {
				wanted = 0
			}
			if len(r.Remarks) != wanted || !strings.Contains(r.Remarks.Error(), tc.remark) {
				t.Errorf("remarks %q, want one with %q", texts(r.Remarks), tc.remark)
			}
			want := tc.line
			if want == "" {
				want = tc.text[strings.LastIndexByte(tc.text, '\n')+1:]
			}
			if !strings.HasSuffix(string(r.Text), want) {
				t.Errorf("the result is\n%s\nand should end with %s", r.Text, want)
			}
		})
	}
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"x: y\na: b: c\n": "x.yaml:2: mapping values are not allowed in this context",
		"- a\n":           "x.yaml:1: must be a map of keys and values",
		"a: b\n---\nc":    "x.yaml:2: a second YAML document begins here; write one",
	} {
		if _, err := File("x.yaml", []byte(text), nil); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := File("x.json", []byte("a: b"), nil); err == nil || err.Error() != "x.json: is no JSON" {
		t.Errorf("got %v", err)
	}
}

// Whatever is said about a secret does not show it.
func TestSecretsAreNotSaid(t *testing.T) {
	k := known(t)
	text, environ, count := map[string]map[string]string{}, []string(nil), 0
	for _, path := range slices.Sorted(maps.Keys(k.fields)) {
		if k.fields[path].Type != "secret" {
			continue
		}
		section, name, nested := strings.Cut(path, ".")
		if !nested || strings.Contains(name, ".") {
			continue
		}
		if text[section] == nil {
			text[section] = map[string]string{}
		}
		text[section][name] = "s3cret${x"
		environ = append(environ, variable(path)+"=s3cret:s3cret:s3cret, s3cret")
		count++
	}
	file, err := yaml.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := File("x.yaml", file, nil)
	if err != nil {
		t.Fatal(err)
	}
	about, err := Environment(environ)
	if err != nil {
		t.Fatal(err)
	}
	if said := r.Remarks.Error() + r.Mistakes.Error() + about.Error(); strings.Contains(said, "s3cret") {
		t.Error(said)
	}
	if len(r.Remarks) < count || count < 10 {
		t.Errorf("%d remarks about %d secrets", len(r.Remarks), count)
	}
}

func TestVariables(t *testing.T) {
	for _, tc := range []struct{ variable, want string }{
		{"SLACK_CHANNEL=#x", "environment SLACK_CHANNEL: sets slack.channel: is read as by Falcosidekick"},
		{"SLACK_MINIMUMPRIORITY=high", `Falcosidekick takes "high" for everything`},
		{"CUSTOMTAGS=", "a list with one empty entry"},
		{"SLACK_FOOTER=", "is read as by Falcosidekick"},
		{"OPENFAAS_GATEWAYPORT=tcp://10.0.0.1:80", ""},
		{"SLACK=x", "hides the whole section slack"},
		{"WEBHOOK_CUSTOMHEADERS=a:b:c", "more than one colon"},
		{"CUSTOMFIELDS=a", "an item without a colon"},
		{"ALERTMANAGER_EXTRALABELS=a:b:c", "is read as by Falcosidekick"},
		{"ALERTMANAGER_HOSTPORT=http://a.test, http://b.test", "the spaces around the items"},
		{"GRAFANA_CUSTOMHEADERS=a:b", "only where the file has the key"},
		{"PAGERDUTY_REGION=eu", "makes no use of this key"},
		{"ROCKETCHAT_FOOTER=x", "has no effect: "},
		{"INFLUXDB_ORGANISATION=x", "write INFLUXDB_ORGANIZATION"},
		{"KAFKA_TSL=true", "write KAFKA_TLS"},
		{"SPYPERBAT_ORGUID=x", "write SPYDERBAT_ORGUID"},
		{"HOME=/", ""},
	} {
		got, err := Environment([]string{tc.variable})
		if err != nil {
			t.Fatal(err)
		}
		if tc.want == "" && !strings.HasPrefix(tc.variable, "HOME") {
			tc.want = "is read as by Falcosidekick"
		}
		if tc.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || !strings.Contains(got.Error(), tc.want) {
			t.Errorf("%s: got %q, want %q", tc.variable, texts(got), tc.want)
		}
	}
}

// Whatever the file, what comes out is YAML that says the same, and every remark is one
// line about a line of the file.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"slack:\n  webhookurl: http://x.test/\n  minimumpriority: high\n",
		"a: &x {b: c, d: [1, 'e']}\nslack: *x\nSLACK: {<<: *x}\n",
		"dogstatsd:\n  tag:\n    a: |\n      b\n  tags: x # y\n",
		"# c\n\nkafka: {hostport: \"a${b\", topic: ''}\n# d\n",
		"? a\n: b\nlistenport:\n  - 1\n",
		"slak: \"a\n  b\"\ngcp:\n # x\n  y: >\n   z\n",
	} {
		f.Add(seed)
	}
	k := known(f)
	f.Fuzz(func(t *testing.T, text string) {
		w := newWalk("x.yaml", k, nil)
		document, err := w.read([]byte(text))
		if err != nil || document == nil {
			return
		}
		out, lines, err := w.render([]byte(text), document)
		if err != nil {
			return
		}
		if _, err := parse(out); err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		most := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, line := range lines {
			if line < 0 || line > most+1 {
				t.Fatalf("%q: line %d of %d", text, line, most)
			}
		}
		for _, r := range w.remarks {
			if r.Line < 1 || r.Line > most+1 {
				t.Fatalf("%q: %v", text, r)
			}
		}
	})
}

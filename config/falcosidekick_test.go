package config_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

// upstream has some of the keys that Falcosidekick has.
type upstream struct {
	ListenAddress   string            `key:"listenaddress" doc:"Address."`
	ListenPort      uint16            `key:"listenport" default:"2801" doc:"Port."`
	Debug           bool              `key:"debug" doc:"Log more."`
	CustomFields    map[string]string `key:"customfields" percentenv:"true" doc:"Fields."`
	TemplatedFields map[string]string `key:"templatedfields" doc:"Fields."`
	CustomTags      []string          `key:"customtags" doc:"Tags."`
	BracketReplacer string            `key:"bracketreplacer" doc:"Replacer."`
	MutualTLSPath   string            `key:"mutualtlsfilespath" doc:"Folder."`
	TLSServer       struct {
		Deploy     bool     `key:"deploy" doc:"Serve TLS."`
		NoTLSPaths []string `key:"notlspaths" doc:"Paths without TLS."`
	} `key:"tlsserver"`
}

type upstreamSlack struct {
	WebhookURL      config.Secret  `key:"webhookurl" required:"true" doc:"URL."`
	Icon            string         `key:"icon" default:"https://icon" doc:"Icon."`
	Footer          string         `key:"footer" default:"https://footer" doc:"Footer."`
	OutputFormat    string         `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"Format."`
	MinimumPriority event.Priority `key:"minimumpriority" doc:"Priority."`
	MessageFormat   string         `key:"messageformat" doc:"Template."`
}

type upstreamElasticsearch struct {
	HostPort      string                   `key:"hostport" required:"true" doc:"URL."`
	Suffix        string                   `key:"suffix" default:"daily" oneof:"daily,monthly,annually,none" doc:"Suffix."`
	CustomHeaders map[string]config.Secret `key:"customheaders" doc:"Headers."`
	Batching      struct {
		Enabled       bool          `key:"enabled" doc:"On."`
		BatchSize     config.Bytes  `key:"batchsize" default:"5242880" doc:"Bytes."`
		FlushInterval time.Duration `key:"flushinterval" default:"1s" unit:"ns" doc:"Interval."`
	} `key:"batching"`
}

type upstreamAlertmanager struct {
	HostPort            []string                  `key:"hostport" required:"true" doc:"URLs."`
	ExtraLabels         map[string]string         `key:"extralabels" doc:"Labels."`
	CustomSeverityMap   map[event.Priority]string `key:"customseveritymap" doc:"Severities."`
	DropEventThresholds string                    `key:"dropeventthresholds" doc:"Thresholds."`
	CustomHeaders       map[string]config.Secret  `key:"customheaders" doc:"Headers."`
}

type upstreamLambda struct {
	FunctionName  string `key:"functionname" required:"true" doc:"Function."`
	CheckIdentity bool   `key:"checkidentity" shared:"aws" default:"true" doc:"Ask STS."`
}

func TestAConfigurationForFalcosidekickIsRead(t *testing.T) {
	file, err := os.ReadFile("testdata/falcosidekick.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var general upstream
	var slack, teams upstreamSlack
	var elasticsearch upstreamElasticsearch
	var alertmanager upstreamAlertmanager
	var lambda upstreamLambda
	loaded, err := config.Load(config.Source{
		File: "falcosidekick.yaml", Text: file, Known: config.FalcosidekickKeys(),
		Environ: []string{
			"ALERTMANAGER_CUSTOMSEVERITYMAP=Info:low,critical:page", "ALERTMANAGER_EXTRALABELS=",
			"ELASTICSEARCH_CUSTOMHEADERS={\"X-A\":\"1\"}", "ELASTICSEARCH_BATCHING_FLUSHINTERVAL=500000000",
			"CUSTOMTAGS=one, two", "SYSLOG_PORT=tcp://10.0.0.1:514", "REDIS=x",
		},
	},
		config.Section{Into: []any{&general}},
		config.Section{Path: "slack", Into: []any{&slack}},
		config.Section{Path: "teams", Into: []any{&teams}},
		config.Section{Path: "elasticsearch", Into: []any{&elasticsearch}},
		config.Section{Path: "alertmanager", Into: []any{&alertmanager}},
		config.Section{Path: "quickwit", Into: []any{new(upstreamAlertmanager)}},
		config.Section{Path: "aws.lambda", Into: []any{&lambda}},
	)
	if err != nil {
		t.Fatal(err)
	}
	wantGeneral := upstream{
		ListenPort: 2801, BracketReplacer: "_", MutualTLSPath: "/etc/certs", CustomTags: []string{"one", "two"},
		CustomFields:    map[string]string{"Akey": "AValue", "k8s.cluster.name": "prod"},
		TemplatedFields: map[string]string{"Dkey": `{{ or (index . "k8s.ns.name") "bar" }}`},
	}
	wantGeneral.TLSServer.NoTLSPaths = []string{"/metrics", "/healthz"}
	wantElasticsearch := upstreamElasticsearch{
		HostPort: "http://localhost:9200", Suffix: "daily",
		CustomHeaders: map[string]config.Secret{"X-A": config.NewSecret("1")},
	}
	wantElasticsearch.Batching.Enabled = true
	wantElasticsearch.Batching.BatchSize = 5 << 20
	wantElasticsearch.Batching.FlushInterval = 500 * time.Millisecond
	for _, diff := range []string{
		cmp.Diff(wantGeneral, general),
		cmp.Diff(upstreamSlack{
			WebhookURL: config.NewSecret("https://hooks.slack.com/services/T0/B0/s3cret"), Footer: "https://footer",
			OutputFormat: "fields", MinimumPriority: event.Debug,
			MessageFormat: `Alert: rule *{{ .Rule }}* triggered by user *{{ index .OutputFields "user.name" }}*`,
		}, slack, sameSecrets),
		cmp.Diff(wantElasticsearch, elasticsearch, sameSecrets),
		cmp.Diff(upstreamAlertmanager{
			HostPort:            []string{"http://a:9093", "http://b:9093"},
			ExtraLabels:         map[string]string{"team": "sec", "site": "eu"},
			CustomSeverityMap:   map[event.Priority]string{event.Informational: "low", event.Critical: "page"},
			DropEventThresholds: "10000:critical, 1000:critical",
			CustomHeaders:       map[string]config.Secret{"Authorization": config.NewSecret("Bearer s3cret")},
		}, alertmanager, sameSecrets),
		cmp.Diff(upstreamLambda{FunctionName: "f", CheckIdentity: true}, lambda),
	} {
		if diff != "" {
			t.Error(diff)
		}
	}
	for path, want := range map[string]bool{"slack": true, "teams": false, "elasticsearch": true, "alertmanager": true, "quickwit": false, "aws.lambda": true} {
		if loaded.Configured(path) != want {
			t.Errorf("%s is on: %v", path, !want)
		}
	}
	want := []string{
		"falcosidekick.yaml:53: redis.address: is accepted for compatibility but has no effect",
		"falcosidekick.yaml:54: redis.password: is accepted for compatibility but has no effect",
		"falcosidekick.yaml:55: redis.tls: is accepted for compatibility but has no effect",
		"falcosidekick.yaml:62: aws.sqs.url: is accepted for compatibility but has no effect",
	}
	if diff := cmp.Diff(want, lines(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

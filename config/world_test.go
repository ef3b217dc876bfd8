package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

// transport is what several of the test's outputs embed.
type transport struct {
	CheckCert bool `key:"checkcert" default:"true" doc:"Verify the server's certificate."`
	MutualTLS bool `key:"mutualtls" doc:"Present a client certificate."`
}

type settings struct {
	MinimumPriority event.Priority `key:"minimumpriority" doc:"Lowest priority delivered."`
	Concurrency     int            `key:"maxconcurrentrequests" default:"1" doc:"Requests at once."`
	Timeout         time.Duration  `key:"timeout" default:"10s" doc:"Time for one attempt."`
	Retry           struct {
		MaxAge time.Duration `key:"max_age" default:"24h" doc:"When to give up."`
	} `key:"retry"`
}

type slack struct {
	transport
	WebhookURL config.Secret     `key:"webhookurl" required:"true" doc:"URL of the webhook."`
	Format     string            `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What to show."`
	Footer     string            `key:"footer" default:"Saker" doc:"Footer."`
	Headers    map[string]string `key:"customheaders" doc:"Headers."`
	Tags       []string          `key:"tags" doc:"Tags."`
	Size       config.Bytes      `key:"size" default:"64MiB" doc:"Size."`
	Ratio      float64           `key:"ratio" default:"0.5" doc:"Ratio."`
	Port       uint16            `key:"port" default:"443" doc:"Port."`
	Flush      time.Duration     `key:"flush" default:"1s" unit:"ns" doc:"Flush."`
}

type smtp struct {
	HostPort string `key:"hostport" required:"true" doc:"Server."`
	From     string `key:"from" required:"true" doc:"Sender."`
	To       string `key:"to" required:"true" doc:"Receivers."`
}

func (c smtp) Validate() error {
	if c.From == c.To {
		return config.At("to", errors.New("must not be the sender"))
	}
	return nil
}

type lambda struct {
	Region   string        `key:"region" shared:"aws" default:"us-east-1" doc:"Region."`
	Key      config.Secret `key:"secretaccesskey" shared:"aws" doc:"Key."`
	Function string        `key:"functionname" required:"true" doc:"Function."`
}

type top struct {
	Debug        bool              `key:"debug" doc:"Log more."`
	CustomFields map[string]string `key:"customfields" percentenv:"true" doc:"Fields added."`
	Logstash     struct {
		Port int `key:"port" default:"5044" doc:"Port."`
	} `key:"logstash"`
	Auth struct {
		Tokens []token `key:"tokens" doc:"Tokens."`
	} `key:"auth"`
}

type token struct {
	Name  string        `key:"name" required:"true" doc:"Name."`
	Value config.Secret `key:"value" required:"true" doc:"Value."`
	Role  string        `key:"role" default:"viewer" oneof:"viewer,admin" doc:"Role."`
}

// kinds has the types that are less common.
type kinds struct {
	Ports      []int                     `key:"ports" default:"1,2" doc:"Numbers."`
	Levels     map[event.Priority]string `key:"levels" default:"error:bad,debug:fine" doc:"Text by priority."`
	Limits     map[string]int            `key:"limits" doc:"Number by text."`
	Tokens     []config.Secret           `key:"tokens" doc:"Secrets."`
	Headers    map[string]config.Secret  `key:"headers" doc:"Secrets by name."`
	Formats    []string                  `key:"formats" default:"b" oneof:"a,b" doc:"What to do with | and \n; it is a long text, so that the comment in the example takes two lines."`
	Password   config.Secret             `key:"password" default:"postgres" doc:"Has a default."`
	Wait       time.Duration             `key:"wait" unit:"ms" env:"OLD_WAIT" doc:"Wait."`
	Unseen     string                    `key:"unseen" default:"${HOME}" env:"-" doc:"Not in the environment."`
	Offset     int8                      `key:"offset" doc:"Small number."`
	Everything bool                      `key:"everything" default:"true" doc:"True."`
}

// world is everything that the tests' configuration fills.
type world struct {
	Top       top
	Slack     slack
	Settings  settings
	SMTP      smtp
	Lambda    lambda
	Kinds     kinds
	Instances map[string]any
}

var errReserved = errors.New("the name is that of the section at the top level")

func (w *world) load(src config.Source) (*config.Loaded, error) {
	w.Instances = map[string]any{}
	return config.Load(src,
		config.Section{Into: []any{&w.Top}},
		config.Section{Path: "slack", Into: []any{&w.Settings, &w.Slack}},
		config.Section{Path: "smtp", Into: []any{&w.SMTP}},
		config.Section{Path: "kinds", Into: []any{&w.Kinds}},
		config.Section{Path: "aws.lambda", Into: []any{&w.Lambda}},
		config.Section{Path: "outputs", Kinds: []string{"lambda", "slack"}, Each: func(name, kind string) ([]any, error) {
			switch {
			case name == "slack":
				return nil, errReserved
			case kind == "lambda":
				c := new(lambda)
				w.Instances[name] = c
				return []any{c}, nil
			default:
				c := new(slack)
				w.Instances[name] = c
				return []any{c, new(settings)}, nil
			}
		}},
	)
}

func text(yaml string) config.Source { return config.Source{File: "saker.yaml", Text: []byte(yaml)} }

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update writes it):\n%s", file, diff)
	}
}

// lines is the text of an error or of warnings, one a line.
func lines(err error) []string {
	if err == nil || err.Error() == "" {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

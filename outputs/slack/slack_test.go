package slack_test

import (
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/slack"
)

func Test(t *testing.T) {
	const webhook = "webhookurl: URL/services/T00/B00/s3cretT0ken"
	outputstest.HTTP{
		Kind:   "slack",
		Config: "{" + webhook + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"text":   "{" + webhook + ", outputformat: text, channel: '#alerts'}",
			"empty":  "{" + webhook + ", outputformat: '', messageformat: ''}",
			"fields": "{" + webhook + ", outputformat: fields, footer: '', icon: https://example.com/i.png, username: Saker}",
			"messageformat": "{" + webhook + `, outputformat: text, messageformat: '{{.Priority}} {{.Rule}} {{.UUID}} {{.Time}} {{.Source}} {{.Tags}} {{.Hostname}}` +
				` cmd={{index .OutputFields "proc.cmdline"}} missing={{index .OutputFields "no.such"}} {{len .Output}}'}`,
		},
		Wrong: map[string]string{
			"{}": "webhookurl",
			"{webhookurl: hooks.slack.com/s3cretT0ken}":         "must be a URL",
			"{webhookurl: 'ftp://hooks.slack.com/s3cretT0ken'}": "http:// or https://",
			"{webhookurl: 'https:///s3cretT0ken'}":              "with a host",
			"{webhookurl: 'https://h:port/s3cretT0ken'}":        "must be a URL",
			"{" + webhook + ", outputformat: fancy}":            "must be one of all, text, fields",
			"{" + webhook + ", messageformat: '{{.Rule'}":       "messageformat",
		},
	}.Run(t)
}

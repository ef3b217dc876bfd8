// Package all imports every kind of output, so that it is registered. Programs import it;
// it is the one list of outputs in the tree.
package all

import (
	_ "github.com/saker-security/saker/outputs/alertmanager" // registers
	_ "github.com/saker-security/saker/outputs/awslambda"
	_ "github.com/saker-security/saker/outputs/datadog"
	_ "github.com/saker-security/saker/outputs/elasticsearch"
	_ "github.com/saker-security/saker/outputs/gcpcloudfunctions"
	_ "github.com/saker-security/saker/outputs/grafana"
	_ "github.com/saker-security/saker/outputs/opsgenie"
	_ "github.com/saker-security/saker/outputs/pagerduty"
	_ "github.com/saker-security/saker/outputs/slack"
	_ "github.com/saker-security/saker/outputs/stdout"
	_ "github.com/saker-security/saker/outputs/webhook"
)

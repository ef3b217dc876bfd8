package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/forwarder/deliver"
)

func TestTheReloadOfTheConfigurationIsVisible(t *testing.T) {
	m := newMetrics(Options{})
	m.Configured(time.UnixMilli(1700000000500))
	expect(t, scrape(t, m), "saker_config_last_reload_successful 1", "saker_config_last_reload_success_timestamp_seconds 1.7000000005e+09")
	m.NotConfigured()
	expect(t, scrape(t, m), "saker_config_last_reload_successful 0", "saker_config_last_reload_success_timestamp_seconds 1.7000000005e+09")
}

func TestAnOutputThatHasGoneLeavesNoSeries(t *testing.T) {
	m := newMetrics(Options{})
	for _, name := range []string{"slack", "slack2", "alertmanager@a", "alertmanager@b"} {
		m.Attempted(deliver.Attempt{Output: name, Outcome: deliver.Delivered, Events: 1})
	}
	m.Forget("slack")
	m.Forget("alertmanager@a")
	text := scrape(t, m)
	for _, gone := range []string{`output="slack"`, `destination="slack"`, `output="alertmanager@a"`} {
		if strings.Contains(text, gone) {
			t.Errorf("there are series with %s", gone)
		}
	}
	expect(t, text,
		`saker_output_attempts_total{outcome="delivered",output="slack2"} 1`,
		`saker_output_attempts_total{outcome="delivered",output="alertmanager@b"} 1`,
		`falcosecurity_falcosidekick_outputs_total{destination="alertmanager",status="ok"} 2`)
}

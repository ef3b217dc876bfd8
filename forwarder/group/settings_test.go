package group_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/group"
)

// load reads settings from the text of a file.
func load(t *testing.T, text string) (group.Settings, error) {
	t.Helper()
	var s struct{ group.Settings } // as the settings of an output have it
	_, err := config.Load(config.Source{File: "saker.yaml", Text: []byte(text)}, config.Section{Path: "slack", Into: []any{&s}})
	return s.Settings, err
}

func TestTheKeysOfAnOutput(t *testing.T) {
	s, err := load(t, `
slack:
  group_by: [rule, k8s.ns.name]
  group_wait: 30s
  group_interval: 10m
  repeat_interval: 12h
  dedup_window: 1h
  dedup_by: [rule, proc.cmdline]
  dedup_summary: false
  ratelimit: {events: 10, per: 5m, except: critical}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := group.Settings{
		GroupBy: []string{"rule", "k8s.ns.name"}, GroupWait: 30 * time.Second, GroupInterval: 10 * time.Minute, RepeatInterval: 12 * time.Hour,
		DedupWindow: time.Hour, DedupBy: []string{"rule", "proc.cmdline"},
		RateLimit: group.RateLimit{Events: 10, Per: 5 * time.Minute, Except: event.Critical},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if !s.Enabled() {
		t.Error("the settings turn nothing on")
	}
}

func TestEverythingIsOffByDefault(t *testing.T) {
	s, err := load(t, "slack: {}")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(group.DefaultSettings(), s); diff != "" {
		t.Errorf("the defaults in code and in the tags differ: %s", diff)
	}
	if err := (group.Settings{GroupBy: []string{"rule", ""}}).Validate(); err == nil {
		t.Error("an empty name is accepted")
	}
	if s.Enabled() || (group.Settings{}).Enabled() || (group.Settings{}).Validate() != nil {
		t.Error("grouping is not off")
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprintf("f%d", i))
	}
	for text, want := range map[string]string{
		"group_by: [rule, hostname, rule]":             `slack.group_by: must not have "rule" twice`,
		"group_by: [rule, '...']":                      `slack.group_by: must have ... alone or not at all`,
		"group_by: [" + strings.Join(many, ", ") + "]": `slack.group_by: must not have more than 32 names`,
		"group_by: [rule]\n  group_wait: 2h":           `slack.group_wait: must be between 0s and 1h`,
		"group_by: [rule]\n  group_interval: 0s":       `slack.group_interval: must be between 1s and 24h`,
		"group_by: [rule]\n  repeat_interval: 1m":      `slack.repeat_interval: must be 0s, or at least group_interval and at most 24h`,
		"group_by: [rule]\n  repeat_interval: 25h":     `slack.repeat_interval: must be 0s, or at least group_interval and at most 24h`,
		"dedup_window: 10ms":                           `slack.dedup_window: must be 0s, or between 1s and 24h`,
		"dedup_window: 25h":                            `slack.dedup_window: must be 0s, or between 1s and 24h`,
		"ratelimit: {events: -1}":                      `slack.ratelimit.events: must be between 0 and 1000000`,
		"ratelimit: {events: 1, per: 0s}":              `slack.ratelimit.per: must be between 1s and 24h`,
		"ratelimit: {events: 1, except: high}":         `slack.ratelimit.except: must be one of emergency, alert`,
	} {
		_, err := load(t, "slack:\n  "+text)
		if _, ok := errors.AsType[config.Problems](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

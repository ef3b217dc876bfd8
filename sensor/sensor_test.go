package sensor_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/rules"
)

// falcoYAML has the keys of a falco.yaml as packages install it.
const falcoYAML = `
config_files: [/etc/falco/config.d]
watch_config_files: true
rules_files: [/etc/falco/falco_rules.yaml, /etc/falco/rules.d]
engine:
  kind: modern_ebpf
  modern_ebpf: {cpus_for_each_buffer: 2, buf_size_preset: 5, drop_failed_exit: false}
load_plugins: [container]
plugins:
  - name: container
    library_path: libcontainer.so
plugins_hostinfo: true
time_format_iso_8601: true
priority: notice
json_output: true
buffered_outputs: false
rule_matching: all
outputs_queue: {capacity: 0}
append_output:
  - suggested_output: true
  - match: {source: syscall, tags: [network]}
    extra_output: "ppid=%proc.ppid"
    extra_fields: [proc.env]
rules:
  - disable: {tag: network}
  - enable: {rule: "Netcat*"}
stdout_output: {enabled: false}
syslog_output: {enabled: false}
http_output: {enabled: true, url: "http://falcosidekick:2801/", echo: false, max_consecutive_timeouts: 5}
webserver: {enabled: true, listen_port: 8766}
static_fields: {site: berlin}
program_output: {enabled: true, keep_alive: false, program: "logger -t falco"}
log_stderr: true
log_level: warning
syscall_event_drops: {threshold: 0.1, actions: [log, alert]}
base_syscalls: {custom_set: [], repair: false}
`

func TestAFalcoYAMLWorksUnmodified(t *testing.T) {
	c, loaded, err := sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte(falcoYAML)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.RulesFiles, []string{"/etc/falco/falco_rules.yaml", "/etc/falco/rules.d"}) ||
		c.Priority != event.Notice || c.RuleMatching != "all" || !c.ISOTime || !c.JSON || c.Stdout.Enabled ||
		!c.HTTP.Enabled || c.HTTP.URL != "http://falcosidekick:2801/" || c.Engine.ModernEBPF.BufferPreset != 5 {
		t.Errorf("the settings are %+v", c)
	}
	if len(c.AppendOutput) != 2 || c.AppendOutput[1].ExtraFields[0] != "proc.env" || len(c.Rules) != 2 {
		t.Errorf("append_output is %+v, rules is %+v", c.AppendOutput, c.Rules)
	}
	if c.Webserver.Port != 8766 || !c.WatchFiles || c.Drops.Threshold != 0.1 || !slices.Equal(c.Drops.Actions, []string{"log", "alert"}) ||
		c.LogLevel != "warning" || c.StaticFields["site"] != "berlin" || !c.Program.Enabled {
		t.Errorf("the settings are %+v", c)
	}
	warned := loaded.Warnings.Error()
	for _, key := range []string{"plugins_hostinfo", "http_output.echo", "base_syscalls.repair"} {
		if !strings.Contains(warned, key) {
			t.Errorf("nothing says that %s has no effect: %s", key, warned)
		}
	}
}

func TestTheConfigurationIsRefusedWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a typing mistake":          {"priorty: error", "falco.yaml:1: priorty: unknown key (did you mean priority?)"},
		"a buffer too big":          {"engine:\n  modern_ebpf:\n    buf_size_preset: 11", "must be from 1 to 10, not 11"},
		"an idle toggle":            {"rules:\n  - enable: {}", "entry 1 must either enable or disable something"},
		"both names of rules files": {"rules_file: a\nrules_files: b", "falco.yaml:1: rules_file: is the old name of rules_files"},
		"a share above one":         {"syscall_event_drops: {threshold: 1.5}", "must be from 0 to 1, not 1.5"},
		"a drop action":             {"syscall_event_drops: {actions: [shout]}", "must be one of ignore, log, alert, exit, not \"shout\""},
		"a static field":            {"static_fields: {a-b: c}", "no digit first, not \"a-b\""},
		"a limit without burst":     {"rule_limit: {rate: 5, burst: 0}", "rule_limit.burst: must be at least 1"},
		"an override of nothing":    {"rule_limit: {overrides: [{rate: 1}]}", "entry 1 must name either a rule or a tag"},
		"a replay of nothing":       {"engine: {kind: replay}", "engine.replay.capture_file: is required"},
		"a path that is none":       {"webserver: {k8s_healthz_endpoint: healthz}", "must be a path of its own"},
		"another engine":            {"engine: {kind: kmod}", "modern_ebpf"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte(c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestTheSensorsVariablesHaveItsPrefix(t *testing.T) {
	c, _, err := sensor.LoadConfig(config.Source{Environ: []string{"PRIORITY=error", "SENSOR_RULE_MATCHING=all"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Priority == event.Error || c.RuleMatching != "all" {
		t.Errorf("priority %v, rule_matching %q", c.Priority, c.RuleMatching)
	}
}

func TestTheRulesThatShipLoadWithoutAWarning(t *testing.T) {
	files, err := sensor.ReadRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, found, err := rules.Load(files, sensor.Registries(), rules.Options{SuggestedOutput: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found.Files {
		for _, w := range f.Warnings {
			t.Error(w)
		}
	}
	for _, r := range set.Rules() {
		if !slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.HasPrefix(tag, "mitre_") }) ||
			!slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.HasPrefix(tag, "T1") }) {
			t.Errorf("rule %q lacks the tags of MITRE ATT&CK: %v", r.Name, r.Tags)
		}
		if r.Desc == "" {
			t.Errorf("rule %q lacks a description", r.Name)
		}
	}
}

func TestRulesAreReadFromFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.yml": "- list: b\n  items: []\n", "a.yaml": "- list: a\n  items: []\n", "notes.txt": "no rules",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := sensor.ReadRules([]string{dir, filepath.Join(dir, "notes.txt")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f.Name))
	}
	if !slices.Equal(names, []string{"a.yaml", "b.yml", "notes.txt"}) {
		t.Errorf("read %v", names)
	}
	if _, err := sensor.ReadRules([]string{filepath.Join(dir, "none.yaml")}); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestRunSaysWhatIsWrongWithTheRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte("- rule: x\n  desc: d\n  priority: INFO\n  output: o\n  condition: evt.type = open and proc.nmae = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := sensor.Run(context.Background(), sensor.Config{RulesFiles: []string{path}}, sensor.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), path+":5:") || !strings.Contains(err.Error(), `did you mean "proc.name"?`) {
		t.Errorf("the error is %v", err)
	}
}

func TestRunWithoutAnyRuleIsAnError(t *testing.T) {
	empty := t.TempDir()
	for want, o := range map[string]sensor.Options{
		"there are none in":              {Rules: []string{empty}},
		"no such file":                   {Rules: []string{filepath.Join(empty, "none.yaml")}},
		"none of the rules files exists": {},
	} {
		o.Log = slog.New(slog.DiscardHandler)
		err := sensor.Run(t.Context(), sensor.Config{RulesFiles: []string{filepath.Join(empty, "gone.yaml")}}, o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
}

func TestFalcosPluginForAuditEventsIsUnderstood(t *testing.T) {
	c, loaded, err := sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte(`
load_plugins: [k8saudit, json]
plugins:
  - {name: k8saudit, library_path: libk8saudit.so, open_params: "http://127.0.0.1:9999/audit", init_config: {maxEventSize: 5}}
  - {name: json, library_path: libjson.so}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Audit.Webhook; !w.Enabled || w.Listen != "127.0.0.1:9999" || w.Path != "/audit" {
		t.Errorf("the webhook is %+v", w)
	}
	if text := loaded.Warnings.Error(); strings.Contains(text, "has no effect") || !strings.Contains(text, "maxEventSize") {
		t.Errorf("the warnings are %s", text)
	}
	if c, _, err = sensor.LoadConfig(config.Source{File: "falco.yaml", Text: []byte("load_plugins: [container]\nplugins: [{name: k8saudit}]")}); err != nil || c.Audit.Enabled() {
		t.Errorf("a plugin that is not loaded is %+v, %v", c.Audit, err)
	}
}

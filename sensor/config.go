package sensor

import (
	"errors"
	"fmt"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
)

// Config is the sensor's configuration. The keys are falco.yaml's where Falco has the key.
type Config struct {
	RulesFiles   []string       `key:"rules_files" doc:"Rules files, and folders of them, in the order in which they are loaded. None means the rules that Saker ships."`
	Rules        []Toggle       `key:"rules" doc:"Switches rules on and off after loading, one after the other."`
	RuleMatching string         `key:"rule_matching" default:"first" oneof:"first,all" doc:"Whether an event may cause an alert of the first rule that it matches or of all."`
	Priority     event.Priority `key:"priority" default:"debug" doc:"Least severe rules that are loaded."`
	AppendOutput []Append       `key:"append_output" doc:"What is added to the output of rules. Without it container and pod are."`
	Engine       Engine         `key:"engine"`
	report.Config
}

// Engine is the section "engine".
type Engine struct {
	Kind       string     `key:"kind" default:"modern_ebpf" oneof:"modern_ebpf" doc:"How the kernel is watched."`
	ModernEBPF ModernEBPF `key:"modern_ebpf"`
}

// ModernEBPF is the section "engine.modern_ebpf".
type ModernEBPF struct {
	BufferPreset int `key:"buf_size_preset" default:"4" doc:"Size of the ring buffer, from 1 for 1 MiB, each step doubling it, to 10 for 512 MiB."`
}

// Toggle switches rules on or off. One of its keys is set.
type Toggle struct {
	Enable  Selector `key:"enable"`
	Disable Selector `key:"disable"`
}

// Selector names rules.
type Selector struct {
	Rule string `key:"rule" doc:"Name of the rules, in which * stands for anything."`
	Tag  string `key:"tag" doc:"Tag of the rules."`
}

// Append is what is added to the output of the rules that it applies to.
type Append struct {
	Match           Match    `key:"match"`
	ExtraOutput     string   `key:"extra_output" doc:"Text added to the output; it may name fields."`
	ExtraFields     []string `key:"extra_fields" doc:"Fields added to output_fields alone."`
	SuggestedOutput bool     `key:"suggested_output" doc:"Adds container and pod."`
}

// Match says which rules an Append applies to; without any key to all.
type Match struct {
	Rule   string   `key:"rule" doc:"Name of the rule."`
	Source string   `key:"source" doc:"Source of the rules."`
	Tags   []string `key:"tags" doc:"Tags that the rules have, all of them."`
}

// Validate reports what cannot work.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate()}
	if p := c.Engine.ModernEBPF.BufferPreset; p < 1 || p > 10 {
		errs = append(errs, config.At("engine.modern_ebpf.buf_size_preset", fmt.Errorf("must be from 1 to 10, not %d", p)))
	}
	for i, t := range c.Rules {
		if (t.Enable == Selector{}) == (t.Disable == Selector{}) {
			errs = append(errs, config.At("rules", fmt.Errorf("entry %d must either enable or disable something", i+1)))
		}
	}
	return errors.Join(errs...)
}

// ringSize is the size of the ring buffer in bytes.
func (c Config) ringSize() int { return 1 << 20 << (c.Engine.ModernEBPF.BufferPreset - 1) }

// ruleOptions translates the settings that concern rules.
func (c Config) ruleOptions() rules.Options {
	o := rules.Options{
		MinPriority:     c.Priority,
		All:             c.RuleMatching == "all",
		ISO8601:         c.ISOTime,
		SuggestedOutput: len(c.AppendOutput) == 0,
	}
	for _, t := range c.Rules {
		if t.Enable != (Selector{}) {
			o.Toggles = append(o.Toggles, rules.Toggle{Enable: true, Rule: t.Enable.Rule, Tag: t.Enable.Tag})
		} else {
			o.Toggles = append(o.Toggles, rules.Toggle{Rule: t.Disable.Rule, Tag: t.Disable.Tag})
		}
	}
	for _, a := range c.AppendOutput {
		o.SuggestedOutput = o.SuggestedOutput || a.SuggestedOutput
		fields := make([]rules.AppendField, 0, len(a.ExtraFields))
		for _, f := range a.ExtraFields {
			fields = append(fields, rules.AppendField{Name: f})
		}
		if a.ExtraOutput != "" || len(fields) > 0 {
			o.Append = append(o.Append, rules.Append{
				Source: a.Match.Source, Rule: a.Match.Rule, Tags: a.Match.Tags, Output: a.ExtraOutput, Fields: fields,
			})
		}
	}
	return o
}

// falcoKeys are the keys of falco.yaml that have no effect here.
var falcoKeys = []string{
	"base_syscalls.all", "base_syscalls.custom_set", "base_syscalls.repair",
	"buffer_format_base64", "buffered_outputs", "capture.default_duration", "capture.enabled",
	"capture.max_file_size_mb", "capture.mode", "capture.path_prefix", "config_files",
	"engine.kmod.buf_size_preset", "engine.kmod.drop_failed_exit",
	"engine.modern_ebpf.cpus_for_each_buffer", "engine.modern_ebpf.disable_iterators",
	"engine.modern_ebpf.drop_failed_exit", "engine.replay.capture_file",
	"falco_libs.snaplen", "falco_libs.thread_table_auto_purging_interval_s",
	"falco_libs.thread_table_auto_purging_thread_timeout_s", "falco_libs.thread_table_size",
	"grpc.bind_address", "grpc.enabled", "grpc.threadiness", "grpc_output.enabled",
	"http_output.echo", "http_output.max_consecutive_timeouts",
	"libs_logger.enabled", "libs_logger.severity", "load_plugins", "log_level", "log_stderr", "log_syslog",
	"metrics.convert_memory_to_mb", "metrics.enabled", "metrics.include_empty_values", "metrics.interval",
	"metrics.jemalloc_stats_enabled", "metrics.kernel_event_counters_enabled",
	"metrics.kernel_event_counters_per_cpu_enabled", "metrics.kernel_iter_event_counters_enabled",
	"metrics.libbpf_stats_enabled", "metrics.output_file", "metrics.output_rule",
	"metrics.plugins_metrics_enabled", "metrics.resource_utilization_enabled",
	"metrics.rules_counters_enabled", "metrics.state_counters_enabled",
	"output_timeout", "outputs_queue.capacity", "plugins", "plugins_hostinfo",
	"program_output.enabled", "program_output.keep_alive", "program_output.program",
	"static_fields", "syscall_event_drops.actions", "syscall_event_drops.max_burst",
	"syscall_event_drops.rate", "syscall_event_drops.simulate_drops", "syscall_event_drops.threshold",
	"syscall_event_timeouts.max_consecutives", "watch_config_files",
	"webserver.enabled", "webserver.k8s_healthz_endpoint", "webserver.listen_address",
	"webserver.listen_port", "webserver.prometheus_metrics_enabled", "webserver.ssl_certificate",
	"webserver.ssl_enabled", "webserver.threadiness",
}

// EnvironmentPrefix stands before the sensor's environment variables: SENSOR_PRIORITY.
const EnvironmentPrefix = "SENSOR_"

// LoadConfig reads the sensor's own configuration file, in the form of falco.yaml. The
// error is config.Problems, with all mistakes at once, when the configuration is wrong.
func LoadConfig(src config.Source) (Config, *config.Loaded, error) {
	var c Config
	src.Known = falcoKeys
	src.EnvironmentPrefix = EnvironmentPrefix
	loaded, err := config.Load(src, config.Section{Into: []any{&c}})
	return c, loaded, err
}

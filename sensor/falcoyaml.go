package sensor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor/audit"
)

// falcoKeys are the keys of falco.yaml that have no effect here.
var falcoKeys = []string{
	"base_syscalls.all", "base_syscalls.custom_set", "base_syscalls.repair",
	"buffer_format_base64", "buffered_outputs", "capture.default_duration", "capture.enabled",
	"capture.max_file_size_mb", "capture.mode", "capture.path_prefix",
	"engine.kmod.buf_size_preset", "engine.kmod.drop_failed_exit",
	"engine.modern_ebpf.cpus_for_each_buffer", "engine.modern_ebpf.disable_iterators",
	"engine.modern_ebpf.drop_failed_exit",
	"falco_libs.snaplen", "falco_libs.thread_table_auto_purging_interval_s",
	"falco_libs.thread_table_auto_purging_thread_timeout_s", "falco_libs.thread_table_size",
	"grpc.bind_address", "grpc.enabled", "grpc.threadiness", "grpc_output.enabled",
	"http_output.echo", "http_output.max_consecutive_timeouts",
	"libs_logger.enabled", "libs_logger.severity", "load_plugins",
	"metrics.jemalloc_stats_enabled", "metrics.kernel_event_counters_per_cpu_enabled",
	"metrics.kernel_iter_event_counters_enabled", "metrics.libbpf_stats_enabled", "metrics.plugins_metrics_enabled",
	"plugins", "plugins_hostinfo", "syscall_event_drops.simulate_drops",
	"syscall_event_timeouts.max_consecutives", "webserver.threadiness",
}

// EnvironmentPrefix stands before the sensor's environment variables: SENSOR_PRIORITY.
const EnvironmentPrefix = "SENSOR_"

// includeKey names further configuration files, as in falco.yaml.
const includeKey = "config_files"

// LoadConfig reads the sensor's own configuration file, in the form of falco.yaml, with the
// files that its config_files name. The error is config.Problems, with all mistakes at
// once, when the configuration is wrong.
func LoadConfig(src config.Source) (Config, *config.Loaded, error) {
	var c Config
	src.Known = falcoKeys
	src.Include = includeKey
	src.EnvironmentPrefix = EnvironmentPrefix
	loaded, err := config.Load(src, config.Section{Into: []any{&c}})
	if err == nil {
		err = c.takePlugin(src, loaded)
	}
	return c, loaded, err
}

// takePlugin has the sensor watch what the configuration of Falco's plugin k8saudit names.
// The plugin is looked for in the main file only.
func (c *Config) takePlugin(src config.Source, loaded *config.Loaded) error {
	text := src.Text
	if text == nil && src.File != "" {
		if loaded.Rereadable() != nil {
			return nil // a pipe, which has been read to its end
		}
		var err error
		if text, err = os.ReadFile(src.File); err != nil {
			return fmt.Errorf("read the plugins of %q: %w", src.File, err)
		}
	}
	plugin, err := audit.FalcoPlugin(text)
	if err != nil || plugin == nil {
		return err
	}
	if c.Audit, err = c.Audit.WithPlugin(*plugin); err != nil {
		return config.Problems{{File: src.File, Key: "plugins", Message: err.Error()}}
	}
	loaded.Warnings = slices.DeleteFunc(loaded.Warnings, func(p config.Problem) bool {
		return p.Key == "plugins" || p.Key == "load_plugins"
	})
	if len(plugin.Ignored) > 0 {
		loaded.Warnings = append(loaded.Warnings, config.Problem{
			File: src.File, Key: "plugins", Message: "of init_config of k8saudit these have no effect: " + strings.Join(plugin.Ignored, ", "),
		})
	}
	return nil
}

// liveKeys are the keys, and sections, that Reload takes up.
var liveKeys = []string{
	"rules_files", "rules_file", "rules", "rule_matching", "priority", "append_output", "static_fields",
	"rule_limit", "time_format_iso_8601", "log_level",
}

// live reports whether a change of the key takes effect without a restart.
func live(key string) bool {
	return slices.ContainsFunc(liveKeys, func(k string) bool {
		rest, ok := strings.CutPrefix(key, k)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

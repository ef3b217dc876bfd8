package status

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
)

// Config is the section "webserver", with falco.yaml's keys.
type Config struct {
	Enabled     bool   `key:"enabled" default:"true" doc:"Answers questions about the sensor by HTTP."`
	Address     string `key:"listen_address" default:"127.0.0.1" doc:"Address to listen on; 0.0.0.0 for all of IPv4, :: for all."`
	Port        int    `key:"listen_port" default:"8765" doc:"Port to listen on."`
	Healthz     string `key:"k8s_healthz_endpoint" default:"/healthz" doc:"Path that says whether the sensor works."`
	Prometheus  bool   `key:"prometheus_metrics_enabled" default:"true" doc:"Serves metrics for Prometheus at /metrics."`
	TLS         bool   `key:"ssl_enabled" default:"false" doc:"Serves HTTPS."`
	Certificate string `key:"ssl_certificate" default:"/etc/falco/falco.pem" doc:"File with the certificate and its key."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, config.At("listen_port", fmt.Errorf("must be from 0 to 65535, not %d", c.Port)))
	}
	if !isOwnPath(c.Healthz) {
		errs = append(errs, config.At("k8s_healthz_endpoint", fmt.Errorf("must be a path of its own such as /healthz, not %q", c.Healthz)))
	}
	if c.TLS && c.Certificate == "" {
		errs = append(errs, config.At("ssl_certificate", errors.New("is required when ssl_enabled is set")))
	}
	return errors.Join(errs...)
}

// isOwnPath says that a request for the path can come, and is for nothing else.
func isOwnPath(s string) bool {
	clean := path.Clean(s)
	return strings.HasPrefix(s, "/") && (s == clean || s == clean+"/") && !strings.ContainsAny(s, "{}?# \t") &&
		s != metricsPath && s != versionsPath
}

// Metrics is the section "metrics": counts that are told at intervals, for those without
// Prometheus. The keys are falco.yaml's.
type Metrics struct {
	Enabled      bool          `key:"enabled" default:"false" doc:"Tells the sensor's counts at intervals."`
	Interval     time.Duration `key:"interval" default:"1h" doc:"How often; at least 100ms."`
	OutputRule   bool          `key:"output_rule" default:"true" doc:"Tells them as an alert of the rule \"Falco internal: metrics snapshot\"."`
	OutputFile   string        `key:"output_file" doc:"File that a line of JSON is appended to each time."`
	Rules        bool          `key:"rules_counters_enabled" default:"true" doc:"Has the alerts of each rule among them."`
	Resources    bool          `key:"resource_utilization_enabled" default:"true" doc:"Has processor and memory among them."`
	State        bool          `key:"state_counters_enabled" default:"true" doc:"Has the tables of processes among them."`
	KernelEvents bool          `key:"kernel_event_counters_enabled" default:"true" doc:"Has the kernel's events among them."`
	Megabytes    bool          `key:"convert_memory_to_mb" default:"true" doc:"Gives memory in megabytes rather than kilobytes."`
	Empty        bool          `key:"include_empty_values" default:"false" doc:"Has those that are 0 among them."`
}

// minInterval is the least time between two snapshots.
const minInterval = 100 * time.Millisecond

// Validate reports settings that cannot work.
func (m Metrics) Validate() error {
	if m.Enabled && m.Interval < minInterval {
		return config.At("interval", fmt.Errorf("must be at least %v", minInterval))
	}
	return nil
}

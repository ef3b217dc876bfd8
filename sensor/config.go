package sensor

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/audit"
	"github.com/saker-security/saker/sensor/report"
	"github.com/saker-security/saker/sensor/rules"
	"github.com/saker-security/saker/sensor/status"
	"github.com/saker-security/saker/sensor/throttle"
)

// Config is the sensor's configuration. The keys are falco.yaml's where Falco has the key.
type Config struct {
	RulesFiles   []string          `key:"rules_files" doc:"Rules files, and folders of them, in the order in which they are loaded. None means the rules that Saker ships."`
	RulesFile    []string          `key:"rules_file" doc:"The old name of rules_files."`
	WatchFiles   bool              `key:"watch_config_files" default:"true" doc:"Takes up rules files and settings when they change; SIGHUP has it done in any case."`
	Rules        []Toggle          `key:"rules" doc:"Switches rules on and off after loading, one after the other."`
	RuleMatching string            `key:"rule_matching" default:"first" oneof:"first,all" doc:"Whether an event may cause an alert of the first rule that it matches or of all."`
	Priority     event.Priority    `key:"priority" default:"debug" doc:"Least severe rules that are loaded."`
	AppendOutput []Append          `key:"append_output" doc:"What is added to the output of rules. Without it container and pod are."`
	StaticFields map[string]string `key:"static_fields" doc:"Fields with a value of their own, which rules know as static.NAME."`
	RuleLimit    throttle.Config   `key:"rule_limit"`
	Engine       Engine            `key:"engine"`
	Drops        Drops             `key:"syscall_event_drops"`
	Webserver    status.Config     `key:"webserver"`
	Metrics      status.Metrics    `key:"metrics"`
	Audit        audit.Config      `key:"audit"`
	Containers
	Log
	report.Config
}

// Log says where the sensor logs. It concerns the sensor as a program of its own; beside
// the forwarder it logs as that does.
type Log struct {
	LogLevel  string `key:"log_level" default:"info" oneof:"emergency,alert,critical,error,warning,notice,info,debug" doc:"Least severe lines that are logged."`
	LogStderr bool   `key:"log_stderr" default:"true" doc:"Logs to standard error."`
	LogSyslog bool   `key:"log_syslog" default:"false" doc:"Logs to the local syslog."`
}

// Kinds of engine.
const (
	kernelEngine = "modern_ebpf"
	replayEngine = "replay"
	noEngine     = "nodriver"
)

// Engine is the section "engine".
type Engine struct {
	Kind       string     `key:"kind" default:"modern_ebpf" oneof:"modern_ebpf,replay,nodriver" doc:"What is watched: the kernel; a file that was recorded; or no kernel, only other sources."`
	ModernEBPF ModernEBPF `key:"modern_ebpf"`
	Replay     Replay     `key:"replay"`
}

// ModernEBPF is the section "engine.modern_ebpf".
type ModernEBPF struct {
	BufferPreset int `key:"buf_size_preset" default:"4" doc:"Size of the ring buffer, from 1 for 1 MiB, each step doubling it, to 10 for 512 MiB."`
}

// Replay is the section "engine.replay".
type Replay struct {
	File string `key:"capture_file" doc:"File to read instead of watching the kernel."`
}

// Drops is the section "syscall_event_drops".
type Drops struct {
	Threshold float64  `key:"threshold" default:"0" doc:"Share of the events, from 0 to 1, that may be lost before something is done about it."`
	Actions   []string `key:"actions" default:"log,alert" oneof:"ignore,log,alert,exit" doc:"What is done: log, alert, exit, or ignore for nothing."`
	Rate      float64  `key:"rate" default:"0.03333" doc:"How often a second it is done for long; what happened in between is told together."`
	MaxBurst  int      `key:"max_burst" default:"1" doc:"How often it is done at once."`
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

// staticName is what the name of a static field must look like.
var staticName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)

// maxStatic is how many static fields there may be.
const maxStatic = 100

// Validate reports what cannot work.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.Containers.Validate()}
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(key, fmt.Errorf(format, args...)))
	}
	if p := c.Engine.ModernEBPF.BufferPreset; p < 1 || p > 10 {
		bad("engine.modern_ebpf.buf_size_preset", "must be from 1 to 10, not %d", p)
	}
	if c.Engine.Kind == replayEngine && c.Engine.Replay.File == "" {
		bad("engine.replay.capture_file", "is required when engine.kind is replay")
	}
	if len(c.RulesFile) > 0 && len(c.RulesFiles) > 0 {
		bad("rules_file", "is the old name of rules_files; only one of the two can be set")
	}
	for i, t := range c.Rules {
		if (t.Enable == Selector{}) == (t.Disable == Selector{}) {
			bad("rules", "entry %d must either enable or disable something", i+1)
		}
	}
	if len(c.StaticFields) > maxStatic {
		bad("static_fields", "has more than %d entries", maxStatic)
	}
	for name := range c.StaticFields {
		if !staticName.MatchString(name) {
			bad("static_fields", "the name of a field must be up to 64 letters, digits and _, no digit first, not %q", name)
		}
	}
	if d := c.Drops; d.Threshold < 0 || d.Threshold > 1 {
		bad("syscall_event_drops.threshold", "must be from 0 to 1, not %v", d.Threshold)
	} else if d.Rate < 0 || d.MaxBurst < 0 {
		bad("syscall_event_drops.rate", "and max_burst must not be negative")
	}
	if d := c.Drops.Actions; slices.Contains(d, "ignore") && len(d) > 1 {
		bad("syscall_event_drops.actions", "cannot be ignore and something else")
	}
	return errors.Join(errs...)
}

// RulesPaths are the rules files, under whichever name they were set.
func (c Config) RulesPaths() []string {
	if len(c.RulesFiles) > 0 {
		return c.RulesFiles
	}
	return c.RulesFile
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

// Slog is the least severe level that is logged; debug asks for all of them.
func (l Log) Slog(debug bool) slog.Level {
	switch {
	case debug || l.LogLevel == "debug":
		return slog.LevelDebug
	case l.LogLevel == "warning":
		return slog.LevelWarn
	case l.LogLevel == "info" || l.LogLevel == "notice" || l.LogLevel == "":
		return slog.LevelInfo
	default:
		return slog.LevelError
	}
}

package group

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

const (
	// maxInterval is the longest of all the settings' durations.
	maxInterval = 24 * time.Hour
	// maxNames is the most names of group_by and of dedup_by.
	maxNames = 32
	// maxPerPeriod is the highest rate limit.
	maxPerPeriod = 1_000_000
	// everything, alone in a list of names, stands for all that tells events apart.
	everything = "..."
)

// Settings are the keys that every output has for it. All are off by default.
type Settings struct {
	GroupBy        []string      `key:"group_by" doc:"Events with the same values of these are gathered into one message: rule, priority, source, hostname, tags, output, or names of output fields. Empty turns it off; ... alone makes a group of events that differ in nothing but the time, process ids and the like."`
	GroupWait      time.Duration `key:"group_wait" default:"10s" doc:"How long the first event of a group waits for others."`
	GroupInterval  time.Duration `key:"group_interval" default:"5m" doc:"Least time between two messages of a group when something new has happened in it."`
	RepeatInterval time.Duration `key:"repeat_interval" default:"4h" doc:"Least time between two messages of a group when only what it has told before has happened again, by the measure of dedup_by. 0 treats repetitions as new."`
	DedupWindow    time.Duration `key:"dedup_window" default:"0s" doc:"How long events that say the same as one that was sent are left out. 0 turns it off."`
	DedupBy        []string      `key:"dedup_by" doc:"Events with the same values of these say the same. Empty or ... alone: rule, priority, source, hostname and all output fields but times, numbers of events, process ids and the like."`
	DedupSummary   bool          `key:"dedup_summary" default:"true" doc:"At the end of the window, send one message with the number of events that were left out."`
	RateLimit      RateLimit     `key:"ratelimit"`
}

// RateLimit is the section ratelimit of an output.
type RateLimit struct {
	Events int            `key:"events" default:"0" doc:"Most messages of a period; what is beyond them is summed up in one message, a digest, when the period ends. 0 turns it off."`
	Per    time.Duration  `key:"per" default:"1m" doc:"Length of a period. It begins with the first message after the one before."`
	Except event.Priority `key:"except" doc:"Events of this priority and above pass at once and do not count. Empty excepts none."`
}

// DefaultSettings returns the settings that hold when nothing is set.
func DefaultSettings() Settings {
	return Settings{
		GroupWait: 10 * time.Second, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour,
		DedupSummary: true,
		RateLimit:    RateLimit{Per: time.Minute},
	}
}

// Enabled reports whether a Stage has anything to do.
func (s Settings) Enabled() bool {
	return len(s.GroupBy) > 0 || s.DedupWindow > 0 || s.RateLimit.Events > 0
}

// Validate reports all settings that cannot work.
func (s Settings) Validate() error {
	var all []error
	must := func(ok bool, key, text string) {
		if !ok {
			all = append(all, config.At(key, errors.New("must "+text)))
		}
	}
	between := func(d, least time.Duration) bool { return d >= least && d <= maxInterval }
	all = append(all, config.At("group_by", checkNames(s.GroupBy)), config.At("dedup_by", checkNames(s.DedupBy)))
	if len(s.GroupBy) > 0 {
		must(s.GroupWait >= 0 && s.GroupWait <= time.Hour, "group_wait", "be between 0s and 1h")
		must(between(s.GroupInterval, time.Second), "group_interval", "be between 1s and 24h")
		must(s.RepeatInterval == 0 || between(s.RepeatInterval, s.GroupInterval), "repeat_interval", "be 0s, or at least group_interval and at most 24h")
	}
	must(s.DedupWindow == 0 || between(s.DedupWindow, time.Second), "dedup_window", "be 0s, or between 1s and 24h")
	must(s.RateLimit.Events >= 0 && s.RateLimit.Events <= maxPerPeriod, "ratelimit.events", "be between 0 and 1000000")
	if s.RateLimit.Events > 0 {
		must(between(s.RateLimit.Per, time.Second), "ratelimit.per", "be between 1s and 24h")
	}
	return errors.Join(all...)
}

func checkNames(names []string) error {
	for i, name := range names {
		switch {
		case name == "":
			return errors.New("must not have an empty name")
		case name == everything && len(names) > 1:
			return errors.New("must have ... alone or not at all")
		case slices.Contains(names[:i], name):
			return fmt.Errorf("must not have %q twice", name)
		}
	}
	if len(names) > maxNames {
		return fmt.Errorf("must not have more than %d names", maxNames)
	}
	return nil
}

// isDefault reports whether names stand for all that tells events apart.
func isDefault(names []string) bool {
	return len(names) == 0 || names[0] == everything
}

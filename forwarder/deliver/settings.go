package deliver

import (
	"errors"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/group"
)

const (
	// maxConcurrent is the most attempts of one output that run at once: enough for 3000
	// events a second at an endpoint that takes 20 ms for each.
	maxConcurrent = 64
	// maxAsked is the longest that an output waits because its destination asked for it.
	maxAsked = time.Hour
)

// Settings are the keys that every output has beside its own.
type Settings struct {
	MinimumPriority       event.Priority `key:"minimumpriority" doc:"Lowest priority that is delivered; empty delivers all. Test events always pass."`
	MaxConcurrentRequests int            `key:"maxconcurrentrequests" default:"0" doc:"Most requests under way at once, up to 64; 0 is 64. How many there are adapts to what the destination takes. Only with 1 the events are sent in their order."`
	Timeout               time.Duration  `key:"timeout" default:"10s" unit:"ms" doc:"Most time that one attempt may take."`
	Retry                 Retry          `key:"retry"`
	Batch                 Batch          `key:"batch"`
	Grouping
}

// Grouping are the keys of package group, which stand beside the others.
type Grouping = group.Settings

// Retry says how a failed attempt is repeated.
type Retry struct {
	Initial time.Duration `key:"initial" default:"500ms" doc:"Upper bound of the pause after the first failed attempt. It doubles with each further one; the pause itself is random below it."`
	Max     time.Duration `key:"max" default:"1m" doc:"Largest upper bound of the pause. A destination that asks for a longer one gets it, up to 1h."`
	MaxAge  time.Duration `key:"max_age" default:"24h" doc:"Age at which an event that cannot be delivered becomes a dead letter, counted from its arrival; that of a message about several events is counted from when it was made."`
}

// Batch says how many events one request carries, where the destination takes several.
type Batch struct {
	Size  int           `key:"size" default:"0" doc:"Most events of one request; 0 is as many as the output takes."`
	Bytes config.Bytes  `key:"bytes" default:"4MiB" doc:"Most bytes of one request's events, as they are stored. A single larger event is sent alone."`
	Age   time.Duration `key:"age" default:"0s" doc:"How long to wait for a request to fill up. 0 sends at once what there is."`
}

// DefaultSettings returns the settings that hold when nothing is set.
func DefaultSettings() Settings {
	return Settings{
		Timeout: 10 * time.Second,
		Retry:   Retry{Initial: 500 * time.Millisecond, Max: time.Minute, MaxAge: 24 * time.Hour},
		Batch:   Batch{Bytes: 4 << 20},

		Grouping: group.DefaultSettings(),
	}
}

// Validate reports all settings that cannot work, but for those of Grouping, which are
// asked themselves.
func (s Settings) Validate() error {
	var all []error
	must := func(ok bool, key, text string) {
		if !ok {
			all = append(all, config.At(key, errors.New("must "+text)))
		}
	}
	must(s.MaxConcurrentRequests >= 0, "maxconcurrentrequests", "not be negative")
	must(s.Timeout >= time.Millisecond && s.Timeout <= time.Hour, "timeout", "be between 1ms and 1h")
	must(s.Retry.Initial >= time.Millisecond, "retry.initial", "be at least 1ms")
	must(s.Retry.Max >= s.Retry.Initial, "retry.max", "be at least retry.initial")
	must(s.Retry.MaxAge >= 0, "retry.max_age", "not be negative")
	must(s.Batch.Size >= 0, "batch.size", "not be negative")
	must(s.Batch.Bytes >= 1, "batch.bytes", "be at least 1")
	must(s.Batch.Age >= 0 && s.Batch.Age <= time.Hour, "batch.age", "be between 0s and 1h")
	return errors.Join(all...)
}

// concurrency returns how many attempts may run at once.
func (s Settings) concurrency(serial bool) int {
	switch {
	case serial:
		return 1
	case s.MaxConcurrentRequests == 0:
		return maxConcurrent
	}
	return min(s.MaxConcurrentRequests, maxConcurrent)
}

// batchSize returns how many events one attempt may carry when the kind takes most.
func (s Settings) batchSize(most int) int {
	if s.Batch.Size == 0 {
		return max(most, 1)
	}
	return max(min(s.Batch.Size, most), 1)
}

package status

import (
	"time"

	"github.com/saker-security/saker/event"
)

// Snapshot is what there is to tell of a running sensor. All counts are since its start.
type Snapshot struct {
	// Version is the sensor's, EngineVersion that of Falco's rules engine.
	Version, EngineVersion string
	Hostname, Kernel       string
	Started                time.Time
	// Sources are those that are watched.
	Sources []string

	Events []Events
	// Received are the kernel's events that were looked at, Malformed those that could not
	// be read, Missed those that the kernel itself left out, Unwatched system calls by
	// programs of an architecture that is not known.
	Received, Malformed, Missed, Unwatched uint64
	// Other are the events looked at from other sources, by source.
	Other map[string]uint64

	Rules []Rule
	// Alerts are those that went to the reporter, Suppressed those that a rule's limit kept
	// back.
	Alerts, Suppressed uint64

	Processes Processes
	Report    Report
	Files     []File
	// Reloads and FailedReloads are how often rules were read again, with LastReload the
	// last time that it went well.
	Reloads, FailedReloads uint64
	LastReload             time.Time
	// Extra are further values of the sensor's parts, in a fixed order.
	Extra []Value
}

// Events counts one type of the kernel's events.
type Events struct {
	Type string
	// Seen were of interest; of those a filter dropped Filtered, Shed were left out under
	// load, and Lost did not fit into the ring buffer.
	Seen, Filtered, Shed, Lost uint64
}

// Rule counts one rule that can fire, or could before a reload.
type Rule struct {
	Name, Source string
	Priority     event.Priority
	Tags         []string
	// Evaluated is how many events it was tried for, Matched how many it matched, Time an
	// estimate of what that took.
	Evaluated, Matched uint64
	Time               time.Duration
}

// Processes tells of the process table.
type Processes struct {
	// Known and Bytes are what is kept now.
	Known, Bytes uint64
	// Evicted made room, Healed were read from /proc later, HealMissed were gone by then and
	// HealRefused too many at once.
	Evicted, Healed, HealMissed, HealRefused uint64
}

// Report tells of the ways out for alerts.
type Report struct {
	Sent map[string]uint64
	// Dropped are the alerts given up, by way out and reason.
	Dropped map[Drop]uint64
	// Retried are requests made again, Spooled the alerts that went to disk, Queued those
	// that wait in memory and SpoolAlerts those on disk.
	Retried, Spooled, Queued, SpoolAlerts uint64
	SpoolBytes                            int64
}

// Drop is a way out and why it gave alerts up.
type Drop struct{ Sink, Reason string }

// File is a file that the sensor has read.
type File struct {
	Name string
	// SHA256 is in hexadecimal.
	SHA256 string
}

// Value is one more number.
type Value struct {
	// Name is the metric's, such as saker_sensor_containers.
	Name, Help string
	// Label and Of are its one label, if it has any.
	Label, Of string
	// Counter says that the number only grows.
	Counter bool
	Number  float64
}

// dropped are all that were lost, for want of room or to keep room for others.
func (e Events) dropped() uint64 { return e.Shed + e.Lost }

// events sums up the kernel's events.
func (s *Snapshot) events() (sum Events) {
	for _, e := range s.Events {
		sum.Seen += e.Seen
		sum.Filtered += e.Filtered
		sum.Shed += e.Shed
		sum.Lost += e.Lost
	}
	return sum
}

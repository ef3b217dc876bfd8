package journal

import (
	"errors"
	"time"

	"github.com/saker-security/saker/config"
)

// Config is the section journal of the forwarder's configuration.
type Config struct {
	MaxBytes        config.Bytes      `key:"maxbytes" default:"1GiB" doc:"Most disk space the events may take. When it is used up, the oldest events make room; what an output had not yet got of them is counted as lost."`
	MaxAge          time.Duration     `key:"maxage" default:"168h" doc:"How long an event is kept."`
	Sync            string            `key:"sync" default:"interval" oneof:"interval,always" doc:"When events reach the disk itself: interval survives the death of the process and may lose the last 10 seconds in a power cut, always loses nothing and is much slower."`
	DuplicateWindow time.Duration     `key:"duplicatewindow" default:"2m" doc:"How long the UUID of an event is remembered, so that an event that is sent again is stored only once. A remembered UUID takes about 200 bytes of memory."`
	MinFree         config.Bytes      `key:"minfree" default:"64MiB" doc:"Space that the journal leaves free on its disk. Below it senders are asked to come back later, so that what is stored can still be delivered."`
	DeadLetters     DeadLettersConfig `key:"deadletters"`
}

// DeadLettersConfig is the section journal.deadletters.
type DeadLettersConfig struct {
	MaxBytes config.Bytes  `key:"maxbytes" default:"128MiB" doc:"Most disk space the dead letters of all outputs may take together. When it is used up, the oldest make room."`
	MaxAge   time.Duration `key:"maxage" default:"720h" doc:"How long a dead letter is kept."`
}

// The values of Config.Sync.
const (
	SyncInterval = "interval"
	SyncAlways   = "always"
)

// DefaultConfig returns the configuration that holds when nothing is set.
func DefaultConfig() Config {
	return Config{
		MaxBytes:        1 << 30,
		MaxAge:          7 * 24 * time.Hour,
		Sync:            SyncInterval,
		DuplicateWindow: 2 * time.Minute,
		MinFree:         64 << 20,
		DeadLetters:     DeadLettersConfig{MaxBytes: 128 << 20, MaxAge: 30 * 24 * time.Hour},
	}
}

// minBytes is the least that a stream may take: less than a few of the largest events is
// a journal that forgets what it was just given.
const minBytes = 16 << 20

// Validate reports all settings that cannot work.
func (c Config) Validate() error {
	var all []error
	must := func(ok bool, key, text string) {
		if !ok {
			all = append(all, config.At(key, errors.New("must "+text)))
		}
	}
	must(c.MaxBytes >= minBytes, "maxbytes", "be at least 16MiB")
	must(c.MaxAge >= time.Minute, "maxage", "be at least 1m")
	must(c.Sync == SyncInterval || c.Sync == SyncAlways, "sync", "be one of interval, always")
	must(c.DuplicateWindow >= 100*time.Millisecond && c.DuplicateWindow <= c.MaxAge,
		"duplicatewindow", "be at least 100ms and at most maxage")
	must(c.MinFree >= 0, "minfree", "not be negative")
	must(c.DeadLetters.MaxBytes >= minBytes, "deadletters.maxbytes", "be at least 16MiB")
	must(c.DeadLetters.MaxAge >= time.Minute, "deadletters.maxage", "be at least 1m")
	return errors.Join(all...)
}

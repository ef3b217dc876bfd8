package sensing

import (
	"context"
	"os"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
)

// watchInterval is how often the configuration's files are looked at.
const watchInterval = time.Second

// A reloader asks the sensor to read its configuration again, when its files have changed
// or a signal says so, and reads it then.
type reloader struct {
	load   func() (sensor.Config, *config.Loaded, error)
	signal <-chan os.Signal
	// taken is told of each configuration that could be read.
	taken func(sensor.Config, config.Problems)
	// reload has a value whenever the sensor is to read again.
	reload chan struct{}

	start   *config.Loaded
	watcher chan *config.Watcher
	watch   bool
	first   *config.Watcher
}

func newReloader(c sensor.Config, start *config.Loaded, load func() (sensor.Config, *config.Loaded, error),
	signal <-chan os.Signal, taken func(sensor.Config, config.Problems),
) *reloader {
	return &reloader{
		load: load, signal: signal, taken: taken, reload: make(chan struct{}, 1),
		start: start, watcher: make(chan *config.Watcher, 1), watch: c.WatchFiles, first: start.Watch(),
	}
}

// run asks until ctx ends.
func (r *reloader) run(ctx context.Context) {
	var tick <-chan time.Time
	if r.watch {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	watcher := r.first
	for {
		select {
		case <-ctx.Done():
			return
		case watcher = <-r.watcher:
			continue
		case <-r.signal:
		case <-tick:
			if !watcher.Changed() {
				continue
			}
		}
		select {
		case r.reload <- struct{}{}:
		default: // it is asked for already
		}
	}
}

// read reads the configuration for the sensor, and says which keys differ from those of the
// start.
func (r *reloader) read() (sensor.Config, []string, error) {
	if err := r.start.Rereadable(); err != nil {
		return sensor.Config{}, nil, err
	}
	c, loaded, err := r.load()
	if err != nil {
		return sensor.Config{}, nil, err
	}
	r.taken(c, loaded.Warnings)
	select {
	case <-r.watcher: // one that nobody has taken up
	default:
	}
	r.watcher <- loaded.Watch()
	return c, loaded.Changed(r.start), nil
}

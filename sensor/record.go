package sensor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/sensor/capture"
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/runtimes"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// RecordOptions are what Record needs beside the configuration.
type RecordOptions struct {
	Log *slog.Logger
	// Version is what the file says that it was made by.
	Version string
	// Rules, if any, are the rules files instead of the configuration's.
	Rules []string
	// AllKinds records every common kind of event, also those that no rule looks at.
	AllKinds bool
	// NoEnv leaves environments out.
	NoEnv bool
	// Duration and Size end the recording, 0 for no such end and for capture.DefaultSize.
	Duration time.Duration
	Size     int64
	// Ready, if any, is called once the kernel is watched.
	Ready func()
}

// Record writes what the sensor would see with this configuration to a new file, until ctx,
// the duration or the room ends. Nothing is reported.
func Record(ctx context.Context, c Config, file string, o RecordOptions) (capture.Recorded, error) {
	options := capture.Options{
		RingSize: c.ringSize(), Duration: o.Duration, Size: o.Size,
		Header: capture.NewHeader(hostname(), cmp.Or(o.Version, "unknown")), Containers: container.NewResolver(0), Ready: o.Ready,
	}
	if o.AllKinds {
		options.Interest = probe.Interest{Kinds: probe.CommonKinds()}
	} else {
		s := &sensor{Options: Options{Log: o.Log, Rules: o.Rules}, config: c, current: c, hosts: &syscalls.Hosts{}}
		e, _, err := s.load(c)
		if err != nil {
			return capture.Recorded{}, fmt.Errorf("find out what is to be recorded: %w", err)
		}
		options.Interest, options.Header.Rules = e.interest, e.enabledRules()
	}
	options.Interest.OmitEnv = options.Interest.OmitEnv || o.NoEnv
	// What the runtimes tell of containers is recorded too.
	working, stop := context.WithCancel(ctx)
	watcher := runtimes.New(c.Engines, runtimes.Options{Resolver: options.Containers, Log: o.Log})
	var asking sync.WaitGroup
	asking.Go(func() { _ = watcher.Run(working) }) // ends with working, and fails in no other way
	defer asking.Wait()
	defer stop()
	return capture.Record(ctx, file, options)
}

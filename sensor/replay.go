package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/saker-security/saker/sensor/capture"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/throttle"
)

// replay holds what was recorded to the capture file against the rules, as fast as the
// reporter takes the alerts. From the record on all is as it is with a live kernel; the
// machine, its processes, accounts and containers are those of the file, no alert is
// suppressed for being one of many, and no rules are loaded meanwhile.
func (s *sensor) replay(ctx context.Context) error {
	file := s.config.Engine.Replay.File
	player, err := capture.Open(file)
	if err != nil {
		return err
	}
	defer player.Close()
	header := player.Header()
	s.hostname, s.limiter = header.Hostname, throttle.New(throttle.Config{})
	s.table, s.source = player.Processes(), player.Source(s.hosts)
	s.kernel = &loop{source: syscalls.SourceName}
	s.loops = append(s.loops, s.kernel)
	s.Log.Info("a capture is played", "file", file, "hostname", header.Hostname, "started", header.Started, "version", header.Build)
	started := Started{Rules: s.engine.Load().enabledRules()}
	if s.Ready != nil {
		s.Ready(started)
	}
	var alerts uint64
	err = player.Run(ctx, func(rec *probe.Record) {
		// Asking the reporter takes longer than most records.
		if now := s.alerts.Load(); now-alerts >= fewQueued {
			s.awaitRoom(ctx)
			alerts = now
		}
		s.handle(rec)
	})
	s.tellEnd(player)
	s.sayFarewell()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// tellEnd says how far the capture went and what was missing in it.
func (s *sensor) tellEnd(player *capture.Player) {
	records, malformed := player.Records()
	attributes := []any{slog.Uint64("events", records)}
	if malformed > 0 {
		attributes = append(attributes, slog.Uint64("unreadable", malformed))
	}
	end := player.End()
	if end == nil {
		s.Log.Warn("the capture was cut off; all that is there was played", attributes...)
		return
	}
	s.Log.Info("the capture has ended", append(attributes, slog.Uint64("lost", end.Lost), slog.String("reason", end.Reason))...)
}

const (
	// fewQueued is how many alerts may wait in the reporter before a replay waits too.
	fewQueued = 256
	// roomTimeout is how long a replay waits for a reporter that gets nothing out. What does
	// not fit is then dropped and counted, as with a live kernel.
	roomTimeout = 10 * time.Second
	roomTick    = time.Millisecond
)

// awaitRoom waits until few alerts wait in the reporter.
func (s *sensor) awaitRoom(ctx context.Context) {
	deadline := time.Now().Add(roomTimeout)
	tick := time.NewTicker(roomTick)
	defer tick.Stop()
	for s.reporter.Stats().Queued >= fewQueued && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// WatchesKernel says that a sensor with this configuration needs a kernel that can be
// watched.
func (c Config) WatchesKernel() bool { return c.Engine.Kind == kernelEngine }

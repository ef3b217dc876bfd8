package sensor

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

// lossInterval is how often the kernel's counts are looked at, and so the most often that
// losses are reported.
const lossInterval = 30 * time.Second

// watchLosses reports events that the kernel could not hand over because the ring buffer
// was full, as an alert in the form of Falco's.
func (s *sensor) watchLosses(ctx context.Context) {
	tick := time.NewTicker(lossInterval)
	defer tick.Stop()
	var seen, lost, dropped uint64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		dropped = s.logDrops(dropped)
		stats, err := s.probe.Stats()
		if err != nil {
			s.Log.Warn("the probe's counts cannot be read", "error", err)
			continue
		}
		var nowSeen, nowLost uint64
		for _, k := range stats.Kinds {
			nowSeen += k.Seen
			nowLost += k.Lost
		}
		if nowLost > lost {
			s.Log.Warn("events were lost because the ring buffer was full; engine.modern_ebpf.buf_size_preset makes it larger",
				"lost", nowLost-lost, "of", nowSeen-seen)
			s.reporter.Report(lossAlert(s.hostname, time.Now(), nowSeen-seen, nowLost-lost))
		}
		seen, lost = nowSeen, nowLost
	}
}

// logDrops logs alerts that were given up since there were before of them, and returns how
// many there are now. The forwarder is told by the reporter itself.
func (s *sensor) logDrops(before uint64) uint64 {
	reasons, now := map[string]uint64{}, uint64(0)
	for drop, n := range s.reporter.Stats().Dropped {
		reasons[drop.Sink+": "+drop.Reason] = n
		now += n
	}
	if now > before {
		s.Log.Warn("alerts were given up", "alerts", now-before, "since_the_start_by_reason", reasons)
	}
	return now
}

// lossAlert is the alert that tells of lost events. Rule, priority and fields are Falco's,
// whose receivers know them.
func lossAlert(hostname string, now time.Time, seen, lost uint64) event.Event {
	text := strconv.FormatUint(lost, 10)
	return event.Event{
		UUID:     uuid.NewString(),
		Output:   now.Format("15:04:05.000000000") + ": Debug Falco internal: syscall event drop. " + text + " system calls dropped in last " + lossInterval.String() + ".",
		Priority: event.Debug,
		Rule:     "Falco internal: syscall event drop",
		Time:     now.UTC(),
		Source:   "internal",
		Hostname: hostname,
		Fields: event.SortFields([]event.Field{
			{Name: "ebpf_enabled", Value: event.StringValue("1")},
			{Name: "n_drops", Value: event.StringValue(text)},
			{Name: "n_drops_buffer_total", Value: event.StringValue(text)},
			{Name: "n_evts", Value: event.StringValue(strconv.FormatUint(seen, 10))},
		}),
	}
}

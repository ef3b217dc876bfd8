package sensor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/probe"
)

const (
	// lossInterval is how often the kernel's counts are looked at.
	lossInterval = 5 * time.Second
	// dropInterval is how often alerts that were given up are logged.
	dropInterval = 30 * time.Second
)

// kernelCounts are the probe's counts by kind of event.
type kernelCounts = map[probe.Kind]probe.KindStats

// losses decides when events that the kernel could not hand over are told about.
type losses struct {
	Drops
	limiter *rate.Limiter
	// last are the kernel's counts at the last look, untold what has come since the last
	// telling.
	last   kernelCounts
	untold lossReport
	since  time.Time
}

func newLosses(d Drops, now time.Time) *losses {
	return &losses{Drops: d, limiter: rate.NewLimiter(rate.Limit(d.Rate), d.MaxBurst), since: now}
}

// lossReport is what was lost of how much, in which time.
type lossReport struct {
	// shed were left out while the ring was filling up, full did not fit into it.
	seen, shed, full uint64
	kinds            map[probe.Kind]uint64
	span             time.Duration
}

func (r lossReport) lost() uint64 { return r.shed + r.full }

// since returns what has come to the counts since the last ones.
func since(last, counts kernelCounts) lossReport {
	r := lossReport{kinds: map[probe.Kind]uint64{}}
	for k, c := range counts {
		b := last[k]
		r.seen += c.Seen - b.Seen
		r.shed += c.Shed - b.Shed
		r.full += c.Lost - b.Lost
		if n := c.Shed - b.Shed + c.Lost - b.Lost; n > 0 {
			r.kinds[k] = n
		}
	}
	return r
}

// look takes the kernel's counts and reports what is to be told now, if anything is.
func (l *losses) look(counts kernelCounts, now time.Time) (lossReport, bool) {
	r := since(l.last, counts)
	l.last = counts
	l.untold.seen += r.seen
	// An event that is lost was seen, but the two are counted one after the other.
	if r.lost() > 0 && float64(r.lost()) > l.Threshold*float64(max(r.seen, r.lost())) {
		l.untold.shed += r.shed
		l.untold.full += r.full
		if l.untold.kinds == nil {
			l.untold.kinds = map[probe.Kind]uint64{}
		}
		for k, n := range r.kinds {
			l.untold.kinds[k] += n
		}
	}
	if l.untold.lost() == 0 {
		l.untold, l.since = lossReport{}, now
		return lossReport{}, false
	}
	if !l.limiter.AllowN(now, 1) {
		return lossReport{}, false
	}
	told := l.untold
	told.span = now.Sub(l.since)
	l.untold, l.since = lossReport{}, now
	return told, true
}

// watchLosses acts on events that the kernel could not hand over because the ring buffer
// was full, and logs alerts that were given up.
func (s *sensor) watchLosses(ctx context.Context) {
	look, log := time.NewTicker(lossInterval), time.NewTicker(dropInterval)
	defer look.Stop()
	defer log.Stop()
	l := newLosses(s.config.Drops, time.Now())
	var dropped uint64
	failing := false
	for {
		select {
		case <-log.C:
			dropped = s.logDrops(dropped)
			continue
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if s.probe == nil {
			continue
		}
		stats, err := s.probe.Stats()
		if err != nil && !failing {
			s.Log.Warn("the probe's counts cannot be read", "error", err)
		}
		if failing = err != nil; failing {
			continue
		}
		if r, due := l.look(stats.Kinds, time.Now()); due {
			s.actOnLoss(r)
		}
	}
}

// actOnLoss does what syscall_event_drops.actions says.
func (s *sensor) actOnLoss(r lossReport) {
	does := func(action string) bool { return slices.Contains(s.config.Drops.Actions, action) }
	if does("log") {
		s.Log.Warn("events were lost because the ring buffer was filling up; engine.modern_ebpf.buf_size_preset makes it larger",
			"lost", r.lost(), "of", r.seen, "shed", r.shed, "by_type", r.byType())
	}
	if does("alert") {
		s.tell(lossAlert(time.Now(), r))
	}
	if does("exit") {
		s.fail(fmt.Errorf("%d events were lost of %d, and syscall_event_drops.actions says to end then", r.lost(), r.seen))
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

// byType are the losses by the name of the event type.
func (r lossReport) byType() map[string]uint64 {
	all := map[string]uint64{}
	for k, n := range r.kinds {
		all[k.String()] += n
	}
	return all
}

// lossAlert is the alert that tells of lost events. Rule, priority and fields are Falco's,
// whose receivers know them; it tells the types of event one by one, and which were shed
// while there still was room for others.
func lossAlert(now time.Time, r lossReport) event.Event {
	count := func(name string, n uint64) event.Field {
		return event.Field{Name: name, Value: event.StringValue(strconv.FormatUint(n, 10))}
	}
	fields := []event.Field{
		{Name: "ebpf_enabled", Value: event.StringValue("1")},
		count("n_drops", r.lost()), count("n_drops_buffer_total", r.lost()), count("n_drops_shed", r.shed), count("n_evts", r.seen),
	}
	for name, n := range r.byType() {
		fields = append(fields, count("n_drops_buffer_"+name+"_exit", n))
	}
	return event.Event{
		Output:   fmt.Sprintf("Falco internal: syscall event drop. %d system calls dropped in last %v.", r.lost(), r.span.Round(time.Second)),
		Priority: event.Debug,
		Rule:     "Falco internal: syscall event drop",
		Time:     now,
		Source:   internalSource,
		Fields:   event.SortFields(fields),
	}
}

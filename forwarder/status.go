package forwarder

import (
	"context"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/metrics"
	"github.com/saker-security/saker/forwarder/silence"
)

const (
	// statusEvery is how old the figures that are asked of the journal may be. Asking costs
	// the journal work for every output, so neither a scrape nor a page does it.
	statusEvery = 2 * time.Second
	// statusShare is the part of the time, one in so many, that asking may take: a journal
	// that answers slowly is asked less often.
	statusShare = 20
	// statusTime is the longest that all figures are waited for.
	statusTime = 10 * time.Second
)

// statusKeeper holds the latest figures of the journal.
type statusKeeper struct {
	mu      sync.Mutex
	journal journal.Stats
	disk    metrics.Disk // zero for a journal on a NATS cluster
	lags    map[string]journal.Lag
}

// keepStatus asks the journal for its figures again and again, and reports what they say
// of losses, until ctx ends.
func (f *forwarder) keepStatus(ctx context.Context) {
	r := newReporter(f)
	for {
		start := time.Now()
		r.report(ctx, f.askJournal(ctx))
		pause := time.NewTimer(max(statusEvery, statusShare*time.Since(start)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// outputLag is how far an output was behind when the journal was asked.
type outputLag struct {
	*output
	journal.Lag
}

// askJournal renews the figures and returns how far the outputs are behind, those of which
// the journal said so. What it doesn't answer stays as it was.
func (f *forwarder) askJournal(ctx context.Context) []outputLag {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	var answered []outputLag
	lags := map[string]journal.Lag{}
	all := f.delivery.all()
	for _, o := range all {
		if lag, err := o.lag(ctx); err == nil {
			lags[o.Name] = lag
			answered = append(answered, outputLag{o, lag})
		}
	}
	stats, err := f.journal.Stats(ctx)
	disk := f.disk()
	f.status.mu.Lock()
	defer f.status.mu.Unlock()
	f.status.disk = disk
	if err == nil {
		f.status.journal = stats
	}
	for _, o := range all {
		if old, ok := f.status.lags[o.Name]; ok {
			if _, renewed := lags[o.Name]; !renewed {
				lags[o.Name] = old
			}
		}
	}
	f.status.lags = lags
	return answered
}

// disk returns the room that the journal has; nothing for one on a NATS cluster, or when
// it is not known.
func (f *forwarder) disk() metrics.Disk {
	dir, err := f.DataFolder()
	if err != nil || f.Journal.Remote() {
		return metrics.Disk{}
	}
	d, err := metrics.DiskOf(dir)
	if err != nil {
		return metrics.Disk{}
	}
	return d
}

// currentStatus returns the workers' figures of now and the journal's of a moment ago.
func (f *forwarder) currentStatus() metrics.Status {
	f.status.mu.Lock()
	defer f.status.mu.Unlock()
	s := metrics.Status{Fault: f.journal.Ready(), Journal: f.status.journal, Disk: f.status.disk}
	for _, o := range f.delivery.all() {
		s.Outputs = append(s.Outputs, metrics.OutputStatus{
			Name: o.Name, Kind: o.Kind.Name, State: o.state(), Lag: f.status.lags[o.Name],
			MatchFailures: o.route.Failures.Count(),
		})
	}
	for _, known := range f.book.List(time.Now()) {
		switch known.State {
		case silence.Active:
			s.Silences.Active++
		case silence.Pending:
			s.Silences.Pending++
		}
	}
	s.Tracing = f.tracer != nil
	s.Spans.Exported, s.Spans.Dropped = f.tracer.Counts()
	return s
}

// outputStates returns the figures as the API shows them.
func (f *forwarder) outputStates() []api.Output {
	var all []api.Output
	for _, o := range f.currentStatus().Outputs {
		s := o.State
		all = append(all, api.Output{
			Name: o.Name, Kind: o.Kind, State: stateOf(s), Breaker: string(s.Breaker), Limit: s.Limit, InFlight: s.InFlight,
			Pending: o.Lag.Pending, Delivered: s.Delivered, Retries: s.Retries, DeadLetters: s.DeadLetters, Lost: o.Lag.Lost,
			Filtered: s.Filtered, Silenced: s.Silenced, Suppressed: s.Suppressed,
			LastSuccess: given(s.LastSuccess), FailingSince: given(s.FailingSince),
			LastError: s.LastError, LastErrorAt: given(s.LastErrorAt),
		})
	}
	return all
}

// stateOf sums up in a word how an output is doing.
func stateOf(s deliver.State) string {
	switch {
	case s.Held:
		return api.StateHeld
	case !s.Healthy && s.Breaker != deliver.BreakerClosed:
		return api.StateOpen
	case !s.Healthy:
		return api.StateFailing
	case s.Attempts == 0:
		return api.StateIdle
	default:
		return api.StateOK
	}
}

// given returns t, or nil for no time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

package forwarder

import (
	"context"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/metrics"
)

// statusEvery is how old the figures that are asked of the journal may be. Asking costs
// the journal work for every output, so neither a scrape nor a page does it.
const statusEvery = 2 * time.Second

// statusKeeper holds the latest figures of the journal.
type statusKeeper struct {
	mu      sync.Mutex
	journal journal.Stats
	lags    map[string]journal.Lag
}

// keepStatus asks the journal for its figures again and again, until ctx ends.
func (f *forwarder) keepStatus(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		f.askJournal(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// askJournal renews what the journal answers; the rest stays as it was.
func (f *forwarder) askJournal(ctx context.Context) {
	lags := map[string]journal.Lag{}
	for _, o := range f.outputs {
		if lag, err := o.cursor.Lag(ctx); err == nil {
			lags[o.Name] = lag
		}
	}
	stats, err := f.journal.Stats(ctx)
	f.status.mu.Lock()
	defer f.status.mu.Unlock()
	if err == nil {
		f.status.journal = stats
	}
	for name, old := range f.status.lags {
		if _, ok := lags[name]; !ok {
			lags[name] = old
		}
	}
	f.status.lags = lags
}

// currentStatus returns the workers' figures of now and the journal's of a moment ago.
func (f *forwarder) currentStatus() metrics.Status {
	f.status.mu.Lock()
	defer f.status.mu.Unlock()
	s := metrics.Status{Ready: f.journal.Ready() == nil, Journal: f.status.journal}
	for _, o := range f.outputs {
		s.Outputs = append(s.Outputs, metrics.OutputStatus{
			Name: o.Name, Kind: o.Kind.Name, State: o.worker.State(), Lag: f.status.lags[o.Name],
		})
	}
	return s
}

// outputStates returns the figures as the page shows them.
func (f *forwarder) outputStates() []api.Output {
	var all []api.Output
	for _, o := range f.currentStatus().Outputs {
		s := o.State
		shown := api.Output{
			Name: o.Name, Kind: o.Kind, State: "ok", Pending: o.Lag.Pending, Delivered: s.Delivered,
			Retries: s.Retries, DeadLetters: s.DeadLetters, Lost: o.Lag.Lost, LastError: s.LastError,
		}
		switch {
		case !s.Healthy:
			shown.State = "failing"
		case s.Attempts == 0:
			shown.State = "idle"
		}
		if !s.LastSuccess.IsZero() {
			shown.LastSuccess = &s.LastSuccess
		}
		all = append(all, shown)
	}
	return all
}

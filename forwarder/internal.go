package forwarder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
)

// The rules of the events that the forwarder makes itself, of the source "internal".
const (
	// ruleLost reports events that were gone before an output got them.
	ruleLost = "Saker internal: events lost before delivery"
	// ruleRefused reports that senders were refused for a time.
	ruleRefused = "Saker internal: events refused for a time"
)

// reportEvery is how often, at most, the same thing is reported: for losses, the same
// thing is the same output.
const reportEvery = time.Minute

// reporter makes events of what went wrong with other events, so that people hear of it
// where they hear of everything else. One goroutine uses it.
type reporter struct {
	journal  journal.Journal
	live     func() *Loaded
	refusals *refusals
	log      *slog.Logger
	hostname string
	losses   map[string]*loss
}

func newReporter(f *forwarder) *reporter {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return &reporter{
		journal: f.journal, live: f.live.Load, refusals: &f.refusals, log: f.Log,
		hostname: name, losses: map[string]*loss{},
	}
}

// report appends an event for each thing that there is to say.
func (r *reporter) report(ctx context.Context, lags []outputLag) {
	now := time.Now()
	known := map[string]*loss{}
	for _, lag := range lags {
		l := cmp.Or(r.losses[lag.Name], &loss{since: now})
		known[lag.Name] = l
		if count := l.due(lag, now); count > 0 && r.append(ctx, lost(lag.Name, count, l.since)) {
			l.said(now)
			r.appended(known)
		}
	}
	// An output whose lag is unknown for the moment keeps its loss; one that has gone doesn't.
	for _, in := range r.live().Outputs {
		if l := r.losses[in.Name]; l != nil && known[in.Name] == nil {
			known[in.Name] = l
		}
	}
	r.losses = known
	if r.journal.Ready() != nil {
		return
	}
	if e, ok := r.refusals.due(now); ok && r.append(ctx, e) {
		r.refusals.said(now)
		r.appended(known)
	}
}

// appended counts an event of our own that every output may lose in its turn.
func (r *reporter) appended(all map[string]*loss) {
	for _, l := range all {
		l.own++
	}
}

// append stores one event of our own.
func (r *reporter) append(ctx context.Context, e event.Event) bool {
	e.Source, e.Hostname, e.Time, e.Tags = "internal", r.hostname, time.Now().UTC(), []string{"saker"}
	enricher, err := ingest.NewEnricher(r.live().Enrichment)
	if err == nil {
		err = r.journal.Append(ctx, []event.Event{enricher.Enrich(e, false)})
	}
	if err != nil {
		r.log.Debug("an event of the forwarder's own could not be stored yet", "rule", e.Rule, "error", err)
	}
	return err == nil
}

// loss is what is known of the events that one output has lost.
type loss struct {
	of *output
	// seen is how many losses have been dealt with, latest how many there are.
	seen, latest uint64
	// own is how many of our own events the output may still lose. Losing no more than
	// those is not reported, or a report would in time be the cause of the next.
	own uint64
	// since is when nothing was lost that had not been reported, reported when the last
	// report was made.
	since, reported time.Time
}

// due returns how many losses are to be reported now.
func (l *loss) due(lag outputLag, now time.Time) uint64 {
	if l.of != lag.output || lag.Lost < l.seen {
		l.of, l.seen = lag.output, 0 // the journal counts from the opening of the cursor
	}
	l.latest = lag.Lost
	grown := l.latest - l.seen
	if grown <= l.own {
		l.own -= grown
		l.seen, l.since = l.latest, now
		return 0
	}
	if !l.reported.IsZero() && now.Sub(l.reported) < reportEvery {
		return 0
	}
	return grown
}

// said notes that the losses have been reported.
func (l *loss) said(now time.Time) { l.seen, l.own, l.since, l.reported = l.latest, 0, now, now }

func lost(output string, count uint64, since time.Time) event.Event {
	return event.Event{
		Rule: ruleLost, Priority: event.Critical,
		Output: fmt.Sprintf("Events lost by the output %q: %d. The limits of the journal removed them before they could be delivered.", output, count),
		Fields: []event.Field{
			{Name: "saker.count", Value: event.NumberValue(strconv.FormatUint(count, 10))},
			{Name: "saker.output", Value: event.StringValue(output)},
			{Name: "saker.since", Value: event.StringValue(since.UTC().Format(time.RFC3339))},
		},
	}
}

// refusals are the requests that the journal could not store.
type refusals struct {
	mu          sync.Mutex
	first, last time.Time // zero without any
	count       int
	cause       error
	reported    time.Time
}

// watch returns j as ingest uses it, and notes what j refuses.
func (r *refusals) watch(j ingest.Journal) ingest.Journal { return watchedJournal{j, r} }

type watchedJournal struct {
	ingest.Journal
	refusals *refusals
}

// Append implements ingest.Journal.
func (w watchedJournal) Append(ctx context.Context, batch []event.Event) error {
	err := w.Journal.Append(ctx, batch)
	if err != nil && (errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrUnavailable)) {
		w.refusals.note(time.Now(), err)
	}
	return err
}

func (r *refusals) note(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count++; r.count == 1 {
		r.first = now
	}
	r.last, r.cause = now, err
}

// due returns the event that tells of the refusals, now that the journal takes events
// again; false when there is nothing to tell, or not yet.
func (r *refusals) due(now time.Time) (event.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 || now.Sub(r.last) < statusEvery || !r.reported.IsZero() && now.Sub(r.reported) < reportEvery {
		return event.Event{}, false
	}
	reason := "the journal was unavailable"
	if errors.Is(r.cause, journal.ErrFull) {
		reason = "the journal's disk was full"
	}
	took := r.last.Sub(r.first).Round(time.Second)
	return event.Event{
		Rule: ruleRefused, Priority: event.Critical,
		Output: fmt.Sprintf("Requests of senders refused: %d within %s, because %s. Senders that do not try again have lost their events.", r.count, took, reason),
		Fields: []event.Field{
			{Name: "saker.count", Value: event.NumberValue(strconv.Itoa(r.count))},
			{Name: "saker.reason", Value: event.StringValue(reason)},
			{Name: "saker.seconds", Value: event.NumberValue(strconv.Itoa(int(took.Seconds())))},
			{Name: "saker.since", Value: event.StringValue(r.first.UTC().Format(time.RFC3339))},
		},
	}, true
}

// said notes that the refusals have been reported.
func (r *refusals) said(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count, r.reported = 0, now
}

// Package deliver brings the journal's events to the outputs: one Worker an output.
//
// It stands between the journal's consumer and the output's Sender. A Worker pulls the next
// events, sends them in batches, and acknowledges each event exactly when it is dealt with:
// accepted by the destination, or stored among the dead letters.
//
//	fetch ─ batch ─▶ attempt(timeout) ─┬ accepted ──▶ ack
//	                    ▲              ├ rejected ──▶ halve; alone: dead letter, then ack
//	                    │              ├ partly ────▶ each event by its own error
//	                    └─ pause ◀─────┴ not now ───▶ until retry.max_age, then dead letter
//
// Invariants: an event leaves the worker acknowledged or given back, never silently. A dead
// letter is stored before its event is acknowledged. With one attempt at a time events are
// sent in their order. A worker holds at most what its running batches take and 32 events
// more, so that a destination that hangs costs no memory. While it holds events it tells
// the journal so, or they would be delivered to another replica, too.
//
// A worker needs nothing but its options:
//
//	w, err := deliver.New(deliver.Options{Name: "slack", Sender: sender, Batch: kind.Batch,
//		Serial: kind.Serial, Source: consumer, Settings: settings, Log: log})
//	err = w.Run(ctx) // until ctx ends; then close consumer and sender
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
	"github.com/saker-security/saker/outputs"
)

const (
	// fetchWait is how long one question for events waits for the first.
	fetchWait = 5 * time.Second
	// fetchAhead is how many events are fetched at once for an output that takes them one
	// by one: fetching each by itself would cost more than sending it.
	fetchAhead = 32
	// keepAlive is how often the journal is told that an event is still in hand.
	keepAlive = journal.AckWait / 3
	// defaultGrace is how long attempts under way may go on when Run is told to stop.
	defaultGrace = 10 * time.Second
	// lastGrace is how long a Sender may take to return once its context has ended.
	lastGrace = 5 * time.Second
)

// A Source hands out one output's events. *journal.Consumer is one.
type Source interface {
	// Fetch returns the next events, waiting at most wait for the first. None and no error
	// means that there are none yet.
	Fetch(ctx context.Context, limit, maxBytes int, wait time.Duration) ([]journal.Delivery, error)
	// Bury stores a dead letter and returns nil only once it is stored.
	Bury(ctx context.Context, d journal.DeadLetter) error
}

// Options are what a Worker needs. Name, Sender and Source are required.
type Options struct {
	// Name is the output instance's name in logs and states.
	Name   string
	Sender outputs.Sender
	// Batch and Serial are what the output's kind says.
	Batch  int
	Serial bool
	Source Source
	// Settings are the output's own; see DefaultSettings.
	Settings Settings
	// Observer, if any, hears of every attempt.
	Observer Observer
	// Log defaults to slog.Default.
	Log *slog.Logger
	// Grace is how long attempts under way may go on after Run was told to stop; 0 is 10
	// seconds.
	Grace time.Duration
}

// Worker delivers the events of one output. Make one with New.
type Worker struct {
	name     string
	sender   outputs.Sender
	source   Source
	settings Settings
	route    route.Route
	observer Observer
	log      *slog.Logger
	grace    time.Duration

	slots     int
	batchSize int
	held      held
	health    health
}

// New makes a worker. It touches neither the journal nor the network.
func New(o Options) (*Worker, error) {
	if o.Name == "" || o.Sender == nil || o.Source == nil {
		return nil, errors.New("make worker: a name, a sender and a source are required")
	}
	if err := o.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("make worker of output %q: %w", o.Name, err)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if l, ok := o.Sender.(outputs.Limited); ok {
		o.Batch = min(o.Batch, l.MaxBatch())
	}
	log := o.Log.With("output", o.Name)
	return &Worker{
		name: o.Name, sender: o.Sender, source: o.Source, settings: o.Settings,
		route:    route.Route{MinimumPriority: o.Settings.MinimumPriority},
		observer: o.Observer, log: log, grace: o.Grace,
		slots:     o.Settings.concurrency(o.Serial),
		batchSize: o.Settings.batchSize(o.Batch),
		held:      held{all: map[uint64]journal.Delivery{}},
		health:    health{log: log, state: State{Output: o.Name, Healthy: true}},
	}, nil
}

// Run delivers until ctx ends. Then it fetches nothing more, lets the attempts under way
// finish within the grace period, gives back to the journal what isn't dealt with, and
// returns nil. It returns an error when the source is closed, and when a Sender doesn't
// return although its context ended 5 seconds ago. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	r := &run{Worker: w, stop: ctx, slot: make(chan struct{}, w.slots)}
	var endAttempts context.CancelFunc
	r.attempts, endAttempts = context.WithCancel(context.WithoutCancel(ctx))
	defer endAttempts()
	defer r.keepAlive()()

	err := r.loop()

	finished := make(chan struct{})
	go func() { r.sending.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(w.grace):
		endAttempts()
		select {
		case <-finished:
		case <-time.After(lastGrace):
			return errors.Join(err, fmt.Errorf("deliver to %q: an attempt doesn't end although it was told to", w.name))
		}
	}
	return err
}

// run is one Run of a worker.
type run struct {
	*Worker
	stop     context.Context // ends when nothing new is to be begun
	attempts context.Context // ends when what is under way must end, too
	slot     chan struct{}   // taken by a batch while it is being sent
	sending  sync.WaitGroup
}

// loop fetches and dispatches until it is told to stop. It fetches only when a slot is
// free, and holds that slot while it does.
func (r *run) loop() error {
	for failures := 0; r.takeSlot(); {
		ds, err := r.fetch()
		r.dispatch(ds)
		switch {
		case errors.Is(err, journal.ErrClosed):
			return fmt.Errorf("deliver to %q: %w", r.name, err)
		case err != nil && r.stop.Err() == nil:
			failures++
			r.health.journalFailed(err)
			r.pause(backoff(failures, time.Second, 30*time.Second))
		case err == nil:
			failures = 0
		}
	}
	return nil
}

// takeSlot waits for a free slot; false when the run is told to stop before.
func (r *run) takeSlot() bool {
	if r.stop.Err() != nil {
		return false
	}
	select {
	case r.slot <- struct{}{}:
		return true
	case <-r.stop.Done():
		return false
	}
}

// fetch takes the next events in hand: enough for the free slots. When a batch may wait to
// fill up, it waits.
func (r *run) fetch() ([]journal.Delivery, error) {
	free := r.slots - len(r.slot) + 1
	limit := max(r.batchSize*free, fetchAhead)
	bytes := int(min(int64(r.settings.Batch.Bytes)*int64(free), 64<<20))
	ds, err := r.take(limit, bytes, fetchWait)
	if len(ds) == 0 || r.batchSize == 1 || r.settings.Batch.Age == 0 {
		return ds, err
	}
	full := time.Now().Add(r.settings.Batch.Age)
	for err == nil && len(ds) < r.batchSize && size(ds) < int(r.settings.Batch.Bytes) {
		left := time.Until(full)
		if left <= 0 {
			break
		}
		var more []journal.Delivery
		more, err = r.take(limit-len(ds), bytes, left)
		ds = append(ds, more...)
	}
	if len(ds) > 0 && r.stop.Err() != nil {
		err = nil // they are given back by dispatch
	}
	return ds, err
}

// take fetches once, holds what it gets, and leaves out what the route doesn't let pass.
func (r *run) take(limit, bytes int, wait time.Duration) ([]journal.Delivery, error) {
	ds, err := r.source.Fetch(r.stop, limit, bytes, wait)
	passed := ds[:0]
	for _, d := range ds {
		if !r.route.Decide(&d.Event) {
			r.finish(d.Ack())
			r.health.filtered()
			continue
		}
		passed = append(passed, d)
	}
	passed = r.held.add(passed)
	r.health.took(passed)
	return passed, err
}

// dispatch sends ds in batches, each in a slot of its own, as the slots get free. The
// first has its slot already; without a batch that slot is given back.
func (r *run) dispatch(ds []journal.Delivery) {
	if len(ds) == 0 {
		<-r.slot
		return
	}
	for {
		batch := ds[:r.cut(ds)]
		ds = ds[len(batch):]
		r.sending.Go(func() {
			defer func() { <-r.slot }()
			r.send(batch, 0)
		})
		if len(ds) == 0 {
			return
		}
		if !r.takeSlot() {
			r.giveBack(ds)
			return
		}
	}
}

// cut returns how many of ds make the next batch, at least one.
func (r *run) cut(ds []journal.Delivery) int {
	bytes := 0
	for i := range min(len(ds), r.batchSize) {
		if bytes += ds[i].Size; i > 0 && bytes > int(r.settings.Batch.Bytes) {
			return i
		}
	}
	return min(len(ds), r.batchSize)
}

func size(ds []journal.Delivery) (bytes int) {
	for _, d := range ds {
		bytes += d.Size
	}
	return bytes
}

// pause waits for d and returns false when the run is told to stop before.
func (r *run) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.stop.Done():
		return false
	}
}

// Package deliver brings the journal's events to the outputs: one Worker an output.
//
// It stands between the journal's consumer and the output's Sender. One loop fetches,
// asks the route, and gathers what belongs together; lanes, one for each request that may
// be under way, take batches from the queue and keep each until every event of it is dealt
// with: accepted by the destination, or stored among the dead letters.
//
//	fetch ─ route ─ group ─▶ queue ─▶ lane: attempt(timeout) ─┬ accepted ──▶ ack
//	                           ▲              ▲               ├ rejected ──▶ halve; alone: dead letter, ack
//	                         gate           pause ◀───────────┼ not now ───▶ until retry.max_age, then dead letter
//	                  (limit, breaker)                        ├ held ──────▶ the same, and the breaker opens at once
//	                                                          └ partly ────▶ each event by its own error
//
// The gate decides when an attempt may begin. Its limiter adapts how many run at once to
// what the destination takes; its breaker opens when the destination fails again and
// again, and then lets one probe through after each pause until one succeeds.
//
// Invariants: an event leaves the worker acknowledged or given back, never silently. A dead
// letter is stored before its event is acknowledged. With one attempt at a time events are
// sent in their order. A worker holds at most what its lanes and its queue take (queueEvents,
// queueBytes), and fetches nothing more while the breaker is open, so that a destination
// that hangs costs a fixed amount of memory. While it holds events it tells the journal so,
// or they would be delivered to another forwarder, too.
//
// A worker needs nothing but its options:
//
//	w, err := deliver.New(deliver.Options{Name: "slack", Sender: sender, Batch: kind.Batch,
//		Serial: kind.Serial, Source: consumer, Route: route, Settings: settings, Log: log})
//	err = w.Run(ctx) // until ctx ends; then close consumer and sender
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
	"github.com/saker-security/saker/outputs"
)

const (
	// defaultGrace is how long attempts under way may go on when Run is told to stop.
	defaultGrace = 10 * time.Second
	// lastGrace is how long a Sender may take to return once its context has ended.
	lastGrace = 5 * time.Second
)

// A Source hands out one output's events. A journal.Consumer is one.
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
	// Route says which events are sent; what it holds back is acknowledged. Replayed events
	// pass it. The zero Route takes every event.
	Route route.Route
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
	stage    *group.Stage // nil without grouping; but for its figures, the loop's alone
	observer Observer
	log      *slog.Logger
	grace    time.Duration

	slots     int // most attempts at once, and so most lanes
	batchSize int
	health    health

	mu    sync.Mutex // guards what follows
	queue queue
	gate  gate
	held  held
	lanes int     // in use
	idle  []*lane // not in use, without a goroutine
}

// New makes a worker. It touches neither the journal nor the network.
func New(o Options) (*Worker, error) {
	if o.Name == "" || o.Sender == nil || o.Source == nil {
		return nil, errors.New("make worker: a name, a sender and a source are required")
	}
	if err := errors.Join(o.Settings.Validate(), o.Settings.Grouping.Validate()); err != nil {
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
	if c, ok := o.Sender.(outputs.Collecting); ok && o.Settings.Batch.Age == 0 {
		o.Settings.Batch.Age = c.BatchAge()
	}
	log := o.Log.With("output", o.Name)
	w := &Worker{
		name: o.Name, sender: o.Sender, source: o.Source, settings: o.Settings,
		route: o.Route, observer: o.Observer, log: log, grace: o.Grace,
		slots:     o.Settings.concurrency(o.Serial),
		batchSize: o.Settings.batchSize(o.Batch),
		held:      newHeld(),
		health:    health{log: log, state: State{Output: o.Name, Healthy: true}},
	}
	w.gate = newGate(w.slots, o.Settings.Retry)
	w.queue.full, w.queue.fullBytes, w.queue.age = w.batchSize, int(o.Settings.Batch.Bytes), o.Settings.Batch.Age
	if w.batchSize == 1 {
		w.queue.age = 0
	}
	if o.Settings.Grouping.Enabled() {
		w.stage = group.New(o.Settings.Grouping, o.Name)
	}
	return w, nil
}

// Run delivers until ctx ends. Then it fetches nothing more, lets the attempts under way
// finish within the grace period, gives back to the journal what isn't dealt with, and
// returns nil. It returns an error when the source is closed, and when a Sender doesn't
// return although its context ended 5 seconds ago. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	r := &run{Worker: w, room: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	var stop, endAttempts context.CancelFunc
	r.stop, stop = context.WithCancel(ctx)
	r.attempts, endAttempts = context.WithCancel(context.WithoutCancel(ctx))
	defer endAttempts()
	defer r.tend()()

	err := r.loop()
	stop()
	r.drain()

	finished := make(chan struct{})
	go func() { r.sending.Wait(); close(finished) }()
	grace := time.NewTimer(w.grace)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C:
		endAttempts()
		grace.Reset(lastGrace)
		select {
		case <-finished:
		case <-grace.C:
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
	sending  sync.WaitGroup  // the lanes
	room     chan struct{}   // told when the loop has something to do
	timer    *time.Timer     // rings when dispatch has something to do

	// Under mu, too.
	stopped  bool      // no lane is begun any more
	parked   []*lane   // not in use, with a goroutine
	starving bool      // the loop waits for room
	rings    time.Time // when the timer does
}

// Package runtimes keeps in touch with the container runtimes of the machine and tells a
// container.Resolver what they know.
//
//	sockets ── discover ──> link ──┬─ list, events ── Inspect ──> Resolver.Store
//	                               └─ Resolver.Want ── Inspect ──> Store, or Fail
//
// A container is mostly known before its first process runs, since runtimes report that they
// have made one. For the others, and for runtimes that report nothing, the Resolver is asked
// when a process shows the id.
//
// A socket that another user than root could have put in place, such as that of a rootless
// Podman, is believed less: whoever answers there could make any container look harmless. It
// is asked only about containers of its own kind, after all others, and nothing that it says
// unasked counts.
//
// Nothing here holds up the sensor: queues, answers, connections and times are bounded, and
// what exceeds a bound is left out or counts as not known.
package runtimes

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/sensor/container"
)

// How long things take.
const (
	// callTimeout is how long a runtime may take to answer.
	callTimeout = 5 * time.Second
	// discoverEvery is how often is looked for sockets that have appeared.
	discoverEvery = 5 * time.Second
	// refreshEvery is how often the containers of a runtime without events are listed.
	refreshEvery = 30 * time.Second
	// keepRemoved is how long a removed container is remembered for the events that are still
	// on their way.
	keepRemoved = 30 * time.Second
	// minPause and maxPause bound the time between two attempts to reach a runtime.
	minPause, maxPause = time.Second, time.Minute
)

// askers is how many containers are asked for at once.
const askers = 4

// retries are the pauses after which a container that nobody knew is asked for again: a
// runtime may start a container's process a moment before it admits to know it.
var retries = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond}

// Options are what a Watcher needs beside its configuration.
type Options struct {
	Resolver *container.Resolver
	Log      *slog.Logger
	// HostRoot is put before the sockets' paths. Default: the environment's HOST_ROOT.
	HostRoot string
	// Resolved, if any, is called from several goroutines whenever an answer to Resolver.Want
	// has come: that the container is known now, or that no runtime knows it.
	Resolved func(container.ID)
}

// Watcher asks the runtimes.
type Watcher struct {
	Options
	config Config

	mu    sync.Mutex
	links []*link
	// busy are the sockets that are connected or being connected, tries how often in a row
	// a socket could not be reached.
	busy    map[socket]bool
	tries   map[socket]int
	removed []removal

	again    chan question
	asked    atomic.Uint64
	unknown  atomic.Uint64
	failures atomic.Uint64
}

// question is a container to ask for, for the n-th time after the first.
type question struct {
	id container.ID
	n  int
}

type removal struct {
	id string
	at time.Time
}

// link is a connection to a runtime.
type link struct {
	Runtime
	socket
	// foreign says that another user than root could have put the socket there.
	foreign bool
	// known are the containers that the runtime has told of.
	known map[string]struct{}
}

// Stats says what a Watcher has done.
type Stats struct {
	// Connected is the number of runtimes that are connected.
	Connected int
	// Asked counts the containers asked for on behalf of an event, Unknown those of them that
	// no runtime knew, Failures the calls that failed in another way than that.
	Asked, Unknown, Failures uint64
}

// New returns a Watcher. It connects in Run.
func New(c Config, o Options) *Watcher {
	o.HostRoot = cmp.Or(o.HostRoot, os.Getenv("HOST_ROOT"))
	return &Watcher{
		Options: o, config: c,
		busy: make(map[socket]bool), tries: make(map[socket]int),
		again: make(chan question, container.MaxPending),
	}
}

// Stats returns what the Watcher has done. It may be called while it runs.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{len(w.links), w.asked.Load(), w.unknown.Load(), w.failures.Load()}
}

// Run keeps in touch with the runtimes until ctx ends, and returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	wanted := w.Resolver.Serve(w.Resolved)
	defer w.Resolver.Close()
	for range askers {
		all.Go(func() { w.ask(ctx, wanted) })
	}
	ticker := time.NewTicker(discoverEvery)
	defer ticker.Stop()
	for {
		for _, s := range w.config.sockets(w.HostRoot) {
			if w.take(s) {
				all.Go(func() { w.serve(ctx, s) })
			}
		}
		w.forget(time.Now().Add(-keepRemoved))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// take says whether the caller is to serve the socket.
func (w *Watcher) take(s socket) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[s] {
		return false
	}
	w.busy[s] = true
	return true
}

// serve connects to a socket and stays with it until the connection ends; after one that was
// refused it waits before it lets others try.
func (w *Watcher) serve(ctx context.Context, s socket) {
	opening, cancel := context.WithTimeout(ctx, callTimeout)
	runtime, err := s.kind.open(opening, s.path)
	cancel()
	if err == nil {
		w.stay(ctx, &link{Runtime: runtime, socket: s, foreign: !ownedByRoot(s.path), known: make(map[string]struct{})})
	}
	w.mu.Lock()
	if err == nil {
		delete(w.tries, s)
	} else {
		w.tries[s]++
	}
	tries := w.tries[s]
	w.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		w.failures.Add(1)
		level := slog.LevelDebug
		if tries == 1 {
			level = slog.LevelInfo
		}
		w.Log.Log(ctx, level, "a container runtime does not answer", "runtime", s.kind.name, "socket", s.path, "error", err)
	}
	pause(ctx, backoff(tries))
	w.mu.Lock()
	delete(w.busy, s)
	if _, err := os.Stat(s.path); err != nil {
		delete(w.tries, s)
	}
	w.mu.Unlock()
}

// backoff is how long to wait after so many failures in a row, with jitter.
func backoff(tries int) time.Duration {
	d := min(minPause<<min(tries, 10), maxPause)
	return d/2 + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// stay learns what the runtime has and follows what becomes of it, until the connection ends.
func (w *Watcher) stay(ctx context.Context, l *link) {
	w.Log.Info("a container runtime answers", "runtime", l.kind.name, "socket", l.path)
	w.mu.Lock()
	w.links = append(w.links, l)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.links = slices.DeleteFunc(w.links, func(x *link) bool { return x == l })
		w.mu.Unlock()
		_ = l.Close()
	}()
	// The events are followed from before the list is read, so that nothing falls between.
	watching, stop := context.WithCancel(ctx)
	var helper sync.WaitGroup
	defer helper.Wait()
	defer stop()
	ended := make(chan error, 1)
	var again <-chan time.Time
	helper.Go(func() { ended <- l.Watch(watching, func(c container.Change) { w.changed(watching, l, c) }) })
	err := w.refresh(ctx, l)
	for err == nil {
		select {
		case err = <-ended:
			if !errors.Is(err, container.ErrNoEvents) {
				break
			}
			err, ended = nil, nil
			refresh := time.NewTicker(refreshEvery)
			defer refresh.Stop()
			again = refresh.C
		case <-again:
			err = w.refresh(ctx, l)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if ctx.Err() == nil {
		w.failures.Add(1)
		w.Log.Info("the connection to a container runtime has ended", "runtime", l.kind.name, "socket", l.path, "error", err)
	}
}

// refresh learns of the containers that are there, and of those that are gone.
func (w *Watcher) refresh(ctx context.Context, l *link) error {
	if l.foreign {
		return nil
	}
	listing, cancel := context.WithTimeout(ctx, callTimeout)
	ids, err := l.List(listing)
	cancel()
	if err != nil {
		return err
	}
	there := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		there[id] = struct{}{}
	}
	w.mu.Lock()
	for id := range l.known {
		if _, ok := there[id]; !ok {
			w.remove(l, id)
		}
	}
	w.mu.Unlock()
	for _, id := range ids[:min(len(ids), container.DefaultLimit)] {
		if w.Resolver.Info(container.ID{Full: id, Engine: container.CRI}) == nil {
			w.inspect(ctx, l, id)
		}
	}
	return nil
}

// changed follows one event of the runtime.
func (w *Watcher) changed(ctx context.Context, l *link, c container.Change) {
	if !c.Removed {
		if !l.foreign {
			w.inspect(ctx, l, c.ID)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(l, c.ID)
}

// remove notes that a container is gone which the runtime had told of; w.mu is held. With too
// many of them at once the Resolver's own limits make room.
func (w *Watcher) remove(l *link, id string) {
	if _, ok := l.known[id]; !ok {
		return
	}
	delete(l.known, id)
	if len(w.removed) < container.DefaultLimit {
		w.removed = append(w.removed, removal{id, time.Now()})
	}
}

// forget drops the containers that were removed before the given time.
func (w *Watcher) forget(before time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed = slices.DeleteFunc(w.removed, func(r removal) bool {
		old := r.at.Before(before)
		if old {
			w.Resolver.Forget(r.id)
		}
		return old
	})
}

// inspect asks one runtime about a container and keeps the answer.
func (w *Watcher) inspect(ctx context.Context, l *link, id string) bool {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	info, err := l.Inspect(asking, id)
	cancel()
	if err == nil && info.ID.Full != id {
		err = container.ErrUnknown // it speaks of another one
	}
	if err != nil {
		if !errors.Is(err, container.ErrUnknown) && ctx.Err() == nil {
			w.failures.Add(1)
			w.Log.Debug("a container runtime does not tell about a container", "runtime", l.kind.name, "container", id, "error", err)
		}
		return false
	}
	w.mu.Lock()
	if len(l.known) < container.DefaultLimit {
		l.known[info.ID.Full] = struct{}{}
	}
	// An id can be used again.
	w.removed = slices.DeleteFunc(w.removed, func(r removal) bool { return r.id == id })
	w.mu.Unlock()
	w.Resolver.Store(info.Limited(w.config.LabelMaxLen))
	return true
}

// ask answers what is wanted until ctx ends.
func (w *Watcher) ask(ctx context.Context, wanted <-chan container.ID) {
	for {
		var q question
		select {
		case id := <-wanted:
			q.id = id
			w.asked.Add(1)
		case q = <-w.again:
		case <-ctx.Done():
			return
		}
		w.answer(ctx, q)
	}
}

func (w *Watcher) answer(ctx context.Context, q question) {
	if w.Resolver.Info(q.id) != nil {
		return // an event of the runtime came first
	}
	w.mu.Lock()
	links, hope := order(w.links, q.id.Engine), len(w.busy) > 0
	w.mu.Unlock()
	for _, l := range links {
		if w.inspect(ctx, l, q.id.Full) {
			return
		}
	}
	if hope && q.n < len(retries) && ctx.Err() == nil {
		time.AfterFunc(retries[q.n], func() {
			select {
			case w.again <- question{q.id, q.n + 1}:
			default:
				w.Resolver.Fail(q.id)
			}
		})
		return
	}
	w.unknown.Add(1)
	w.Resolver.Fail(q.id)
}

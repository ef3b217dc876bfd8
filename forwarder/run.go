// Package forwarder takes alerts and brings them to every configured output, without
// losing one.
//
// The work is done by the packages below, in the order in which an event meets them; this
// one reads their configuration, puts them together and starts and stops them.
//
//	POST / ─ ingest ─ journal ─┬─ deliver ─ outputs/slack
//	                           ├─ deliver ─ outputs/elasticsearch
//	                           └─ api ─ page
//
// Invariants: nothing is opened before the whole configuration has been found right. A
// stop goes against the stream: first no more events are taken, then what is being sent
// may finish, then the journal is closed; what was not delivered waits in it for the next
// start. A part that breaks ends Run with its error.
package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/metrics"
)

// Options are what Run needs beside the configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// SensorToken is the bearer token of the sensor in the same program, if there is one.
	// What it sends keeps its UUIDs, also where nobody has to authenticate.
	SensorToken config.Secret
	// Ready, if any, is called once everything runs.
	Ready func(Addresses)
}

// Addresses are where a running forwarder listens.
type Addresses struct {
	// Ingest takes events, over TLS if IngestTLS.
	Ingest    net.Addr
	IngestTLS bool
	// Plain serves the paths moved from the TLS server; nil without any.
	Plain net.Addr
	// Page serves the web page and its API; nil when it is off.
	Page net.Addr
}

// Run forwards events until ctx ends, then stops gracefully and returns nil. It returns an
// error when it cannot start, when a part breaks, or when the stop had to cut something
// off.
func Run(ctx context.Context, l *Loaded, o Options) (err error) {
	for _, w := range l.Source.Warnings {
		o.Log.Warn("configuration", "problem", w.Error())
	}
	dir, err := l.DataFolder()
	if err != nil {
		return err
	}
	f := &forwarder{Loaded: l, Options: o, started: time.Now()}
	f.metrics = metrics.New(metrics.Options{
		Config: l.Prometheus, EventFields: l.fieldNames(), Version: o.Version, Log: o.Log,
	})
	if err := f.buildOutputs(); err != nil {
		return err
	}
	defer f.closeOutputs()
	if err := f.buildHandlers(); err != nil {
		return err
	}
	f.journal, err = journal.Open(ctx, filepath.Join(dir, "journal"), l.Journal, o.Log)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.ShutdownTimeout-2*f.grace())
		defer cancel()
		err = errors.Join(err, f.closeCursors(closing), f.journal.Close(closing))
	}()
	if err := f.openCursors(ctx); err != nil {
		return err
	}
	f.metrics.Watch(f.currentStatus)
	if err := f.openListeners(ctx); err != nil {
		return err
	}
	return f.run(ctx)
}

// forwarder is one Run.
type forwarder struct {
	*Loaded
	Options
	started  time.Time
	metrics  *metrics.Metrics
	journal  *journal.Journal
	outputs  []*output
	status   statusKeeper
	handlers handlers
	servers  []server
	feed     *api.Feed
}

// run starts everything, waits for the end of ctx or the first part that breaks, and stops
// everything in order.
func (f *forwarder) run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(ctx)
	// What is behind the servers goes on until they have stopped.
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	defer stopDelivering()

	var errs firstErrors
	var servers, workers sync.WaitGroup
	for _, o := range f.outputs {
		workers.Go(func() { errs.add(o.worker.Run(delivering), stopServing) })
	}
	workers.Go(func() { f.keepStatus(delivering) })
	workers.Go(func() { f.feed.Run(delivering) })
	for _, s := range f.servers {
		servers.Go(func() { errs.add(s.Run(serving, f.grace()), stopServing) })
	}
	f.announce()

	<-serving.Done()
	f.Log.Info("the forwarder stops", "ran_for", time.Since(f.started).Round(time.Second))
	servers.Wait()
	stopDelivering()
	workers.Wait()
	return errs.join()
}

// grace is what each of the first two stages of a stop may take: the servers, then the
// workers. The rest of the time is for closing the journal.
func (f *forwarder) grace() time.Duration { return f.ShutdownTimeout * 2 / 5 }

// firstErrors collects what went wrong in parts that run side by side.
type firstErrors struct {
	mu  sync.Mutex
	all []error
}

// add keeps err and calls stop, if there is an error.
func (e *firstErrors) add(err error, stop func()) {
	if err == nil {
		return
	}
	e.mu.Lock()
	e.all = append(e.all, err)
	e.mu.Unlock()
	stop()
}

func (e *firstErrors) join() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.all...)
}

// announce says in the log what runs, and calls Ready.
func (f *forwarder) announce() {
	var names []string
	for _, in := range f.Outputs {
		names = append(names, in.Name)
	}
	f.Log.Info("the forwarder has started", "version", f.Version, "outputs", names)
	if len(names) == 0 {
		f.Log.Warn("no output is configured: events are stored and shown on the page, and sent nowhere")
	}
	var at Addresses
	for _, s := range f.servers {
		f.Log.Info("listening", "for", s.name, "address", s.Addr().String(), "tls", s.secure)
		switch s.name {
		case serverIngest:
			at.Ingest, at.IngestTLS = s.Addr(), s.secure
		case serverPlain:
			at.Plain = s.Addr()
		case serverPage:
			at.Page = s.Addr()
		}
	}
	if f.Ready != nil {
		f.Ready(at)
	}
}

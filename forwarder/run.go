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
// start. A part that breaks ends Run with its error. A configuration that is read again
// while everything runs is taken up whole or not at all, and what it does not change is
// not touched.
package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/metrics"
	"github.com/saker-security/saker/forwarder/silence"
	"github.com/saker-security/saker/forwarder/trace"
)

// Options are what Run needs beside the configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// Level, if any, is the level of Log. It follows the configuration when that is read
	// again.
	Level *slog.LevelVar
	// SensorToken is the bearer token of the sensor in the same program, if there is one.
	// What it sends keeps its UUIDs, also where nobody has to authenticate.
	SensorToken config.Secret
	// AuditJudge makes what holds Kubernetes audit events against rules of the given files,
	// none for those that ship. Without it ingest.k8saudit cannot be switched on.
	AuditJudge func(rulesFiles []string) (ingest.AuditJudge, error)
	// Ready, if any, is called once everything runs.
	Ready func(Addresses)
	// Reload, if any, reads the configuration again, as it was read for Run. Run calls it
	// when one of the files has changed that the configuration came from, and with every
	// value from ReloadNow.
	Reload func() (*Loaded, error)
	// ReloadNow asks for the configuration to be read again: SIGHUP.
	ReloadNow <-chan os.Signal
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
	f, err := newForwarder(l, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(context.WithoutCancel(ctx))) }()
	first, err := f.delivery.plan(l.Outputs, f.env(l.Config))
	if err != nil {
		return err
	}
	f.delivery.outputs = first.next
	x, err := newFront(l.Config, o.AuditJudge)
	if err != nil {
		return err
	}
	certificates, err := f.readCertificates()
	if err != nil {
		return err
	}
	if f.journal, err = openJournal(ctx, dir, l.Journal, o.Log); err != nil {
		return err
	}
	f.delivery.journal, f.bucket.journal = f.journal, f.journal
	if err := f.delivery.open(ctx); err != nil {
		return err
	}
	f.metrics.Watch(f.currentStatus)
	f.ring = api.NewRing()
	f.feed = api.NewFeed(f.ring, journalSource{f.journal}, o.Log)
	f.openIngest(x)
	f.openPage(x)
	if err := f.openListeners(ctx, certificates); err != nil {
		return err
	}
	return f.run(ctx, first)
}

// forwarder is one Run.
type forwarder struct {
	// Loaded is the configuration of the start. What cannot change later is read from here,
	// all else from live.
	*Loaded
	Options
	live     atomic.Pointer[Loaded]
	reloads  reloads
	started  time.Time
	metrics  *metrics.Metrics
	tracer   *trace.Tracer // nil without traces
	journal  journal.Journal
	bucket   lateBucket
	book     *silence.Book
	delivery *delivery
	status   statusKeeper
	refusals refusals
	doors    doors
	servers  []server
	ring     *api.Ring
	feed     *api.Feed
}

func newForwarder(l *Loaded, o Options) (*forwarder, error) {
	f := &forwarder{Loaded: l, Options: o, started: time.Now()}
	var err error
	if f.tracer, err = trace.New(l.Tracing, trace.Options{Version: o.Version, CACertFile: l.TLSClient.CACertFile, Log: o.Log}); err != nil {
		return nil, err
	}
	f.metrics = metrics.New(metrics.Options{
		Config: l.Prometheus, EventFields: l.fieldNames(), Journal: l.Journal, Version: o.Version, Log: o.Log,
	})
	f.metrics.Configured(f.started)
	f.reloads.state.InForce = f.started
	f.live.Store(l)
	f.bucket.name = silence.BucketName
	f.book = silence.New(&f.bucket, o.Log)
	f.delivery = &delivery{
		book: f.book, observer: f.tracer.Deliver(f.metrics), source: f.tracer.Source,
		log: o.Log, grace: f.grace(), closing: f.closing(),
	}
	return f, nil
}

// run starts everything, waits for the end of ctx or the first part that breaks, and stops
// everything in order.
func (f *forwarder) run(ctx context.Context, first *plan) error {
	serving, stopServing := context.WithCancel(ctx)
	// What is behind the servers goes on until they have stopped.
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	defer stopDelivering()

	var errs firstErrors
	fail := func(err error) { errs.add(err, stopServing) }
	var servers, workers sync.WaitGroup
	workers.Go(func() { fail(f.book.Run(delivering)) })
	f.awaitSilences(serving)
	for _, o := range first.fresh {
		f.delivery.start(delivering, o, fail)
	}
	workers.Go(func() { f.keepStatus(delivering) })
	workers.Go(func() { f.feed.Run(delivering) })
	for _, s := range f.servers {
		servers.Go(func() { fail(s.Run(serving, f.grace())) })
	}
	servers.Go(func() { f.followConfig(serving, delivering, fail) })
	f.announce()

	<-serving.Done()
	f.Log.Info("the forwarder stops", "ran_for", time.Since(f.started).Round(time.Second))
	servers.Wait()
	stopDelivering()
	workers.Wait()
	f.delivery.wait()
	return errs.join()
}

// close closes what is open: outputs that were never run, the traces and the journal.
func (f *forwarder) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.closing())
	defer cancel()
	err := f.delivery.abandon(ctx)
	var traces sync.WaitGroup
	defer traces.Wait()
	traces.Go(func() {
		if err := f.tracer.Close(ctx); err != nil {
			f.Log.Warn("some traces are not finished", "error", err)
		}
	})
	if f.journal != nil {
		err = errors.Join(err, f.journal.Close(ctx))
	}
	return err
}

// grace is what each of the first two stages of a stop may take: the servers, then the
// workers. The rest of the time is for closing.
func (f *forwarder) grace() time.Duration { return f.ShutdownTimeout * 2 / 5 }

// closing is what closing the outputs may take, and then closing the journal.
func (f *forwarder) closing() time.Duration { return (f.ShutdownTimeout - 2*f.grace()) / 2 }

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

// Package report takes the sensor's alerts out: to standard output, to a file, to syslog,
// and to the forwarder by HTTP.
//
// In the flow it stands last in the sensor: probe, process, rules, report. Its peer is the
// forwarder's ingest, or anything that takes Falco's alerts.
//
//	Report ─┬─ lane ─ stdout
//	        ├─ lane ─ file
//	        ├─ lane ─ syslog
//	        └─ lane ─ queue (memory, then spool on disk) ─ POST, again until it is accepted
//
// Report never waits. Each way out has a lane: a bounded channel and a goroutine, so that
// one that hangs holds up neither the kernel's events nor the other ways. Local ways get
// each alert once. What goes to the forwarder is delivered at least once and in order: it
// stays queued until the forwarder has accepted it, in memory (1024 alerts, 4 MiB) while
// that answers and on disk while it doesn't, so that it survives the process. Beyond its
// limit the spool drops the oldest. Whatever is given up is counted by reason, and the
// forwarder is told so by an internal event once it can be reached.
package report

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
)

// A Sink is one way out. Write takes alerts in order; it returns when they are out, or
// safe, and an error means that some may not be. It is called from one goroutine. A Sink
// that holds something open also implements io.Closer.
type Sink interface {
	Write(ctx context.Context, alerts []event.Event) error
}

// Names of the ways out, in Stats.
const (
	SinkStdout = "stdout"
	SinkFile   = "file"
	SinkSyslog = "syslog"
	SinkHTTP   = "http"
	// SinkProgram is program_output.
	SinkProgram = "program"
)

// Reasons for which alerts are given up, in Stats and in the internal event.
const (
	dropLaneFull   = "queue_full"    // the way out is slower than the alerts
	dropWrite      = "write_error"   // a local way out failed
	dropMemoryFull = "memory_full"   // no spool, and the forwarder can't be reached
	dropSpoolFull  = "spool_full"    // the spool's limit
	dropSpoolError = "spool_error"   // the spool can't be written
	dropExpired    = "spool_expired" // the spool's limit of age
	dropCorrupt    = "spool_corrupt" // the spool can't be read
	dropRejected   = "rejected"      // the receiver says that it can never accept it
	dropTooLarge   = "too_large"     // more than event.MaxEventBytes
	dropShutdown   = "shutdown"      // no spool at the end
)

// Options are what a Reporter needs beside its configuration. All may be zero.
type Options struct {
	// Log is told when a way out fails and when it works again; slog.Default if nil.
	Log *slog.Logger
	// Stdout stands for os.Stdout.
	Stdout io.Writer
	// Hostname is the machine that internal events are about.
	Hostname string
	// Grace is how long Run goes on delivering after its context is done; 5 s if zero.
	Grace time.Duration
}

// Stats counts alerts since the start.
type Stats struct {
	// Sent are the alerts that each way out has taken.
	Sent map[string]uint64
	// Dropped are those given up.
	Dropped map[Drop]uint64
	// Retried are the HTTP requests that failed and were made again.
	Retried uint64
	// Spooled are the alerts that were written to the spool.
	Spooled uint64
	// Queued are the alerts in memory that wait for any way out.
	Queued uint64
	// SpoolAlerts and SpoolBytes are what the spool holds now.
	SpoolAlerts uint64
	SpoolBytes  int64
	// HTTPError and SpoolError say what is wrong at present, "" if nothing is.
	HTTPError, SpoolError string
}

// Drop is a way out and why it gave alerts up.
type Drop struct{ Sink, Reason string }

// A Reporter takes alerts out.
type Reporter struct {
	log   *slog.Logger
	grace time.Duration
	// capacity is that of each lane, and slow how long a write may take before it is logged.
	capacity int
	slow     time.Duration
	lanes    []*lane
	http     *httpSink // nil if not enabled
	counts   counts

	mu      sync.RWMutex
	stopped bool
	stop    chan struct{}
}

// New makes a Reporter and opens its spool and file. It connects to nothing. Run must be
// called, also to close them.
func New(cfg Config, opts Options) (*Reporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Reporter{
		log: opts.Log, grace: cmp.Or(opts.Grace, 5*time.Second), stop: make(chan struct{}),
		capacity: cmp.Or(cfg.Queue.Capacity, laneCapacity), slow: cmp.Or(cfg.Timeout, defaultTimeout),
		counts: counts{sent: map[string]uint64{}, dropped: map[Drop]uint64{}},
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	if cfg.Stdout.Enabled {
		var out io.Writer = os.Stdout
		if opts.Stdout != nil {
			out = opts.Stdout
		}
		r.addLane(SinkStdout, &writerSink{out: out, format: cfg.Format})
	}
	if cfg.File.Enabled {
		f, err := newFileSink(cfg.File, cfg.Format)
		if err != nil {
			return nil, err
		}
		r.addLane(SinkFile, f)
	}
	if cfg.Syslog.Enabled {
		r.addLane(SinkSyslog, &syslogSink{paths: syslogPaths, format: cfg.Format})
	}
	if cfg.Program.Enabled {
		r.addLane(SinkProgram, &programSink{Program: cfg.Program, format: cfg.Format, timeout: r.slow})
	}
	if cfg.HTTP.Enabled {
		sink, err := newHTTPSink(cfg, opts.Hostname, r.log, &r.counts)
		if err != nil {
			return nil, errors.Join(err, r.closeSinks())
		}
		r.http = sink
		r.addLane(SinkHTTP, sink)
	}
	return r, nil
}

func (r *Reporter) addLane(name string, s Sink) {
	r.lanes = append(r.lanes, &lane{
		name: name, sink: s, log: r.log, counts: &r.counts,
		in: make(chan event.Event, r.capacity), reopen: make(chan struct{}, 1), slow: r.slow,
	})
}

// Report hands e to all ways out. It never waits: where there is no room, e is counted as
// dropped. It may be called at any time, from any goroutine.
func (r *Reporter) Report(e event.Event) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, l := range r.lanes {
		if r.stopped {
			r.counts.drop(l.name, dropShutdown, 1)
			continue
		}
		select {
		case l.in <- e:
		default:
			r.counts.drop(l.name, dropLaneFull, 1)
		}
	}
}

// Reopen closes the file and opens it anew, after somebody has moved it away.
func (r *Reporter) Reopen() {
	for _, l := range r.lanes {
		select {
		case l.reopen <- struct{}{}:
		default:
		}
	}
}

// Run takes alerts out until ctx is done, and then goes on for the grace period with those
// reported until then. What the forwarder has not accepted by its end stays in the spool.
// The error says what could not be finished.
func (r *Reporter) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var lanes, http sync.WaitGroup
	for _, l := range r.lanes {
		lanes.Go(func() { l.run(sending, r.stop) })
	}
	if r.http != nil {
		http.Go(func() { r.http.run(sending) })
	}
	<-ctx.Done()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	close(r.stop)

	finished := make(chan error, 1)
	go func() {
		lanes.Wait()
		if r.http != nil {
			close(r.http.stopping)
		}
		http.Wait()
		finished <- r.closeSinks()
	}()
	select {
	case err := <-finished:
		return err
	case <-time.After(r.grace):
	}
	cancel()
	// Only a write to a pipe or disk that hangs can last any longer. The process ends
	// without it.
	select {
	case err := <-finished:
		return err
	case <-time.After(time.Second):
		return errHangs
	}
}

func (r *Reporter) closeSinks() error {
	var errs []error
	for _, l := range r.lanes {
		if c, ok := l.sink.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

var errHangs = errors.New("report alerts: a write has not returned in time")

// Stats returns the counts.
func (r *Reporter) Stats() Stats {
	r.counts.mu.Lock()
	s := Stats{
		Sent: maps.Clone(r.counts.sent), Dropped: maps.Clone(r.counts.dropped),
		Retried: r.counts.retried, HTTPError: r.counts.httpError,
	}
	r.counts.mu.Unlock()
	for _, l := range r.lanes {
		s.Queued += uint64(len(l.in))
	}
	if r.http == nil {
		return s
	}
	q := r.http.queue.stats()
	s.Queued += q.memory
	s.Spooled, s.SpoolAlerts, s.SpoolBytes = q.spooled, q.spool, q.spoolBytes
	if q.err != nil {
		s.SpoolError = q.err.Error()
	}
	return s
}

// counts are the numbers of Stats, and those the forwarder has not been told of yet.
type counts struct {
	mu        sync.Mutex
	sent      map[string]uint64
	dropped   map[Drop]uint64
	untold    map[string]uint64
	retried   uint64
	httpError string
}

func (c *counts) drop(sink, reason string, n uint64) {
	c.dropQuietly(sink, reason, n)
	if sink != SinkHTTP {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.untold == nil {
		c.untold = map[string]uint64{}
	}
	c.untold[reason] += n
}

// dropQuietly counts without telling the forwarder.
func (c *counts) dropQuietly(sink, reason string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped[Drop{sink, reason}] += n
}

func (c *counts) addSent(sink string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[sink] += uint64(n)
}

// failed counts a request that is made again.
func (c *counts) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retried++
	c.httpError = err.Error()
}

func (c *counts) setHTTPError(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.httpError = text
}

// tell returns what the forwarder has not been told yet, and takes it for told.
func (c *counts) tell() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	untold := c.untold
	c.untold = nil
	return untold
}

func (c *counts) anyUntold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.untold) > 0
}

// Package audit is the sensor's source of Kubernetes audit events: it takes them from the
// API server and gives them fields that rules of the source k8s_audit are held against.
//
//	API server ─┬─ POST ─ webhook ─┐
//	            └─ audit.log ─ tail ┴─ queue ─ Event ─ fields.Field.Extract ─> rules
//
// In the flow it stands where probe, process and container stand for the kernel's events. A
// body is answered with 200 once it is in the queue, and what is in the queue is judged before
// Run returns; a full queue is answered with 503, so that the API server tries again, and
// makes the tail wait. How far the log was judged is remembered, so that a restart misses
// nothing and after a crash a second's worth comes again.
//
// Everything is bounded: a body (MaxBodyBytes), an event (MaxEventBytes, document.MaxDepth),
// a line of the log, and what waits in the queue. An event is parsed once, when it is judged,
// by one goroutine.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options are what a Source needs beside its configuration.
type Options struct {
	// Log is told of events that are given up, and when the log is waited for; slog.Default
	// if nil.
	Log *slog.Logger
	// Hostname is evt.hostname.
	Hostname string
	// Ready, if any, is called with the address of the webhook once it listens.
	Ready func(net.Addr)
}

// Source watches what its configuration names.
type Source struct {
	config   Config
	options  Options
	log      *slog.Logger
	queue    *queue
	tail     *tail
	webhook  *webhook
	counters counters
}

// New returns a Source. It reads the certificates, but neither listens nor opens the log.
func New(c Config, o Options) (*Source, error) {
	s := &Source{config: c, options: o, log: o.Log, queue: newQueue()}
	if s.log == nil {
		s.log = slog.Default()
	}
	if c.Webhook.Enabled {
		var err error
		if s.webhook, err = newWebhook(c.Webhook, s); err != nil {
			return nil, err
		}
		for _, w := range c.Webhook.warnings() {
			s.log.Warn("the audit webhook is not safe", "problem", w, "listen", c.Webhook.Listen)
		}
	}
	if c.Log.Path != "" {
		s.tail = &tail{Log: c.Log, source: s}
	}
	return s, nil
}

// Run takes audit events and calls handle for each, from this goroutine, until ctx ends and
// all that was accepted before has been handled. The event and what is extracted from it is
// good until handle returns. It returns nil, or an error when the webhook cannot listen or
// serve.
func (s *Source) Run(ctx context.Context, handle func(*Event)) error {
	taking, stop := context.WithCancel(ctx)
	defer stop()
	var listener net.Listener
	if s.webhook != nil {
		var err error
		if listener, err = s.webhook.listen(taking); err != nil {
			return fmt.Errorf("watch the API server: %w", err)
		}
		if s.options.Ready != nil {
			s.options.Ready(listener.Addr())
		}
	}
	var takers sync.WaitGroup
	var serveErr error
	if listener != nil {
		takers.Go(func() {
			serveErr = s.webhook.serve(taking, listener)
			stop()
		})
	}
	if s.tail != nil {
		takers.Go(func() { s.tail.run(taking) })
	}
	takers.Go(func() { <-taking.Done() })
	all := make(chan struct{})
	go func() {
		takers.Wait()
		close(all)
	}()
	s.judge(all, handle)
	<-all
	if s.tail != nil {
		s.tail.finish()
	}
	if serveErr != nil {
		return fmt.Errorf("watch the API server: %w", serveErr)
	}
	return nil
}

// judge handles deliveries until all is closed and nothing is left.
func (s *Source) judge(all <-chan struct{}, handle func(*Event)) {
	e := &Event{hostname: s.options.Hostname}
	drops := drops{log: s.log}
	tell := time.NewTicker(dropInterval)
	defer tell.Stop()
	defer drops.tell()
	for {
		select {
		case d := <-s.queue.deliveries:
			s.handle(e, d, &drops, handle)
		case <-tell.C:
			drops.tell()
		case <-all:
			for {
				select {
				case d := <-s.queue.deliveries:
					s.handle(e, d, &drops, handle)
				default:
					return
				}
			}
		}
	}
}

func (s *Source) handle(e *Event, d delivery, drops *drops, handle func(*Event)) {
	if d.err != nil {
		s.drop(d.err, drops)
	}
	for _, text := range d.events {
		if err := e.Read(text); err != nil {
			s.drop(err, drops)
			continue
		}
		s.counters.events.Add(1)
		handle(e)
	}
	e.clear()
	s.queue.release(d.size)
	if d.mark.file != nil {
		s.tail.judged(d.mark)
	}
}

func (s *Source) drop(err error, drops *drops) {
	if errors.Is(err, errTooLarge) {
		s.counters.tooLarge.Add(1)
	} else {
		s.counters.malformed.Add(1)
	}
	drops.add(err)
}

// dropInterval is how often the log may say that events were given up.
const dropInterval = time.Minute

// drops makes one line of many.
type drops struct {
	log     *slog.Logger
	n       int
	last    error
	started bool
}

// add notes an event. The first is told at once.
func (d *drops) add(err error) {
	d.n++
	d.last = err
	if !d.started {
		d.started = true
		d.tell()
	}
}

func (d *drops) tell() {
	if d.n == 0 {
		d.started = false
		return
	}
	d.log.Warn("audit events were given up", "events", d.n, "last_reason", d.last)
	d.n = 0
}

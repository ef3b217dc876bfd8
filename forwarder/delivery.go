package forwarder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/silence"
	"github.com/saker-security/saker/outputs"
)

// delivery keeps all outputs going. One goroutine at a time may plan and swap.
type delivery struct {
	journal  journal.Journal
	book     *silence.Book
	observer deliver.Observer
	// source returns what a worker reads a cursor through.
	source func(deliver.Source) deliver.Source
	log    *slog.Logger
	// grace is how long attempts under way may go on when an output stops, closing how long
	// it may then take to close what it has open.
	grace, closing time.Duration

	mu      sync.Mutex
	outputs []*output // sorted by name
	running sync.WaitGroup
}

// all returns the outputs that are configured now, sorted by name. The slice must not be
// changed.
func (d *delivery) all() []*output {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.outputs
}

// names returns the names of the outputs that are configured now.
func (d *delivery) names() []string {
	var all []string
	for _, o := range d.all() {
		all = append(all, o.Name)
	}
	return all
}

// plan is a set of outputs that is ready to take the place of the one that runs.
type plan struct {
	// next are all outputs of the new set. Those that stay as they are are the running ones.
	next []*output
	// fresh are the outputs of next that do not run yet; some of them have one before them.
	fresh []*output
	// gone are running outputs that the new set doesn't have.
	gone []*output
}

// plan builds what is new among the outputs of a configuration and touches nothing that
// runs. The error has everything wrong with any of them.
func (d *delivery) plan(instances []Instance, env outputs.Env) (*plan, error) {
	running := map[string]*output{}
	for _, o := range d.all() {
		running[o.Name] = o
	}
	p := &plan{}
	var errs []error
	for _, in := range instances {
		old := running[in.Name]
		delete(running, in.Name)
		if old != nil && old.isFor(in, env) {
			p.next = append(p.next, old)
			continue
		}
		o, err := newOutput(in, env, d.book)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.before = old
		p.next, p.fresh = append(p.next, o), append(p.fresh, o)
	}
	for _, o := range d.all() {
		if running[o.Name] != nil {
			p.gone = append(p.gone, o)
		}
	}
	if len(errs) > 0 {
		for _, o := range p.fresh {
			if c, ok := o.sender.(io.Closer); ok {
				_ = c.Close() // it has never been used
			}
		}
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// changes returns the names of the outputs that p adds, replaces and removes.
func (p *plan) changes() (added, changed, removed []string) {
	for _, o := range p.fresh {
		if o.before == nil {
			added = append(added, o.Name)
		} else {
			changed = append(changed, o.Name)
		}
	}
	for _, o := range p.gone {
		removed = append(removed, o.Name)
	}
	return added, changed, removed
}

// open finds the outputs' places in the journal, before any event is taken. Should the
// journal be out of reach for now, they find them later.
func (d *delivery) open(ctx context.Context) error {
	for _, o := range d.all() {
		if err := o.open(ctx, d); err != nil {
			return unlessUnavailable(err)
		}
	}
	return unlessUnavailable(d.prune(ctx))
}

func unlessUnavailable(err error) error {
	if errors.Is(err, journal.ErrUnavailable) {
		return nil
	}
	return err
}

// swap puts p into force: outputs that are new start, those that have gone stop, and those
// that have changed go on at the same place in the journal. The others are not touched.
// The outputs run until delivering ends; one that breaks before is told to fail. swap
// returns when everything has stopped and started, or when ctx ends. A stop takes no
// longer than grace and closing, and 5 seconds more for a sender that does not do as told.
func (d *delivery) swap(ctx, delivering context.Context, p *plan, fail func(error)) {
	d.mu.Lock()
	d.outputs = p.next
	d.mu.Unlock()
	var wait []chan struct{}
	for _, o := range p.gone {
		o.stop()
		wait = append(wait, o.done)
	}
	for _, o := range p.fresh {
		d.start(delivering, o, fail)
		wait = append(wait, o.tried)
	}
	for _, c := range wait {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// start runs o until delivering ends or it is stopped.
func (d *delivery) start(delivering context.Context, o *output, fail func(error)) {
	ctx, stop := context.WithCancel(delivering)
	o.stop = stop
	d.running.Go(func() {
		defer stop()
		switch err := o.run(ctx, d); {
		case err == nil:
		case ctx.Err() != nil && delivering.Err() == nil:
			o.log.Warn("an output that was replaced or removed did not stop well", "error", err)
		default:
			fail(err)
		}
	})
}

// wait returns when all outputs have stopped.
func (d *delivery) wait() { d.running.Wait() }

// abandon closes what is still open because it was never run.
func (d *delivery) abandon(ctx context.Context) error {
	var errs []error
	for _, o := range d.all() {
		errs = append(errs, o.close(ctx))
	}
	return errors.Join(errs...)
}

// prune gives up the places of outputs that have not been configured for long. While the
// journal is out of reach it does nothing: the next start or reload will do.
func (d *delivery) prune(ctx context.Context) error {
	if d.journal.Ready() != nil {
		return nil
	}
	deleted, waiting, err := d.journal.Prune(ctx, d.names())
	if err != nil {
		return fmt.Errorf("look for outputs that are no longer configured: %w", err)
	}
	if len(waiting) > 0 {
		d.log.Info("outputs that are no longer configured keep their place for 7 days", "outputs", waiting)
	}
	if len(deleted) > 0 {
		d.log.Info("the places of outputs no longer configured were given up", "outputs", deleted)
	}
	return nil
}

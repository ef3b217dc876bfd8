package forwarder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
	"github.com/saker-security/saker/forwarder/silence"
	"github.com/saker-security/saker/outputs"
)

// output is an instance that is being delivered to.
type output struct {
	Instance
	// env is what its sender was built with.
	env    outputs.Env
	sender outputs.Sender
	route  route.Route
	log    *slog.Logger
	// before is the output whose place in the journal it takes over, nil for none.
	before *output

	// stop ends the output, tried is closed when its place in the journal has been found or
	// the first try to find it has failed, and done when the output has stopped.
	stop        context.CancelFunc
	tried, done chan struct{}

	mu     sync.Mutex
	cursor journal.Consumer // nil while its place is not open
	worker *deliver.Worker
	closed bool
}

// newOutput builds the sender of in and its route, with the silences of book, if any. It
// connects to nothing.
func newOutput(in Instance, env outputs.Env, book *silence.Book) (*output, error) {
	log := env.Log
	env.Log = log.With("output", in.Name)
	path, err := in.liveRoute(book, log)
	if err != nil {
		return nil, fmt.Errorf("set up output %q: %w", in.Name, err)
	}
	sender, err := in.Kind.Build(in.config, env)
	if err != nil {
		return nil, fmt.Errorf("set up output %q: %w", in.Name, err)
	}
	return &output{
		Instance: in, env: env, sender: sender, route: path, log: env.Log, stop: func() {},
		tried: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// isFor reports whether o, as it is, does what in and env ask for.
func (o *output) isFor(in Instance, env outputs.Env) bool {
	was := o.env
	was.Log, env.Log = nil, nil
	return o.Kind.Name == in.Kind.Name && reflect.DeepEqual(was, env) &&
		config.Equal(&o.Settings, &in.Settings) && config.Equal(&o.Routing, &in.Routing) && config.Equal(o.config, in.config)
}

// open finds the output's place in the journal and makes its worker.
func (o *output) open(ctx context.Context, d *delivery) error {
	cursor, err := d.journal.Consumer(ctx, o.Name, o.Settings.MinimumPriority)
	if err != nil {
		return fmt.Errorf("find the place of output %q in the journal: %w", o.Name, err)
	}
	worker, err := deliver.New(deliver.Options{
		Name: o.Name, Sender: o.sender, Batch: o.Kind.Batch, Serial: o.Kind.Serial,
		Source: d.source(cursor), Route: o.route, Settings: o.Settings, Observer: d.observer, Log: d.log, Grace: d.grace,
	})
	if err != nil {
		return errors.Join(err, cursor.Close(ctx))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cursor, o.worker = cursor, worker
	return nil
}

const (
	// openPause is the pause before an output's place is looked for again.
	openPause = 2 * time.Second
	// openTime is the longest that one try takes.
	openTime = 30 * time.Second
)

// run delivers until ctx ends, and then closes the output. Where another output has to
// leave its place first, run ends that one and waits for it.
func (o *output) run(ctx context.Context, d *delivery) error {
	defer close(o.done)
	if o.before != nil {
		o.before.stop()
		<-o.before.done
		o.before = nil
	}
	var err error
	if o.wait(ctx, d) {
		err = o.worker.Run(ctx)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.closing)
	defer cancel()
	return errors.Join(err, o.close(closing))
}

// wait finds the output's place unless it has been found before, however often that has
// to be tried; false when ctx ends first.
func (o *output) wait(ctx context.Context, d *delivery) bool {
	tried := sync.OnceFunc(func() { close(o.tried) })
	defer tried()
	for said := false; o.worker == nil; said = true {
		try, cancel := context.WithTimeout(ctx, openTime)
		err := o.open(try, d)
		cancel()
		tried()
		if err == nil {
			break
		}
		if !said && ctx.Err() == nil {
			o.log.Error("an output waits for its place in the journal", "error", err)
		}
		pause := time.NewTimer(openPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return false
		}
	}
	return true
}

// close gives up the place in the journal, which is kept there, and the sender's
// connections. It waits no longer than ctx. Calling it again does nothing.
func (o *output) close(ctx context.Context) error {
	o.mu.Lock()
	cursor, closed := o.cursor, o.closed
	o.cursor, o.closed = nil, true
	o.mu.Unlock()
	if closed {
		return nil
	}
	var err error
	if cursor != nil {
		err = cursor.Close(ctx)
	}
	if errors.Is(err, journal.ErrUnavailable) {
		o.log.Warn("the journal cannot be told how far an output has come: some events may be delivered again", "error", err)
		err = nil
	}
	c, ok := o.sender.(io.Closer)
	if !ok {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Close() }()
	select {
	case e := <-ended:
		if e != nil {
			o.log.Warn("an output did not close well", "error", e)
		}
	case <-ctx.Done():
		o.log.Warn("an output does not close its connections in time")
	}
	return err
}

// state returns how the output is doing.
func (o *output) state() deliver.State {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.worker == nil {
		return deliver.State{Output: o.Name, Breaker: deliver.BreakerClosed, LastError: "its place in the journal has not been found yet"}
	}
	return o.worker.State()
}

// errNoPlace says that an output's place in the journal is not open.
var errNoPlace = errors.New("the output's place in the journal is not open")

// lag asks the journal how far the output is behind.
func (o *output) lag(ctx context.Context) (journal.Lag, error) {
	o.mu.Lock()
	cursor := o.cursor
	o.mu.Unlock()
	if cursor == nil {
		return journal.Lag{}, errNoPlace
	}
	return cursor.Lag(ctx)
}

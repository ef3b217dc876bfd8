package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// resync is how long a watch follows the changes before it compares all records again.
	// It must be well below markTTL.
	resync = 10 * time.Minute
	// listTimeout bounds the reading of all records.
	listTimeout = 10 * time.Second
	// minPause and maxPause are the pauses between attempts to reach the server again.
	minPause, maxPause = 100 * time.Millisecond, 5 * time.Second
)

// Watch calls changed with every record there is, then ready once, and then changed with
// every change, a nil value for a deleted record, until ctx ends or the connection has been
// closed. It always returns an error. Calls come one at a time. While the server cannot be
// reached it waits, and tells what has changed in the meantime; a bucket that somebody
// deleted is made anew, empty.
func (b *Bucket) Watch(ctx context.Context, changed func(key string, value []byte), ready func()) error {
	w := watch{b: b, changed: changed, ready: ready, known: map[string]uint64{}}
	for pause := minPause; ; {
		began := time.Now()
		err := w.follow(ctx, resync)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case b.js.Conn().IsClosed():
			return fmt.Errorf("watch records: %w", journal.ErrClosed)
		case time.Since(began) > maxPause:
			pause = minPause
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_ = b.Ensure(ctx) // the next attempt says what is wrong
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		}
	}
}

type watch struct {
	b       *Bucket
	changed func(key string, value []byte)
	ready   func() // nil once called
	known   map[string]uint64
}

// follow reads all records, tells the differences to what is known, and follows the
// changes for some time. It always returns an error.
func (w *watch) follow(ctx context.Context, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	r, err := stream.Read(ctx, w.b.js, stream.Range{
		Stream: w.b.o.Stream, Subjects: []string{w.b.o.Subject + ">"}, LastOfEach: true, Buffer: 64,
	})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.list(ctx, r); err != nil {
		return err
	}
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		w.take(m)
	}
}

// list reads what there is when it begins.
func (w *watch) list(ctx context.Context, r *stream.Reader) error {
	// A mark that expires while it is waited for would be waited for in vain.
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	listed := make(map[string]bool, r.Pending())
	for left := r.Pending(); left > 0; {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		listed[w.b.key(m.Subject)] = true
		w.take(m)
		left = m.Pending
	}
	for key := range w.known {
		if !listed[key] {
			delete(w.known, key)
			w.changed(key, nil)
		}
	}
	if w.ready != nil {
		w.ready()
		w.ready = nil
	}
	return nil
}

// take tells of a message, unless it is known.
func (w *watch) take(m stream.Message) {
	key := w.b.key(m.Subject)
	known, there := w.known[key]
	switch {
	case there && known >= m.Sequence:
	case m.Header.Get(deleted) == "":
		w.known[key] = m.Sequence
		w.changed(key, some(m.Data))
	case there:
		delete(w.known, key)
		w.changed(key, nil)
	}
}

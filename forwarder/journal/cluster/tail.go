package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// tailBuffer is how many events a Tail holds ready for its reader, and tailBytes how
	// many bytes of them.
	tailBuffer = 64
	tailBytes  = maxAheadBytes
	// recentBuffer is the same for Recent.
	recentBuffer = 500
	// maxSteps is how often at most the reading of the last events begins further back.
	maxSteps = 8
)

// tail reads events as they are appended.
type tail struct {
	j *Journal
	r *stream.Reader
}

// Tail starts to read, without a cursor in the journal. It reads ahead by at most 64
// events. Close the Tail.
func (j *Journal) Tail(ctx context.Context, from journal.From) (journal.Tail, error) {
	r, err := j.read(ctx, from, tailBuffer)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", j.broken(err))
	}
	return &tail{j, r}, nil
}

func (j *Journal) read(ctx context.Context, from journal.From, buffer int) (*stream.Reader, error) {
	info, err := j.info(ctx)
	if err != nil {
		return nil, err
	}
	last := info.State.LastSeq
	rg := stream.Range{
		Stream: j.names.stream, Subjects: []string{j.names.shared}, Buffer: buffer, BufferBytes: tailBytes,
	}
	switch {
	case from.After > 0 && from.After <= last:
		rg.From = from.After + 1
	case from.After == 0 && !from.Since.IsZero():
		rg.Since = from.Since
	default:
		return j.readLast(ctx, rg, info.State, uint64(max(from.Last, 0)))
	}
	return stream.Read(ctx, j.js, rg)
}

// readLast reads the last n events and what comes behind them. Between them there may be
// events for one output alone, which don't count.
func (j *Journal) readLast(ctx context.Context, rg stream.Range, state jetstream.StreamState, n uint64) (*stream.Reader, error) {
	rg.From = state.LastSeq + 1 - min(n, state.LastSeq)
	for range maxSteps {
		r, err := stream.Read(ctx, j.js, rg)
		if err != nil || r.Pending() >= n || rg.From <= state.FirstSeq {
			return r, err
		}
		r.Close()
		rg.From -= min(n-r.Pending(), rg.From-1)
	}
	return stream.Read(ctx, j.js, rg)
}

// Next returns the next event, waiting for it until ctx ends. Events that cannot be decoded
// are left out. Its error is ctx's own, journal.ErrClosed or journal.ErrUnavailable.
func (t *tail) Next(ctx context.Context) (journal.Entry, error) {
	for {
		m, err := t.r.Next(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return journal.Entry{}, ctx.Err()
		case errors.Is(err, context.Canceled):
			return journal.Entry{}, fmt.Errorf("read the journal: %w", journal.ErrClosed)
		case err != nil:
			return journal.Entry{}, fmt.Errorf("read the journal: %w", t.j.broken(err))
		}
		if e, ok := entry(m); ok {
			return e, nil
		}
	}
}

// Close ends the Tail; it may be called while Next waits.
func (t *tail) Close() { t.r.Close() }

// entry makes an Entry of a message; ok is false for one that cannot be decoded.
func entry(m stream.Message) (e journal.Entry, ok bool) {
	decoded, err := event.Decode(m.Data)
	return journal.Entry{Sequence: m.Sequence, Stored: m.Stored, Event: decoded, More: m.Pending}, err == nil
}

// Recent returns the last n events, oldest first, or as many as there are.
func (j *Journal) Recent(ctx context.Context, n int) ([]journal.Entry, error) {
	if n <= 0 {
		return nil, nil
	}
	r, err := j.read(ctx, journal.From{Last: n}, min(n, recentBuffer))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", j.broken(err))
	}
	defer r.Close()
	var all []journal.Entry
	for left := r.Pending(); left > 0; {
		m, err := r.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", j.broken(err))
		}
		if e, ok := entry(m); ok {
			all = append(all, e)
		}
		left = m.Pending
	}
	return all[max(0, len(all)-n):], nil
}

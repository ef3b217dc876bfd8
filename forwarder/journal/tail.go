package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
)

// tailBuffer is how many events a Tail holds ready for its reader.
const tailBuffer = 64

// Entry is an event with its place in the journal.
type Entry struct {
	// Sequence is the event's place: it grows, and is never used twice.
	Sequence uint64
	// Stored is when the event was appended.
	Stored time.Time
	Event  event.Event
	// More is the number of events behind it at the moment it was read.
	More uint64
}

// From says where a Tail starts.
type From struct {
	// After, if not 0, is the sequence of the last event that the reader has. Should the
	// journal not reach back so far, the Tail starts with the oldest event there is; a
	// sequence that the journal hasn't given out yet counts as 0.
	After uint64
	// Last is the number of past events to start with when After is 0. They are fewer where
	// a damaged disk has left gaps.
	Last int
}

// Tail reads events as they are appended, without a cursor of its own in the journal. It
// reads ahead by at most 64 events; a reader that is slower than the events come is not
// waited for: it skips what the journal's limits remove. One goroutine may use a Tail.
type Tail struct{ messages jetstream.MessagesContext }

// Tail starts to read. Close must be called.
func (j *Journal) Tail(ctx context.Context, from From) (*Tail, error) {
	stream, err := j.js.Stream(ctx, eventStream)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", unavailable(err))
	}
	state := stream.CachedInfo().State
	start := from.After + 1
	if from.After == 0 || from.After > state.LastSeq {
		start = state.LastSeq + 1 - min(uint64(max(from.Last, 0)), state.LastSeq)
	}
	start = max(start, state.FirstSeq, 1)
	consumer, err := j.js.OrderedConsumer(ctx, eventStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", unavailable(err))
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(tailBuffer))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", unavailable(err))
	}
	return &Tail{messages}, nil
}

// Next returns the next event, waiting for it until ctx ends. Events that cannot be decoded
// are left out. Its error is ctx's own, ErrClosed or ErrUnavailable.
func (t *Tail) Next(ctx context.Context) (Entry, error) {
	for {
		if e, ok, err := t.next(ctx); ok || err != nil {
			return e, err
		}
	}
}

// next returns the next entry; ok is false for one that cannot be decoded, of which only
// the place is known.
func (t *Tail) next(ctx context.Context) (e Entry, ok bool, err error) {
	m, err := t.messages.Next(jetstream.NextContext(ctx))
	switch {
	case ctx.Err() != nil:
		return e, false, ctx.Err()
	case errors.Is(err, jetstream.ErrMsgIteratorClosed):
		return e, false, ErrClosed
	case err != nil:
		return e, false, fmt.Errorf("read the journal: %w", unavailable(err))
	}
	meta, err := m.Metadata()
	if err != nil {
		return e, false, fmt.Errorf("read the journal: %w", unavailable(err))
	}
	e = Entry{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, More: meta.NumPending}
	e.Event, err = event.Decode(m.Data())
	return e, err == nil, nil
}

// Close ends the Tail; it may be called while Next waits.
func (t *Tail) Close() { t.messages.Stop() }

// Recent returns the last n events, oldest first, or as many as there are.
func (j *Journal) Recent(ctx context.Context, n int) ([]Entry, error) {
	info, err := j.streamInfo(ctx, eventStream)
	if err != nil {
		return nil, err
	}
	if n <= 0 || info.State.Msgs == 0 {
		return nil, nil
	}
	t, err := j.Tail(ctx, From{Last: n})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var all []Entry
	for {
		e, ok, err := t.next(ctx)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, e)
		}
		if e.Sequence >= info.State.LastSeq || e.More == 0 {
			return all, nil
		}
	}
}

func isNotFound(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }

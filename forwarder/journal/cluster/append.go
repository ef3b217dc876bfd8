package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// appendTimeout is the longest that Append waits for the servers.
	appendTimeout = 10 * time.Second
	// maxInFlight is the most bytes of events that may be on their way to the servers at
	// once. Appends beyond it wait for their turn.
	maxInFlight = 64 << 20
	// perEvent is what an event takes on its way beside its text.
	perEvent = 512
	// letterMargin is what a dead letter needs beside the event: an event that is taken must
	// fit into a letter, too.
	letterMargin = 32 << 10
)

// Append stores events in their order, behind everything stored before. It returns nil
// only when a majority of the replicas has all of them, and takes at most 10 seconds. An
// event whose UUID was stored within the duplicate window counts as stored. An event
// without a UUID is never a duplicate.
//
// After an error some of the events may be stored; the sender sends them all again and
// those are recognised by their UUIDs. The error is, as errors.Is tells, journal.ErrFull or
// journal.ErrUnavailable (try again later), journal.ErrTooLarge (nothing has been stored),
// journal.ErrClosed or ctx's own.
func (j *Journal) Append(ctx context.Context, events []event.Event) error {
	return j.append(ctx, events, func(i int) (subject, id string) {
		return j.names.subject(&events[i]), events[i].UUID
	})
}

// AppendFor stores events for one output alone: its consumer delivers them as Replayed,
// whatever its minimum is; other consumers and Tails never see them. Call is a name for
// this call; repeated within the duplicate window with the same events it stores nothing
// twice. Limits and errors are Append's.
func (j *Journal) AppendFor(ctx context.Context, output, call string, events []event.Event) error {
	name, err := journal.EscapeName(output)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	subject := j.names.only + name
	return j.append(ctx, events, func(i int) (string, string) {
		return subject, replayID(name, call, i, &events[i])
	})
}

// replayID names one event of one AppendFor, so that repeating the call changes nothing
// while another call may send the same event again.
func replayID(output, call string, i int, e *event.Event) string {
	which := e.UUID
	if which == "" {
		which = strconv.Itoa(i)
	}
	sum := sha256.Sum256([]byte(output + "\x00" + call + "\x00" + which))
	return "replay-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// append stores events under the subjects and message ids that label returns; an empty id
// is none.
func (j *Journal) append(ctx context.Context, events []event.Event, label func(int) (subject, id string)) error {
	if len(events) == 0 {
		return nil
	}
	if err := j.Ready(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	texts, size, err := encode(events, int(j.conn.MaxPayload())-letterMargin)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	weight := min(int64(size+len(events)*perEvent), maxInFlight)
	if err := j.inflight.Acquire(waiting, weight); err != nil {
		return j.appendFailed(ctx, err)
	}
	defer j.inflight.Release(weight)

	b := &batch{left: len(events), done: make(chan struct{})}
	id := j.acks.add(b)
	defer j.acks.remove(id)
	if err := j.publish(j.acks.reply(id), texts, label); err != nil {
		return j.appendFailed(ctx, err)
	}
	select {
	case <-b.done:
		if b.err != nil {
			return j.appendFailed(ctx, b.err)
		}
		return nil
	case <-waiting.Done():
		return j.appendFailed(ctx, waiting.Err())
	case <-j.closing:
		return fmt.Errorf("append: %w", journal.ErrClosed)
	}
}

// encode returns the JSON texts of events and how long they are together. None may be
// longer than most, if that is above 0.
func encode(events []event.Event, most int) (texts [][]byte, size int, err error) {
	if most <= 0 || most > event.MaxEventBytes {
		most = event.MaxEventBytes
	}
	texts = make([][]byte, len(events))
	buf := make([]byte, 0, 1024*len(events))
	for i := range events {
		start := len(buf)
		buf = events[i].AppendJSON(buf)
		if len(buf)-start > most {
			return nil, 0, fmt.Errorf("%w: %d bytes, and at most %d are allowed", journal.ErrTooLarge, len(buf)-start, most)
		}
		texts[i] = buf[start:len(buf):len(buf)]
	}
	return texts, len(buf), nil
}

// publish sends the texts to the servers, which answer each to prefix and its place.
func (j *Journal) publish(prefix string, texts [][]byte, label func(int) (subject, id string)) error {
	id := []string{""}
	with := nats.Header{nats.MsgIdHdr: id}
	for i, text := range texts {
		m := nats.Msg{Data: text, Reply: prefix + strconv.Itoa(i)}
		if m.Subject, id[0] = label(i); id[0] != "" {
			m.Header = with
		}
		if err := j.conn.PublishMsg(&m); err != nil {
			return err
		}
	}
	return nil
}

// appendFailed turns what went wrong into one of our errors.
func (j *Journal) appendFailed(ctx context.Context, err error) error {
	full := errors.Is(err, journal.ErrFull)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("append: %w", ctx.Err())
	case errors.Is(err, journal.ErrClosed), errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("append: %w", journal.ErrClosed)
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("the NATS cluster didn't answer within %s", appendTimeout)
	}
	if !full {
		err = journal.Unavailable(err)
	}
	// Until the cluster has been examined others need not wait for the same answer.
	j.health.fault.Store(&err)
	j.examineSoon()
	return fmt.Errorf("append: %w", err)
}

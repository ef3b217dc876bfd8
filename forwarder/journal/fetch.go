package journal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
)

const (
	// maxFetch is the most events that one Fetch returns.
	maxFetch = 1000
	// minFetchBytes is the least that a fetch may ask for: the largest message must fit.
	minFetchBytes = maxMessage + 64<<10
	// fetchGrace is how much longer than asked a Fetch waits for the log's last word.
	fetchGrace = time.Second
)

var (
	ackDone     = []byte("+ACK")
	ackNak      = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

// Delivery is an event handed to one output.
type Delivery struct {
	Event event.Event
	// Sequence is the event's place in the journal. It grows without being dense for one
	// output, and is never used twice.
	Sequence uint64
	// Stored is when the event was appended.
	Stored time.Time
	// Attempt counts how often the event has been handed to this output, from 1. More than
	// 1 means that the destination may have it already.
	Attempt int
	// Size is about how many bytes the event takes in the journal.
	Size int
	Receipt
}

// Receipt is what the reader of a delivery says about it. Exactly one of Ack and Nak ends
// it. Neither waits for the log: should the process die right after it, the event is
// delivered once more.
type Receipt interface {
	// Ack says that the event is dealt with and is not to be delivered again.
	Ack() error
	// InProgress says that it is being dealt with, and starts AckWait anew.
	InProgress() error
	// Nak gives it back, to be delivered again after delay.
	Nak(delay time.Duration) error
}

type receipt struct {
	conn  *nats.Conn
	reply string
}

func (r receipt) Ack() error        { return r.conn.Publish(r.reply, ackDone) }
func (r receipt) InProgress() error { return r.conn.Publish(r.reply, ackProgress) }

func (r receipt) Nak(delay time.Duration) error {
	if delay <= 0 {
		return r.conn.Publish(r.reply, ackNak)
	}
	return r.conn.Publish(r.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds()))
}

// Fetch returns the next events, in order: what there is now, or, when there is nothing,
// what comes first within wait. It returns at most limit (and never more than 1000) events
// and, beyond about 4 MiB, no more than maxBytes of them. No events and no error means that
// there were none; ctx's end is an error only when there are no events to return.
//
// What cannot be decoded is put among the dead letters and left out.
func (c *Consumer) Fetch(ctx context.Context, limit, maxBytes int, wait time.Duration) ([]Delivery, error) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	if c.closed {
		return nil, fmt.Errorf("fetch for %q: %w", c.name, ErrClosed)
	}
	limit = min(max(limit, 1), maxFetch)
	c.losses.before()
	reply, err := c.request(limit, max(maxBytes, minFetchBytes), wait)
	if err != nil {
		return nil, fmt.Errorf("fetch for %q: %w", c.name, unavailable(err))
	}
	timer := time.NewTimer(wait + fetchGrace)
	defer timer.Stop()
	var got []Delivery
	for len(got) < limit {
		var m *nats.Msg
		select {
		case m = <-c.messages:
		case <-timer.C:
			return c.fetched(got), nil
		case <-ctx.Done():
			if len(got) == 0 {
				return nil, ctx.Err()
			}
			return c.fetched(got), nil
		}
		switch code := status(m); {
		case code == "":
			if d, ok := c.decode(ctx, m); ok {
				got = append(got, d)
			}
		case m.Subject != reply:
			// The end of an earlier fetch that ctx had cut short.
		case code == "404", code == "408", len(got) > 0:
			return c.fetched(got), nil
		default: // no storage, shutting down, cursor deleted
			return nil, fmt.Errorf("fetch for %q: %w: the log answers %s %s", c.name, ErrUnavailable, code, m.Header.Get("Description"))
		}
	}
	return c.fetched(got), nil
}

func (c *Consumer) fetched(got []Delivery) []Delivery {
	c.losses.after(len(got) > 0)
	return got
}

// request asks the log for events; it answers to the subject returned. With no_wait and an
// expiry the log answers with what there is as soon as there is anything.
func (c *Consumer) request(limit, maxBytes int, wait time.Duration) (reply string, err error) {
	c.requests++
	reply = c.inbox + strconv.FormatUint(c.requests, 36)
	ask := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"no_wait":true`, limit, maxBytes)
	if wait > 0 {
		ask = fmt.Appendf(ask, `,"expires":%d`, max(wait, time.Millisecond).Nanoseconds())
	}
	return reply, c.j.conn.PublishRequest(c.next, reply, append(ask, '}'))
}

// decode makes a Delivery of a message. A message that isn't an event is buried here.
func (c *Consumer) decode(ctx context.Context, m *nats.Msg) (Delivery, bool) {
	c.last = m
	d := Delivery{Attempt: 1, Size: len(m.Data), Receipt: receipt{c.j.conn, m.Reply}}
	meta, err := m.Metadata()
	if err == nil {
		d.Sequence, d.Stored, d.Attempt = meta.Sequence.Stream, meta.Timestamp, int(meta.NumDelivered)
		c.losses.delivered(meta)
		if d.Sequence <= c.seenBefore {
			d.Attempt = max(d.Attempt, 2)
		}
		d.Event, err = event.Decode(m.Data)
	}
	if err == nil {
		return d, true
	}
	letter := DeadLetter{
		Output: c.name, Raw: string(m.Data), Sequence: d.Sequence, Stored: d.Stored,
		Attempts: 0, LastError: fmt.Sprintf("decode the stored event: %v", err), Time: time.Now(),
	}
	if err := c.Bury(ctx, letter); err != nil {
		c.j.log.Error("an event that cannot be decoded is tried again later", "output", c.name, "sequence", d.Sequence, "error", err)
		return d, false // AckWait brings it back
	}
	c.j.log.Error("an event cannot be decoded and is now a dead letter", "output", c.name, "sequence", d.Sequence, "error", err)
	_ = d.Ack()
	return d, false
}

// status returns the code of a message that is the log's remark and not an event.
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || m.Header == nil {
		return ""
	}
	return m.Header.Get("Status")
}

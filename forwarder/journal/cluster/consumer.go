package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// maxInHand is the most events of one output that all forwarders together may have in
	// hand. The servers keep account of each of them.
	maxInHand = 20_000
	// fresh is for how long the time of a consumer's last use is not written again.
	fresh = 24 * time.Hour
	// seenKey is the metadata entry with the time of a consumer's last use.
	seenKey = "saker.seen"
	// gather is how long a Fetch that has something waits for more that is on its way.
	gather = 2 * time.Millisecond
	// recheck is how often a Fetch that waits makes sure that its request still stands.
	recheck = time.Second
)

// Consumer is this forwarder's share in the durable cursor of one output. One goroutine at
// a time may call Fetch; the other methods, and those of the deliveries, may be called at
// any time.
type Consumer struct {
	j       *Journal
	name    string // of the output
	durable string
	filters []string

	fetching sync.Mutex
	pull     *puller
	attached bool // the consumer is in the servers, as far as we know

	mu     sync.Mutex
	closed bool
	inHand map[uint64]string // the places to answer to, by sequence
	acked  string            // where the last acknowledgement went

	losses losses
}

var _ journal.Consumer = (*Consumer)(nil)

// Consumer opens the cursor called name, which is the output's name, for events of the
// minimum priority and above and for test events. A name that is new starts with the
// events appended from now on, or from when the cluster can be reached; a known one goes
// on where it stopped, and its minimum may differ from before. Where forwarders open it
// with different minimums, that of the last one counts for all.
//
// A name has 1 to 64 bytes. In one process a cursor may be open once at a time. Close it
// before the journal.
func (j *Journal) Consumer(ctx context.Context, name string, minimum event.Priority) (journal.Consumer, error) {
	c, err := j.consumer(ctx, name, minimum)
	if err != nil {
		return nil, fmt.Errorf("open cursor %q: %w", name, err)
	}
	return c, nil
}

func (j *Journal) consumer(ctx context.Context, name string, minimum event.Priority) (*Consumer, error) {
	durable, err := journal.EscapeName(name)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		j: j, name: name, durable: durable, filters: j.names.filters(durable, minimum),
		inHand: map[uint64]string{},
	}
	c.losses.c = c
	if !j.claim(name) {
		return nil, errors.New("it is open already")
	}
	if c.pull, err = newPuller(j.conn, "$JS.API.CONSUMER.MSG.NEXT."+j.names.stream+"."+durable, j.ackWait); err != nil {
		j.release(name)
		return nil, j.broken(err)
	}
	// Without the cluster the cursor is opened by the first Fetch that finds it back.
	if err := c.attach(ctx); err != nil && (ctx.Err() != nil || !errors.Is(j.broken(err), journal.ErrUnavailable)) {
		_, _ = c.pull.close(ctx)
		j.release(name)
		return nil, err
	}
	return c, nil
}

func (j *Journal) claim(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.consumers[name] {
		return false
	}
	j.consumers[name] = true
	return true
}

func (j *Journal) release(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.consumers, name)
}

// broken says which of the journal's errors err is.
func (j *Journal) broken(err error) error {
	switch {
	case errors.Is(err, journal.ErrUnavailable), errors.Is(err, journal.ErrClosed):
		return err
	case errors.Is(err, nats.ErrConnectionClosed):
		return journal.ErrClosed
	}
	return journal.Unavailable(err)
}

// attach makes the durable consumer in the servers, or brings an existing one up to date.
func (c *Consumer) attach(ctx context.Context) error {
	if !c.j.conn.IsConnected() {
		return errDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	err := c.update(ctx)
	for range 2 { // another forwarder may make it at the same moment
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			break
		}
		if err = c.create(ctx); isTaken(err) {
			err = c.update(ctx)
		}
	}
	if err != nil {
		return err
	}
	// What was lost while nobody looked is to be told before anything is handed over.
	info, err := c.info(ctx)
	if err != nil {
		return err
	}
	if _, err := c.losses.observe(ctx, info); err != nil {
		return err
	}
	c.attached = true
	return nil
}

// isTaken reports whether err says that there is a consumer of that name already.
func isTaken(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, jetstream.ErrConsumerExists) || ok && e.ErrorCode == jetstream.JSErrCodeConsumerNameExists
}

// update brings the consumer up to date, if there is one.
func (c *Consumer) update(ctx context.Context) error {
	existing, err := c.j.js.Consumer(ctx, c.j.names.stream, c.durable)
	if err != nil {
		return err
	}
	cfg := existing.CachedInfo().Config
	if slices.Equal(sorted(cfg.FilterSubjects), sorted(c.filters)) && time.Since(lastUse(existing.CachedInfo())) < fresh {
		return nil
	}
	cfg.FilterSubject, cfg.FilterSubjects, cfg.Metadata = "", c.filters, seenNow()
	if _, err = c.j.js.UpdateConsumer(ctx, c.j.names.stream, cfg); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// create makes a new cursor that starts behind the last event. The place is fixed here:
// "new" would be decided again whenever the servers hand the consumer to another of them.
func (c *Consumer) create(ctx context.Context) error {
	info, err := c.j.info(ctx)
	if err != nil {
		return err
	}
	_, err = c.j.js.CreateConsumer(ctx, c.j.names.stream, jetstream.ConsumerConfig{
		Durable: c.durable, Description: "output " + c.name, Metadata: seenNow(),
		FilterSubjects: c.filters,
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: info.State.LastSeq + 1,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.j.ackWait,
		MaxDeliver: -1, MaxAckPending: maxInHand,
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return nil
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

func seenNow() map[string]string {
	return map[string]string{seenKey: strconv.FormatInt(time.Now().Unix(), 10)}
}

// Fetch returns the next events, in order: what there is now, or, when there is nothing,
// what comes first within wait. It returns at most limit (and never more than 1000) events
// and, beyond about 4 MiB, no more than maxBytes of them. No events and no error means that
// there were none; ctx's end is an error only when there are no events to return.
//
// What cannot be decoded is put among the dead letters and left out.
func (c *Consumer) Fetch(ctx context.Context, limit, maxBytes int, wait time.Duration) ([]journal.Delivery, error) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	limit, maxBytes = min(max(limit, 1), maxFetch), max(maxBytes, maxAheadBytes)
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		if c.isClosed() {
			return nil, fmt.Errorf("fetch for %q: %w", c.name, journal.ErrClosed)
		}
		got, err := c.fetch(ctx, limit, maxBytes)
		if len(got) > 0 || err != nil {
			return got, err
		}
		select {
		case <-c.pull.wake:
		case <-time.After(recheck): // the request may have been lost
		case <-deadline.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fetch returns what is there, and sees to it that more comes.
func (c *Consumer) fetch(ctx context.Context, limit, maxBytes int) ([]journal.Delivery, error) {
	messages, more, err := c.pull.take(limit, maxBytes)
	if err == nil && !c.attached && len(messages) == 0 {
		err = c.attach(ctx)
	}
	if err != nil {
		c.attached = false
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("fetch for %q: %w", c.name, c.j.broken(err))
	}
	if err := c.pull.ask(limit); err != nil && len(messages) == 0 {
		return nil, fmt.Errorf("fetch for %q: %w", c.name, c.j.broken(err))
	}
	if more && len(messages) > 0 && len(messages) < limit && behind(messages) {
		messages = append(messages, c.gather(limit-len(messages), maxBytes-size(messages))...)
	}
	got := make([]journal.Delivery, 0, len(messages))
	for _, m := range messages {
		if d, ok := c.delivery(ctx, m); ok {
			got = append(got, d)
		}
	}
	return got, nil
}

// gather returns what comes within a moment.
func (c *Consumer) gather(limit, maxBytes int) (all []*nats.Msg) {
	moment := time.NewTimer(gather)
	defer moment.Stop()
	for len(all) < limit && maxBytes > 0 {
		select {
		case <-moment.C:
			return all
		case <-c.pull.wake:
		}
		got, more, _ := c.pull.take(limit-len(all), maxBytes)
		all, maxBytes = append(all, got...), maxBytes-size(got)
		if !more || len(got) > 0 && !behind(got) {
			return all
		}
	}
	return all
}

// behind reports whether there were more events in the log when the last of the messages
// left it.
func behind(messages []*nats.Msg) bool {
	meta, err := messages[len(messages)-1].Metadata()
	return err == nil && meta.NumPending > 0
}

func size(messages []*nats.Msg) (n int) {
	for _, m := range messages {
		n += len(m.Data)
	}
	return n
}

// delivery makes a journal.Delivery of a message. A message that isn't an event is buried
// here.
func (c *Consumer) delivery(ctx context.Context, m *nats.Msg) (journal.Delivery, bool) {
	meta, err := m.Metadata()
	if err != nil {
		c.j.log.Error("the NATS cluster has sent what is no event", "output", c.name, "error", err)
		return journal.Delivery{}, false
	}
	d := journal.Delivery{
		Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Attempt: int(meta.NumDelivered), Size: len(m.Data),
		Replayed: strings.HasPrefix(m.Subject, c.j.names.only),
	}
	d.Receipt = c.hold(d.Sequence, m.Reply)
	if d.Event, err = event.Decode(m.Data); err == nil {
		return d, true
	}
	problem := fmt.Sprintf("decode the stored event: %v", err)
	letter := journal.DeadLetter{
		Raw: string(m.Data), Sequence: d.Sequence, Stored: d.Stored, LastError: problem, FirstError: problem, Time: time.Now(),
	}
	if err := c.Bury(ctx, letter); err != nil {
		c.j.log.Error("an event that cannot be decoded is tried again later", "output", c.name, "sequence", d.Sequence, "error", err)
		_ = d.Nak(c.j.ackWait)
		return d, false
	}
	c.j.log.Error("an event cannot be decoded and is now a dead letter", "output", c.name, "sequence", d.Sequence, "error", err)
	_ = d.Ack()
	return d, false
}

// Bury stores a dead letter of this output. It returns nil only once it is stored, so that
// the event can be acknowledged then; it waits at most 5 seconds. An event that the same
// output buried within the duplicate window is stored once.
func (c *Consumer) Bury(ctx context.Context, d journal.DeadLetter) error {
	d.Output = c.name
	return c.j.letters.Bury(ctx, d)
}

func (c *Consumer) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close ends the use of the cursor. Events fetched and not acknowledged go back to the
// servers, which deliver them again, first of all, here or to another forwarder. It waits
// until the acknowledgements made before are stored.
func (c *Consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.pull.wakeUp() // for a Fetch that waits
	c.fetching.Lock()
	defer c.fetching.Unlock()
	defer c.j.release(c.name)

	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	places, err := c.pull.close(ctx)
	places = append(places, c.giveBack()...)
	if err == nil {
		err = c.settle(ctx)
	}
	if err == nil && c.attached {
		err = c.losses.closed(ctx, places)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("close cursor %q: %w", c.name, c.j.broken(err))
	}
	return nil
}

// settle waits until the servers have what was said about deliveries.
func (c *Consumer) settle(ctx context.Context) error {
	if !c.j.conn.IsConnected() {
		return errDisconnected
	}
	c.mu.Lock()
	acked := c.acked
	c.mu.Unlock()
	if acked == "" {
		return c.j.conn.FlushWithContext(ctx)
	}
	// Acknowledgements are taken in their order, so the answer to the last one, repeated,
	// means that all are.
	_, err := c.j.conn.RequestWithContext(ctx, acked, ackDone)
	return err
}

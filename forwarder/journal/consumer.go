package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
)

// AckWait is how long the journal waits for an acknowledgement before it delivers an event
// again. Delivery.InProgress starts that time anew.
const AckWait = 30 * time.Second

// idleConsumer is how long a consumer that nobody opens is kept by Prune.
const idleConsumer = 7 * 24 * time.Hour

// seenKey is the metadata entry with the time of a consumer's last use.
const seenKey = "saker.seen"

// Consumer is the durable cursor of one output. One goroutine at a time may call Fetch;
// the other methods, and those of the deliveries, may be called at any time.
type Consumer struct {
	j        *Journal
	name     string // of the output
	durable  string
	filters  []string
	next     string // where fetches are asked for
	inbox    string
	sub      *nats.Subscription
	messages chan *nats.Msg

	// seenBefore is the last sequence that was delivered before this Consumer was opened.
	seenBefore uint64

	fetching sync.Mutex
	requests uint64
	closed   bool
	losses   losses
	last     *nats.Msg // the last one delivered
}

// Consumer opens the cursor called name, which is the output's name, for events of the
// minimum priority and above and for test events. A name that is new starts with the
// events appended from now on; a known one goes on where it stopped, first of all with
// what was delivered but not acknowledged, and its minimum may differ from before.
//
// A name has 1 to 64 bytes. In one process a cursor may be open once at a time. Close it
// before the journal.
func (j *Journal) Consumer(ctx context.Context, name string, minimum event.Priority) (*Consumer, error) {
	durable, err := escape(name)
	if err != nil {
		return nil, fmt.Errorf("open cursor: %w", err)
	}
	c := &Consumer{
		j: j, name: name, durable: durable, filters: filters(minimum),
		next:     "$JS.API.CONSUMER.MSG.NEXT." + eventStream + "." + durable,
		inbox:    nats.NewInbox() + ".",
		messages: make(chan *nats.Msg, 2*maxFetch+16),
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	info, err := c.attach(ctx)
	if err != nil {
		return nil, fmt.Errorf("open cursor %q: %w", name, unavailable(err))
	}
	c.losses.start(j, c, info)
	if c.sub, err = j.conn.ChanSubscribe(c.inbox+"*", c.messages); err != nil {
		return nil, fmt.Errorf("open cursor %q: %w", name, unavailable(err))
	}
	return c, nil
}

// Name returns the name that the cursor was opened by.
func (c *Consumer) Name() string { return c.name }

// attach makes the durable consumer in the log, or brings an existing one up to date.
func (c *Consumer) attach(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	existing, err := c.j.js.Consumer(ctx, eventStream, c.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	info := existing.CachedInfo()
	cfg := info.Config
	cfg.Metadata, cfg.AckWait = c.metadata(), AckWait
	c.setFilter(&cfg)
	updated, err := c.j.js.UpdateConsumer(ctx, eventStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	info = updated.CachedInfo()
	c.seenBefore = info.Delivered.Stream
	if info.NumAckPending == 0 || !contiguous(info) {
		return info, nil
	}
	// What was under way when the last process ended would come only after AckWait, and
	// behind newer events. Nothing behind the floor is acknowledged, so starting from there
	// repeats nothing.
	if _, err := c.j.js.ResetConsumer(ctx, eventStream, c.durable); err != nil {
		return nil, fmt.Errorf("go back to the first event not acknowledged: %w", err)
	}
	if updated, err = c.j.js.Consumer(ctx, eventStream, c.durable); err != nil {
		return nil, err
	}
	return updated.CachedInfo(), nil
}

// contiguous reports whether all that was delivered behind the acknowledged floor is
// unacknowledged, that is, whether no later event was acknowledged before an earlier one.
func contiguous(info *jetstream.ConsumerInfo) bool {
	pending := uint64(info.NumAckPending)
	return info.Delivered.Consumer-info.AckFloor.Consumer == pending ||
		info.Delivered.Stream-info.AckFloor.Stream == pending
}

// create makes a new cursor that starts behind the last event. The place is fixed here:
// "new" would be decided again if the process died before the log has saved the cursor.
func (c *Consumer) create(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	stream, err := c.j.js.Stream(ctx, eventStream)
	if err != nil {
		return nil, err
	}
	cfg := jetstream.ConsumerConfig{
		Durable: c.durable, Description: "output " + c.name, Metadata: c.metadata(),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   stream.CachedInfo().State.LastSeq + 1,
		AckPolicy:     jetstream.AckExplicitPolicy, AckWait: AckWait,
		MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 16,
	}
	c.setFilter(&cfg)
	created, err := c.j.js.CreateConsumer(ctx, eventStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return created.CachedInfo(), nil
}

func (c *Consumer) setFilter(cfg *jetstream.ConsumerConfig) {
	cfg.FilterSubject, cfg.FilterSubjects = "", nil
	if len(c.filters) == 1 {
		cfg.FilterSubject = c.filters[0]
		return
	}
	cfg.FilterSubjects = c.filters
}

func (c *Consumer) metadata() map[string]string {
	return map[string]string{seenKey: strconv.FormatInt(time.Now().Unix(), 10)}
}

// Close ends the cursor's use. Events fetched and not acknowledged are delivered again
// when it is opened the next time, first of all. It waits until the log has taken the
// acknowledgements made before.
func (c *Consumer) Close(ctx context.Context) error {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if err := c.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("close cursor %q: %w", c.name, err)
	}
	for len(c.messages) > 0 {
		if m := <-c.messages; status(m) == "" {
			_ = c.j.conn.Publish(m.Reply, ackNak)
		}
	}
	if c.last == nil {
		return nil
	}
	// Acknowledgements are taken in their order, so the answer to this last one, which says
	// nothing new, means that all are.
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := c.j.conn.RequestWithContext(ctx, c.last.Reply, ackProgress); err != nil {
		return fmt.Errorf("close cursor %q: %w", c.name, unavailable(err))
	}
	return nil
}

// Prune deletes the cursors of outputs that are not in keep and have not been opened for
// 7 days; until then an output that was taken out by mistake finds its place again. It
// returns the names of the deleted ones and of those that wait to be, sorted.
func (j *Journal) Prune(ctx context.Context, keep []string) (deleted, waiting []string, err error) {
	return j.prune(ctx, keep, time.Now().Add(-idleConsumer))
}

func (j *Journal) prune(ctx context.Context, keep []string, before time.Time) (deleted, waiting []string, err error) {
	stream, err := j.js.Stream(ctx, eventStream)
	if err != nil {
		return nil, nil, fmt.Errorf("list cursors: %w", unavailable(err))
	}
	list := stream.ListConsumers(ctx)
	var idle []string
	for info := range list.Info() {
		name := unescape(info.Name)
		if info.Config.Durable == "" || slices.Contains(keep, name) {
			continue
		}
		seen, err := strconv.ParseInt(info.Config.Metadata[seenKey], 10, 64)
		if err != nil || !time.Unix(seen, 0).Before(before) {
			waiting = append(waiting, name)
			continue
		}
		idle = append(idle, info.Name)
	}
	if err := list.Err(); err != nil {
		return nil, nil, fmt.Errorf("list cursors: %w", unavailable(err))
	}
	for _, durable := range idle {
		if err := stream.DeleteConsumer(ctx, durable); err != nil {
			return deleted, waiting, fmt.Errorf("delete cursor %q: %w", unescape(durable), unavailable(err))
		}
		deleted = append(deleted, unescape(durable))
	}
	slices.Sort(deleted)
	slices.Sort(waiting)
	return deleted, waiting, nil
}

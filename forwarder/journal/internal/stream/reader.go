package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// heartbeat is how often the server says that it is there while there is nothing to
	// read. After two of them without a word the reader starts anew.
	heartbeat = 3 * time.Second
	// requestExpires is how long a request for messages stands in the server.
	requestExpires = 30 * time.Second
	// absentPause is how long a reader waits when no server answers for its consumer, which
	// they may not have told each other about yet, and absentTries how often.
	absentPause, absentTries = 10 * time.Millisecond, 100
	// unusedReader is after how long the server forgets a reader that went away.
	unusedReader = 30 * time.Second
	// apiTimeout bounds one question to the server.
	apiTimeout = 5 * time.Second
)

// Range says what is read.
type Range struct {
	Stream string
	// Subjects are the filters; none is everything.
	Subjects []string
	// From is the sequence to start with; 0 counts as 1. Since, if not zero, starts with
	// the first message stored then or later instead, and LastOfEach with the newest
	// message of each subject.
	From       uint64
	Since      time.Time
	LastOfEach bool
	// Buffer is the most messages that are read ahead, BufferBytes, if not 0, the most
	// bytes of them; the largest message must fit.
	Buffer, BufferBytes int
	// CountOnly is for who wants to know Pending and doesn't call Next.
	CountOnly bool
}

// Message is one of a stream.
type Message struct {
	*nats.Msg
	Sequence uint64
	Stored   time.Time
	// Pending is the number of messages behind it.
	Pending uint64
}

// A Reader reads messages in their order, without a cursor in the stream. When the
// connection or the server goes away, it goes on behind the message it returned last. One
// goroutine may use a Reader; Close may be called by any.
type Reader struct {
	js     jetstream.JetStream
	r      Range
	closed context.Context
	end    context.CancelFunc

	using   sync.Mutex
	name    string // of the consumer in the server; empty while detached
	sub     *nats.Subscription
	asked   int    // messages that were asked for and have not come
	absent  int    // how often in a row nobody answered for the consumer
	epoch   uint64 // the connection's reconnects when it was attached
	next    uint64 // the delivery that comes next
	last    uint64 // the sequence returned last
	pending uint64
}

// Read starts to read. Close the Reader.
func Read(ctx context.Context, js jetstream.JetStream, r Range) (*Reader, error) {
	rd := &Reader{js: js, r: r}
	rd.closed, rd.end = context.WithCancel(context.Background())
	if err := rd.attach(ctx); err != nil {
		rd.end()
		return nil, err
	}
	return rd, nil
}

// Pending is the number of messages there were to read when the Reader last began.
func (rd *Reader) Pending() uint64 { return rd.pending }

// Next returns the next message, waiting for it until ctx ends. Any other error than ctx's
// and context.Canceled, which says that the Reader is closed, is of the moment: Next may
// be called again.
func (rd *Reader) Next(ctx context.Context) (Message, error) {
	rd.using.Lock()
	defer rd.using.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(rd.closed, cancel)()
	for {
		switch {
		case rd.closed.Err() != nil:
			return Message{}, context.Canceled
		case ctx.Err() != nil:
			return Message{}, ctx.Err()
		case rd.name == "":
			if err := rd.attach(ctx); err != nil {
				return Message{}, err
			}
		}
		m, ok, err := rd.receive(ctx)
		if ctx.Err() == nil && err != nil {
			rd.detach()
			continue // attaching says what is wrong, if it still is
		}
		if ok {
			return m, nil
		}
	}
}

// receive waits for one message of the server. An error means that the consumer is of no
// more use; ok is false for a remark of the server.
func (rd *Reader) receive(ctx context.Context) (m Message, ok bool, err error) {
	if rd.epoch != rd.js.Conn().Stats().Reconnects {
		return m, false, nats.ErrDisconnected // what was on its way is lost
	}
	if rd.asked <= rd.r.Buffer/2 {
		if err := rd.ask(); err != nil {
			return m, false, err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, 2*heartbeat)
	defer cancel()
	m.Msg, err = rd.sub.NextMsgWithContext(waiting)
	if err != nil {
		return m, false, err
	}
	if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
		return m, false, rd.remark(ctx, status, m.Msg)
	}
	meta, err := m.Metadata()
	if err != nil || meta.Sequence.Consumer != rd.next {
		return m, false, errors.Join(err, errLost)
	}
	rd.absent = 0
	rd.asked--
	rd.next++
	rd.last = meta.Sequence.Stream
	m.Sequence, m.Stored, m.Pending = meta.Sequence.Stream, meta.Timestamp, meta.NumPending
	return m, true, nil
}

// errLost says that a message is missing among those that came.
var errLost = errors.New("a message was lost on its way")

// ask asks for as many messages as may be read ahead.
func (rd *Reader) ask() error {
	n := max(rd.r.Buffer, 1) - rd.asked
	request := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d`, n, requestExpires.Nanoseconds(), heartbeat.Nanoseconds())
	if rd.r.BufferBytes > 0 {
		request = fmt.Appendf(request, `,"max_bytes":%d`, rd.r.BufferBytes)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + rd.r.Stream + "." + rd.name
	if err := rd.js.Conn().PublishRequest(subject, rd.sub.Subject, append(request, '}')); err != nil {
		return err
	}
	rd.asked += n
	return nil
}

// remark takes what the server says in the place of a message.
func (rd *Reader) remark(ctx context.Context, status string, m *nats.Msg) error {
	switch status {
	case "100": // a heartbeat
		return nil
	case "404", "408", "409": // the end of a request
		left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err == nil {
			rd.asked = max(rd.asked-left, 0)
		}
		return err
	case "503":
		if rd.absent++; rd.absent > absentTries {
			break
		}
		rd.asked = 0
		select {
		case <-ctx.Done():
		case <-time.After(absentPause):
		}
		return nil
	}
	return fmt.Errorf("the server answers %s %s", status, m.Header.Get("Description"))
}

// Close ends the Reader; it may be called while Next waits.
func (rd *Reader) Close() {
	rd.end()
	rd.using.Lock()
	defer rd.using.Unlock()
	rd.detach()
}

// attach makes a consumer that begins behind what was returned.
func (rd *Reader) attach(ctx context.Context) error {
	if err := Connected(rd.js); err != nil {
		return err
	}
	rd.epoch = rd.js.Conn().Stats().Reconnects
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	consumer, err := rd.js.CreateConsumer(ctx, rd.r.Stream, rd.config())
	if err != nil {
		return fmt.Errorf("read stream %s: %w", rd.r.Stream, err)
	}
	info := consumer.CachedInfo()
	rd.name, rd.next, rd.pending, rd.asked, rd.absent = info.Name, 1, info.NumPending, 0, 0
	if rd.r.CountOnly {
		return nil
	}
	if rd.sub, err = rd.js.Conn().SubscribeSync(nats.NewInbox()); err == nil {
		// What can come is bounded by what is asked for.
		err = rd.sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		rd.detach()
		return fmt.Errorf("read stream %s: %w", rd.r.Stream, err)
	}
	return nil
}

func (rd *Reader) config() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		FilterSubjects: rd.r.Subjects, AckPolicy: jetstream.AckNonePolicy,
		InactiveThreshold: unusedReader, Replicas: 1, MemoryStorage: true,
	}
	switch {
	case rd.last > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, rd.last+1
	case rd.r.LastOfEach:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		if len(c.FilterSubjects) == 0 {
			c.FilterSubjects = []string{">"}
		}
	case !rd.r.Since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &rd.r.Since
	default:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, max(rd.r.From, 1)
	}
	return c
}

// detach ends the consumer. It does not wait for the server, which forgets a consumer by
// itself should the request be lost.
func (rd *Reader) detach() {
	if rd.name == "" {
		return
	}
	if rd.sub != nil {
		_ = rd.sub.Unsubscribe()
		rd.sub = nil
	}
	_ = rd.js.Conn().Publish("$JS.API.CONSUMER.DELETE."+rd.r.Stream+"."+rd.name, nil)
	rd.name = ""
}

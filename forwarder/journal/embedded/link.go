package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// The names in the log.
const (
	logStream = "LOG"
	// logSubject is that of events for all outputs; those for one have the output's escaped
	// name behind onlyPrefix.
	logSubject  = "log.all"
	onlyPrefix  = "log.for."
	logSubjects = "log.>"
)

// link is the way to the log of one run of the server. It does not come back by itself: what
// was under way when the server stopped must not reach the next one unseen.
type link struct {
	conn     *nats.Conn // to write
	answers  chan *nats.Msg
	inbox    string
	asked    uint64          // the last publish
	lost     chan struct{}   // closed with the connection
	timeout  time.Duration   // of a write
	overdue  chan struct{}   // holds one; a write may have taken too long
	patience *time.Timer     // sends to overdue; one for all writes, which is cheaper
	alarm    <-chan struct{} // closed when the server has reported something grave

	// reads is a connection of its own, so that no write waits behind what is read.
	reads     *nats.Conn
	readsLost chan struct{}
	oneByOne  atomic.Bool // a request for many chunks got no answer
}

// writeTimeout is the longest that one write may take. It ends before the sender gives up,
// who is then told why.
const writeTimeout = appendTimeout - 2*time.Second

// alarmGrace is how much longer an answer is waited for once the server has reported
// something grave.
const alarmGrace = 500 * time.Millisecond

// newLink connects to the server.
func newLink(b *broker) (*link, error) {
	l := &link{
		answers: make(chan *nats.Msg, 64), inbox: nats.NewInbox() + ".", alarm: b.alarm(),
		lost: make(chan struct{}), readsLost: make(chan struct{}),
		timeout: writeTimeout, overdue: make(chan struct{}, 1),
	}
	var err error
	if l.conn, err = dial(b, "saker log", l.lost); err != nil {
		return nil, err
	}
	if l.reads, err = dial(b, "saker log reader", l.readsLost); err != nil {
		l.conn.Close()
		return nil, err
	}
	l.patience = time.AfterFunc(l.timeout, func() {
		select {
		case l.overdue <- struct{}{}:
		default:
		}
	})
	if _, err := l.conn.ChanSubscribe(l.inbox+"*", l.answers); err != nil {
		l.close()
		return nil, fmt.Errorf("connect to the log: %w", err)
	}
	return l, nil
}

// dial makes a connection that closes lost when it ends.
func dial(b *broker, name string, lost chan struct{}) (*nats.Conn, error) {
	conn, err := nats.Connect("", nats.InProcessServer(b), nats.Name(name), nats.NoReconnect(),
		nats.ClosedHandler(func(*nats.Conn) { close(lost) }))
	if err != nil {
		return nil, fmt.Errorf("connect to the log: %w", err)
	}
	return conn, nil
}

func (l *link) close() {
	l.patience.Stop()
	l.conn.Close()
	l.reads.Close()
}

// publish stores a message and returns its place in the stream. After an error, nobody
// knows whether it is stored. One goroutine at a time may call it.
func (l *link) publish(ctx context.Context, subject string, data []byte) (message uint64, err error) {
	l.asked++
	reply := l.inbox + strconv.FormatUint(l.asked, 36)
	if err := l.conn.PublishRequest(subject, reply, data); err != nil {
		return 0, fmt.Errorf("write the log: %w", err)
	}
	deadline := time.Now().Add(l.timeout)
	l.patience.Reset(l.timeout)
	alarm := l.alarm
	var late <-chan time.Time
	for {
		select {
		case m := <-l.answers:
			if m.Subject == reply {
				return readAnswer(m.Data)
			}
		case <-alarm: // a write that fails may go without an answer
			alarm, late = nil, time.After(alarmGrace)
		case <-late:
			return 0, errors.New("write the log: it gives no answer and has reported an error")
		case <-l.overdue: // or it is from before this write
			if !time.Now().Before(deadline) {
				return 0, fmt.Errorf("write the log: the storage didn't answer within %s", l.timeout)
			}
		case <-l.lost:
			return 0, errors.New("write the log: the log has stopped")
		case <-ctx.Done():
			return 0, fmt.Errorf("write the log: %w", context.Cause(ctx))
		}
	}
}

// readAnswer returns the place of the message that the log has stored.
func readAnswer(data []byte) (uint64, error) {
	if len(data) == 0 {
		return 0, errors.New("write the log: it has no storage at the moment")
	}
	if _, rest, ok := bytes.Cut(data, []byte(`"seq":`)); ok && !bytes.Contains(data, []byte(`"error"`)) {
		digits := rest[:len(rest)-len(bytes.TrimLeft(rest, "0123456789"))]
		if n, err := strconv.ParseUint(string(digits), 10, 64); err == nil && n > 0 {
			return n, nil
		}
	}
	var answer struct {
		Sequence uint64 `json:"seq"`
		Error    struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return 0, fmt.Errorf("read the log's answer: %w", err)
	}
	switch {
	case answer.Error.Description != "":
		return 0, fmt.Errorf("write the log: %s", answer.Error.Description)
	case answer.Sequence == 0:
		return 0, fmt.Errorf("write the log: it answers %.200q", data)
	}
	return answer.Sequence, nil
}

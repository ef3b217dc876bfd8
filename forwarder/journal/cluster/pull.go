package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// minAhead and maxFetch bound how many events are asked for in advance. As long as some
	// are, events that trickle in need no request each.
	minAhead, maxFetch = 32, 1000
	// maxAheadBytes bounds the bytes of one request, of which two may be open: the largest
	// message must fit.
	maxAheadBytes = 2 * maxMessage
	// requestLost is after how long without a word of the servers a request counts as lost.
	requestLost = 7 * time.Second
)

// puller keeps a request for events open in the servers, and holds what comes until it is
// fetched.
type puller struct {
	conn    *nats.Conn
	subject string // where events are asked for
	inbox   string
	ackWait time.Duration
	sub     *nats.Subscription
	wake    chan struct{} // told when something has come; holds one

	mu      sync.Mutex
	waiting []waitingMsg
	asked   int       // events that were asked for and have not come
	heard   time.Time // when the servers last said anything, or were asked
	epoch   uint64    // the connection's reconnects when they were asked
	fetched time.Time // when somebody last wanted events
	fault   error     // what the servers answered instead
	timer   *time.Timer
	closed  bool
}

// waitingMsg is an event that waits to be fetched.
type waitingMsg struct {
	*nats.Msg
	alive time.Time // when the servers last knew that it is in good hands
}

func newPuller(conn *nats.Conn, subject string, ackWait time.Duration) (*puller, error) {
	p := &puller{
		conn: conn, subject: subject, inbox: nats.NewInbox(), ackWait: ackWait,
		wake: make(chan struct{}, 1), fetched: time.Now(),
	}
	var err error
	if p.sub, err = conn.Subscribe(p.inbox, p.receive); err != nil {
		return nil, err
	}
	// What can come is bounded by what is asked for.
	return p, p.sub.SetPendingLimits(-1, -1)
}

// receive takes what the servers send. The subscription calls it, one message at a time.
func (p *puller) receive(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.heard = now
	switch code := status(m); code {
	case "":
		p.asked = max(p.asked-1, 0)
		p.waiting = append(p.waiting, waitingMsg{m, now})
		if p.timer == nil && !p.closed {
			p.timer = time.AfterFunc(p.keepAlive(), p.tend)
		}
	case "100": // a heartbeat
		return
	case "404", "408", "409":
		p.end(m)
	default:
		p.asked = 0
		p.fault = fmt.Errorf("the NATS cluster answers %s %s", code, m.Header.Get("Description"))
		if code == "503" {
			p.fault = errNoStream
		}
	}
	p.wakeUp()
}

// end notes that a request has come to its end: it expired, or was complete, or the servers
// gave it up.
func (p *puller) end(m *nats.Msg) {
	left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	if err == nil {
		p.asked = max(p.asked-left, 0)
		return
	}
	p.asked = 0
	if text := m.Header.Get("Description"); text == "Consumer Deleted" {
		p.fault = errors.New("the consumer has been deleted from the NATS cluster")
	}
}

func (p *puller) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns up to limit messages and no more than maxBytes of them beyond the first, or
// what the servers answered instead. More says that others are on their way.
func (p *puller) take(limit, maxBytes int) (got []*nats.Msg, more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.fetched = now
	n, bytes := 0, 0
	for ; n < len(p.waiting) && len(got) < limit; n++ {
		w := p.waiting[n]
		if now.Sub(w.alive) >= p.ackWait {
			continue // the servers hand it out again
		}
		if bytes += len(w.Data); bytes > maxBytes && len(got) > 0 {
			break
		}
		got = append(got, w.Msg)
	}
	left := copy(p.waiting, p.waiting[n:])
	clear(p.waiting[left:])
	p.waiting = p.waiting[:left]
	if len(got) == 0 {
		err, p.fault = p.fault, nil
	}
	return got, left == 0 && p.asked > 0, err
}

// ask sees to it that enough events are asked for to serve Fetches of the given limit. The
// request stands for ackWait, and the servers say every tenth of it that they have it.
func (p *puller) ask(limit int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if epoch := p.conn.Stats().Reconnects; epoch != p.epoch || now.Sub(p.heard) > requestLost {
		p.asked, p.epoch = 0, epoch // the request is lost
	}
	want := min(max(limit, minAhead), maxFetch)
	if p.asked+len(p.waiting) > want/2 {
		return nil
	}
	n := want - p.asked - len(p.waiting)
	request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
		n, maxAheadBytes, p.ackWait.Nanoseconds(), (p.ackWait / 10).Nanoseconds())
	if err := p.conn.PublishRequest(p.subject, p.inbox, request); err != nil {
		return err
	}
	p.asked += n
	p.heard = now
	return nil
}

// keepAlive is how often the servers are told that events which wait here to be fetched are
// not forgotten.
func (p *puller) keepAlive() time.Duration { return p.ackWait / 3 }

// unfetched is after how long without a Fetch they are given back, since another forwarder
// may have more luck. By then no request of ours stands in the servers any more.
func (p *puller) unfetched() time.Duration { return 2 * p.ackWait }

// tend tells the servers that the events which wait here are not forgotten, or gives them
// back when nobody fetches them.
func (p *puller) tend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.closed:
		return
	case now.Sub(p.fetched) >= p.unfetched():
		p.giveBack()
	default:
		for i := range p.waiting {
			if w := &p.waiting[i]; now.Sub(w.alive) < p.ackWait && p.conn.IsConnected() && p.conn.Publish(w.Reply, ackProgress) == nil {
				w.alive = now
			}
		}
	}
	if len(p.waiting) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(p.keepAlive())
}

// giveBack returns all events that wait to the servers, and says which they were.
func (p *puller) giveBack() (sequences []uint64) {
	for _, w := range p.waiting {
		_ = p.conn.Publish(w.Reply, ackNak)
		if meta, err := w.Metadata(); err == nil {
			sequences = append(sequences, meta.Sequence.Stream)
		}
	}
	p.waiting = nil
	return sequences
}

// close ends the requests and gives back what nobody has fetched, that on its way from our
// server included; it returns which events these were. What another server is sending to
// ours at this moment comes to nobody, and is handed out again when its acknowledgement is
// overdue.
func (p *puller) close(ctx context.Context) ([]uint64, error) {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	drained := make(chan struct{})
	p.sub.SetClosedHandler(func(string) { close(drained) })
	err := p.sub.Drain()
	if err == nil && p.conn.IsConnected() {
		select {
		case <-drained:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.giveBack(), err
}

// status returns the code of a message that is the servers' remark and not an event.
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || m.Header == nil {
		return ""
	}
	return m.Header.Get("Status")
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// appendTimeout is the longest that Append waits for the storage.
	appendTimeout = 10 * time.Second
	// maxInFlight is the most bytes of events that may be on their way to the storage at
	// once. Appends beyond it wait for their turn.
	maxInFlight = 64 << 20
	// perEvent is what an event takes on its way beside its text.
	perEvent = 512
	// maxCall is the most bytes of a call's name.
	maxCall = 256
)

// Append stores events as journal.Journal says.
func (j *Journal) Append(ctx context.Context, events []event.Event) error {
	return j.append(ctx, &request{events: events})
}

// AppendFor stores events for one output alone, as journal.Journal says. A call's name has
// at most 256 bytes.
func (j *Journal) AppendFor(ctx context.Context, output, call string, events []event.Event) error {
	escaped, err := journal.EscapeName(output)
	if err != nil {
		return fmt.Errorf("append for one output: %w", err)
	}
	if len(call) > maxCall {
		return fmt.Errorf("append for %q: the call's name has more than %d bytes", output, maxCall)
	}
	if err := j.cursors.ensure(output); err != nil {
		return fmt.Errorf("append for %q: %w", output, err)
	}
	return j.append(ctx, &request{events: events, output: output, escaped: escaped, call: call})
}

func (j *Journal) append(ctx context.Context, r *request) error {
	if len(r.events) == 0 {
		return nil
	}
	if err := j.Ready(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := r.encode(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	r.weight = min(int64(len(r.text)+len(r.events)*perEvent), maxInFlight)
	if err := j.inflight.Acquire(waiting, r.weight); err != nil {
		return appendFailed(ctx, err)
	}
	if !j.queue.put(r) {
		j.inflight.Release(r.weight)
		return fmt.Errorf("append: %w", journal.ErrClosed)
	}
	select {
	case err := <-r.answer:
		r.free()
		if err != nil {
			return appendFailed(ctx, err)
		}
		return nil
	case <-waiting.Done():
		r.abandoned.Store(true)
		return appendFailed(ctx, waiting.Err())
	}
}

// appendFailed turns what went wrong into one of the contract's errors.
func appendFailed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = journal.Unavailable(fmt.Errorf("the storage didn't answer within %s", appendTimeout))
	}
	return fmt.Errorf("append: %w", err)
}

// request is one Append on its way to the committer, which owns it from put to the answer.
type request struct {
	events  []event.Event
	output  string // that the events are for; empty for all
	escaped string
	call    string

	text    []byte // a line for each event
	ends    []int  // of the lines
	classes []uint8
	keys    []key

	weight    int64
	chunk     uint64 // the last chunk with an event of it, as the committer counts them
	answer    chan error
	abandoned atomic.Bool // nobody waits for the answer
}

// textBuffers are for the texts of requests. Larger ones than maxKeptText are left to the collector.
var textBuffers = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptText = 1 << 20

// encode prepares the request, so that all senders do it beside one another and only what
// must happen in order is left to the committer.
func (r *request) encode() error {
	r.answer, r.chunk = make(chan error, 1), math.MaxUint64
	r.text = (*textBuffers.Get().(*[]byte))[:0]
	r.ends = make([]int, len(r.events))
	r.classes = make([]uint8, len(r.events))
	r.keys = make([]key, len(r.events))
	for i := range r.events {
		e, start := &r.events[i], len(r.text)
		r.text = e.AppendJSON(r.text)
		if n := len(r.text) - start; n > event.MaxEventBytes {
			r.free()
			return fmt.Errorf("%w: %d bytes, and at most %d are allowed", journal.ErrTooLarge, n, event.MaxEventBytes)
		}
		r.text = append(r.text, '\n')
		r.ends[i] = len(r.text)
		if r.output == "" {
			r.classes[i], r.keys[i] = classOf(e), uuidKey(e.UUID)
		} else {
			r.classes[i], r.keys[i] = directed, callKey(r.output, r.call, uint32(i))
		}
	}
	return nil
}

// free gives the buffer back. Nobody else may use the request then.
func (r *request) free() {
	text := r.text
	r.text = nil
	if cap(text) <= maxKeptText {
		textBuffers.Put(&text)
	}
}

// line returns the text of the event at place i, with its line feed.
func (r *request) line(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.text[start:r.ends[i]]
}

// queue holds the requests that wait for the committer. The bytes in flight bound it.
type queue struct {
	mu     sync.Mutex
	all    []*request
	closed bool
	filled chan struct{} // holds one
}

// put adds a request; false if the queue is closed.
func (q *queue) put(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.all = append(q.all, r)
	if len(q.all) == 1 {
		select {
		case q.filled <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all that wait, in the place of the slice that it returned before.
func (q *queue) take(used []*request) []*request {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = used[:0]
	return all
}

// close refuses what comes from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

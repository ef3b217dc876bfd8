package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
)

const (
	// appendTimeout is the longest that Append waits for the storage.
	appendTimeout = 10 * time.Second
	// maxInFlight is the most bytes of events that may be on their way to the storage at
	// once. Appends beyond it wait for their turn.
	maxInFlight = 64 << 20
	// perEvent is what an event takes on its way beside its text.
	perEvent = 512
)

// Append stores events in their order, behind everything stored before. It returns nil
// only when all of them are stored, and takes at most 10 seconds. An event whose UUID was
// stored within the duplicate window counts as stored. An event without a UUID is never a
// duplicate.
//
// After an error some of the events may be stored; the sender sends them all again and
// those are recognised by their UUIDs. The error is, as errors.Is tells, ErrFull or
// ErrUnavailable (try again later), ErrTooLarge (nothing has been stored), ErrClosed or
// ctx's own.
func (j *Journal) Append(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := j.Ready(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	texts, size, err := encode(events)
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

	b := newBatch(events)
	id := j.acks.add(b)
	defer j.acks.remove(id)
	if err := j.publish(id, events, texts); err != nil {
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
		return fmt.Errorf("append: %w", ErrClosed)
	}
}

// encode returns the JSON texts of events and how long they are together.
func encode(events []event.Event) (texts [][]byte, size int, err error) {
	texts = make([][]byte, len(events))
	buf := make([]byte, 0, 1024*len(events))
	for i := range events {
		start := len(buf)
		buf = events[i].AppendJSON(buf)
		if len(buf)-start > event.MaxEventBytes {
			return nil, 0, fmt.Errorf("%w: %d bytes, and at most %d are allowed", ErrTooLarge, len(buf)-start, event.MaxEventBytes)
		}
		texts[i] = buf[start:len(buf):len(buf)]
	}
	return texts, len(buf), nil
}

// publish sends the texts to the log, which answers each to the batch called id.
func (j *Journal) publish(id uint64, events []event.Event, texts [][]byte) error {
	uuid := []string{""}
	with := nats.Header{nats.MsgIdHdr: uuid}
	prefix := j.acks.reply(id)
	for i, text := range texts {
		m := nats.Msg{
			Subject: subjectNames[subjectIndex(&events[i])], Data: text,
			Reply: prefix + strconv.Itoa(i),
		}
		if uuid[0] = events[i].UUID; uuid[0] != "" {
			m.Header = with
		}
		if err := j.conn.PublishMsg(&m); err != nil {
			return err
		}
	}
	return nil
}

// appendFailed turns what went wrong into one of our errors, and has the storage mended
// where that is the reason.
func (j *Journal) appendFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("append: %w", ctx.Err())
	}
	if errors.Is(err, ErrClosed) || errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("append: %w", ErrClosed)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the storage didn't answer within %s", appendTimeout)
	}
	if cause := j.broker.failure(); cause != nil {
		j.suspect(unavailable(cause))
	}
	if full := j.disk.check(time.Now()); full != nil {
		return fmt.Errorf("append: %w", full)
	}
	return fmt.Errorf("append: %w", unavailable(err))
}

// stored counts an event that the log has taken.
func (j *Journal) stored(subject uint8) { j.appended[subject].Add(1) }

// batch is one Append that waits for its answers.
type batch struct {
	subjects []uint8
	left     int
	err      error // the first; written before done is closed
	done     chan struct{}
}

func newBatch(events []event.Event) *batch {
	b := &batch{subjects: make([]uint8, len(events)), left: len(events), done: make(chan struct{})}
	for i := range events {
		b.subjects[i] = uint8(subjectIndex(&events[i]))
	}
	return b
}

// ackRouter brings the log's answers to the batches that wait for them. One subscription
// serves all: the last two parts of an answer's subject are the batch and the place in it.
type ackRouter struct {
	prefix string
	stored func(subject uint8)

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]*batch
}

func (r *ackRouter) subscribe(conn *nats.Conn, stored func(uint8)) error {
	r.prefix, r.stored, r.waiting = nats.NewInbox()+".", stored, map[uint64]*batch{}
	sub, err := conn.Subscribe(r.prefix+"*.*", r.answer)
	if err != nil {
		return fmt.Errorf("subscribe to answers: %w", err)
	}
	// Answers are bounded by what is in flight, and a lost one would hold up its sender.
	return sub.SetPendingLimits(-1, -1)
}

func (r *ackRouter) add(b *batch) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	r.waiting[r.lastID] = b
	return r.lastID
}

func (r *ackRouter) remove(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

func (r *ackRouter) reply(id uint64) string {
	return r.prefix + strconv.FormatUint(id, 36) + "."
}

// answer takes one answer of the log. The subscription calls it, one answer at a time.
func (r *ackRouter) answer(m *nats.Msg) {
	batchPart, placePart, _ := strings.Cut(strings.TrimPrefix(m.Subject, r.prefix), ".")
	id, err1 := strconv.ParseUint(batchPart, 36, 64)
	place, err2 := strconv.Atoi(placePart)
	if err1 != nil || err2 != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.waiting[id]
	if b == nil || b.left == 0 || place >= len(b.subjects) {
		return // given up
	}
	duplicate, err := readAnswer(m)
	switch {
	case err != nil && b.err == nil:
		b.err = err
	case err == nil && !duplicate:
		r.stored(b.subjects[place])
	}
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

// failAll ends all batches that still wait.
func (r *ackRouter) failAll(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.waiting {
		if b.left > 0 {
			b.left, b.err = 0, err
			close(b.done)
		}
	}
}

// readAnswer returns nil when the log has stored the event, now or, as a duplicate, before.
// The usual answers are recognised without decoding them.
func readAnswer(m *nats.Msg) (duplicate bool, err error) {
	switch {
	case len(m.Data) == 0:
		return false, errors.New("the log has no storage at the moment")
	case !bytes.Contains(m.Data, []byte(`"error"`)):
		return bytes.Contains(m.Data, []byte(`"duplicate"`)), nil
	}
	var answer struct {
		Error struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return false, fmt.Errorf("read the log's answer: %w", err)
	}
	return false, errors.New(answer.Error.Description)
}

package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/forwarder/journal"
)

// batch is one Append that waits for its answers.
type batch struct {
	left int
	err  error // the first; written before done is closed
	done chan struct{}
}

// ackRouter brings the servers' answers to the batches that wait for them. One
// subscription serves all: the last two parts of an answer's subject are the batch and the
// place in it.
type ackRouter struct {
	prefix string

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]*batch
}

func (r *ackRouter) subscribe(conn *nats.Conn) error {
	r.mu.Lock()
	r.prefix, r.waiting = nats.NewInbox()+".", map[uint64]*batch{}
	r.mu.Unlock()
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

// answer takes one answer of the servers. The subscription calls it, one at a time.
func (r *ackRouter) answer(m *nats.Msg) {
	batchPart, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, r.prefix), ".")
	id, err := strconv.ParseUint(batchPart, 36, 64)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.waiting[id]
	if b == nil || b.left == 0 {
		return // given up
	}
	if err := readAnswer(m); err != nil && b.err == nil {
		b.err = err
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

// errNoStream says that no server answers for a stream.
var errNoStream = errors.New("no NATS server holds the stream at the moment")

// The servers' answers that mean that their disks are full.
const (
	insufficientResources = 10023
	storageExceeded       = 10047
)

// readAnswer returns nil when the servers have stored the event, now or, as a duplicate,
// before. The usual answers are recognised without decoding them.
func readAnswer(m *nats.Msg) error {
	switch {
	case len(m.Data) == 0:
		return errNoStream
	case !bytes.Contains(m.Data, []byte(`"error"`)):
		return nil
	}
	var answer struct {
		Error struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("read the answer of the NATS cluster: %w", err)
	}
	switch answer.Error.Code {
	case insufficientResources, storageExceeded:
		return fmt.Errorf("%w: the NATS cluster answers: %s", journal.ErrFull, answer.Error.Description)
	}
	return fmt.Errorf("the NATS cluster answers: %s", answer.Error.Description)
}

package audit

import (
	"context"

	"golang.org/x/sync/semaphore"
)

const (
	// MaxBodyBytes is how large a posted body may be. The API server's own limit is 10 MiB
	// (--audit-webhook-truncate-max-batch-size).
	MaxBodyBytes = 12 << 20
	// queueBytes bounds the bodies and lines that are being read or wait to be judged, and
	// queueLength how many there are.
	queueBytes  = 32 << 20
	queueLength = 1024
)

// delivery is what came at once: a posted body or a line of the log.
type delivery struct {
	events []string
	// err says why a line of the log was not understood.
	err error
	// size is what was taken of the queue's bytes for it.
	size int64
	// mark is where in the log it ended.
	mark mark
}

// queue holds deliveries in the order in which they came, bounded in bytes and number.
type queue struct {
	bytes      *semaphore.Weighted
	deliveries chan delivery
}

func newQueue() *queue {
	return &queue{bytes: semaphore.NewWeighted(queueBytes), deliveries: make(chan delivery, queueLength)}
}

// reserve takes room for n bytes, without waiting; false if there is none.
func (q *queue) reserve(n int64) bool { return q.bytes.TryAcquire(n) }

// release gives room back.
func (q *queue) release(n int64) { q.bytes.Release(n) }

// offer adds a delivery whose room is reserved; false if there are too many.
func (q *queue) offer(d delivery) bool {
	select {
	case q.deliveries <- d:
		return true
	default:
		return false
	}
}

// put reserves room for a delivery and adds it, and waits for both. It fails only when ctx
// ends.
func (q *queue) put(ctx context.Context, d delivery) error {
	if err := q.bytes.Acquire(ctx, d.size); err != nil {
		return err
	}
	select {
	case q.deliveries <- d:
		return nil
	case <-ctx.Done():
		q.bytes.Release(d.size)
		return ctx.Err()
	}
}

package deliver

import (
	"time"

	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// queueEvents is the least that a queue may hold: fetching events one by one would cost
	// more than sending them.
	queueEvents = 32
	// queueMost is the most events that are queued so that lanes with small batches find
	// work at once; larger batches are queued two at a time.
	queueMost = 256
	// queueBytes is how many bytes of events are queued at most, and one event more.
	queueBytes = 16 << 20
)

// unit is one message on its way: an event, or the summary of several.
type unit struct {
	journal.Delivery
	// covers are the deliveries that a summary stands for; none for an event of its own.
	covers []journal.Delivery
	// since is when its retry.max_age began.
	since    time.Time
	queued   time.Time // when it came into the queue
	attempts int
	first    error // of the first failed attempt
}

// newUnit is the unit of one delivery.
func newUnit(d journal.Delivery) unit { return unit{Delivery: d, since: d.Stored} }

// summaryUnit is the unit of a message that was made ready now.
func summaryUnit(it group.Item, now time.Time) unit {
	u := unit{Delivery: it.Covers[0], since: now}
	if len(it.Covers) > 1 || it.Event.UUID != u.Event.UUID {
		u.covers = it.Covers
	}
	u.Event = it.Event
	return u
}

// count is the number of deliveries that u stands for.
func (u *unit) count() int { return max(1, len(u.covers)) }

// ack acknowledges all that u stands for.
func (u *unit) ack() (err error) {
	if u.covers == nil {
		return u.Ack()
	}
	for _, d := range u.covers {
		if e := d.Ack(); e != nil {
			err = e
		}
	}
	return err
}

// nak gives back all that u stands for.
func (u *unit) nak() (err error) {
	if u.covers == nil {
		return u.Nak(0)
	}
	for _, d := range u.covers {
		if e := d.Nak(0); e != nil {
			err = e
		}
	}
	return err
}

// queue holds what has been fetched and is in no lane yet, in order. It is a ring.
type queue struct {
	full, fullBytes int           // what fills a batch
	age             time.Duration // how long a batch may wait to fill up

	ring  []unit
	head  int
	count int
	bytes int
}

// push puts u behind the others.
func (q *queue) push(u unit, now time.Time) {
	if q.count == len(q.ring) {
		grown := make([]unit, max(queueEvents, 2*len(q.ring)))
		for i := range q.count {
			grown[i] = *q.place(i)
		}
		q.ring, q.head = grown, 0
	}
	q.count++
	q.bytes += u.Size
	u.queued = now
	*q.place(q.count - 1) = u
}

func (q *queue) place(i int) *unit { return &q.ring[(q.head+i)%len(q.ring)] }

// due returns when the queue's next batch may be sent: the zero time for at once. It must
// not be empty.
func (q *queue) due() time.Time {
	if q.age == 0 || q.isFull() {
		return time.Time{}
	}
	return q.place(0).queued.Add(q.age)
}

// ready reports whether there is a batch that may be sent now.
func (q *queue) ready(now time.Time) bool {
	return q.count > 0 && (q.age == 0 || !now.Before(q.due()))
}

// isFull reports whether there is enough for a full batch.
func (q *queue) isFull() bool { return q.count >= q.full || q.bytes >= q.fullBytes }

// take moves the next batch to dst: at least one unit, no more than fill a batch.
func (q *queue) take(dst []unit) []unit {
	bytes := 0
	for q.count > 0 && len(dst) < q.full {
		if bytes += q.place(0).Size; len(dst) > 0 && bytes > q.fullBytes {
			break
		}
		dst = append(dst, q.pop())
	}
	return dst
}

// pop takes out the first unit.
func (q *queue) pop() unit {
	first := q.place(0)
	u := *first
	*first = unit{} // lets go of the event
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	q.bytes -= u.Size
	return u
}

package report

import (
	"slices"
	"sync"
	"time"
)

// The limits of what waits in memory.
const (
	maxMemoryEntries = 1024
	maxMemoryBytes   = 4 << 20
)

// A queue keeps encoded alerts in order until they are delivered: in memory while delivery
// keeps up, in the spool otherwise. What is in the spool is older than what is in memory.
type queue struct {
	mu       sync.Mutex
	mem      []entry
	memBytes int
	next     uint64 // place of the next alert
	spool    *spool // nil without a folder
	// behind says that delivery doesn't keep up, so that alerts go to the spool at once.
	behind  bool
	spooled uint64
	err     error // why the spool could not be written, nil once it could
	// changed is told that alerts were added.
	changed chan struct{}
	// drop counts alerts that were given up. It is called with the queue locked.
	drop func(reason string, n uint64)
	// syncEvery is how long what is in the spool may wait to be forced to the disk; syncing
	// says that timer will see to it.
	syncEvery time.Duration
	syncing   bool
	timer     *time.Timer
}

func newQueue(s *spool, syncEvery time.Duration, drop func(string, uint64)) *queue {
	q := &queue{spool: s, syncEvery: syncEvery, drop: drop, changed: make(chan struct{}, 1)}
	if s != nil {
		q.next = s.tail
	}
	return q
}

// add queues encoded alerts and returns the place after the last. It may write to the
// spool.
func (q *queue) add(alerts ...[]byte) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, data := range alerts {
		q.mem = append(q.mem, entry{q.next, data})
		q.memBytes += len(data)
		q.next++
		if q.full() {
			q.makeRoom()
		}
	}
	if q.behind || q.spooling() {
		q.spill()
	}
	select {
	case q.changed <- struct{}{}:
	default:
	}
	return q.next
}

func (q *queue) full() bool { return len(q.mem) > maxMemoryEntries || q.memBytes > maxMemoryBytes }

func (q *queue) spooling() bool { return q.spool != nil && len(q.spool.segments) > 0 }

// makeRoom spills, or drops the oldest alerts in memory where that is impossible.
func (q *queue) makeRoom() {
	q.spill()
	n := 0
	for ; q.full(); n++ {
		q.forget(1)
	}
	if n > 0 && q.spool == nil {
		q.drop(dropMemoryFull, uint64(n))
	} else if n > 0 {
		q.drop(dropSpoolError, uint64(n))
	}
}

// forget removes the first n alerts in memory.
func (q *queue) forget(n int) {
	for _, e := range q.mem[:n] {
		q.memBytes -= len(e.data)
	}
	if q.mem = q.mem[n:]; len(q.mem) == 0 {
		q.mem = nil
	}
}

// spill moves what is in memory to the spool. What can't be written stays in memory.
func (q *queue) spill() {
	if q.spool == nil || len(q.mem) == 0 {
		return
	}
	if q.err = q.spool.append(q.mem); q.err != nil {
		// Some of the segments may have been written before the error.
		n := 0
		for n < len(q.mem) && q.mem[n].seq < q.spool.tail {
			n++
		}
		q.spooled += uint64(n)
		q.forget(n)
		return
	}
	q.spooled += uint64(len(q.mem))
	q.forget(len(q.mem))
	q.dirty()
}

// fallBehind says that delivery fails or is slow: alerts now survive the process.
func (q *queue) fallBehind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.behind = true
	q.spill()
}

// front returns the oldest alerts, up to limit of them and maxBytes, but at least one if
// there is any. They stay in the queue until they are acknowledged.
func (q *queue) front(limit, maxBytes int) []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.spooling() {
		if entries := q.spool.read(limit, maxBytes); len(entries) > 0 {
			return entries
		}
	}
	n, size := 0, 0
	for n < len(q.mem) && n < limit && (n == 0 || size+len(q.mem[n].data) <= maxBytes) {
		size += len(q.mem[n].data)
		n++
	}
	return slices.Clone(q.mem[:n])
}

// backlog reports whether alerts wait on disk.
func (q *queue) backlog() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spooling()
}

// ack removes the alerts up to and including place seq: the destination has answered.
func (q *queue) ack(seq uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.behind = false
	if q.spooling() {
		q.spool.ack(min(seq+1, q.spool.tail))
	}
	n := 0
	for n < len(q.mem) && q.mem[n].seq <= seq {
		n++
	}
	q.forget(n)
}

// queueStats is what a queue holds.
type queueStats struct {
	memory, spool uint64
	spoolBytes    int64
	spooled       uint64
	err           error
}

func (q *queue) stats() queueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := queueStats{memory: uint64(len(q.mem)), spooled: q.spooled, err: q.err}
	if q.spool != nil {
		s.spool, s.spoolBytes = q.spool.pending(), q.spool.bytes
	}
	return s
}

// close leaves what is queued in the spool. Without one it is lost.
func (q *queue) close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spill()
	if n := len(q.mem); n > 0 {
		q.forget(n)
		q.drop(dropShutdown, uint64(n))
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	if q.spool == nil {
		return nil
	}
	return q.spool.close()
}

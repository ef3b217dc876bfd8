package report

import (
	"errors"
	"os"
	"time"
)

// syncDirectory forces the names in a folder to the disk.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// expire drops the segments whose last entry is older than the limit.
func (s *spool) expire(now time.Time) {
	if s.maxAge <= 0 {
		return
	}
	for len(s.segments) > 0 && now.Sub(s.segments[0].last) > s.maxAge {
		seg := s.segments[0]
		if lost := seg.end() - min(seg.end(), max(s.head, seg.first)); lost > 0 {
			s.drop(dropExpired, lost)
		}
		s.ack(seg.end())
	}
}

// stale reports whether a segment holds entries that are so much older than new ones that
// they must not share a segment, because it is dropped as a whole.
func (s *spool) stale(seg segment, now time.Time) bool {
	return s.maxAge > 0 && now.Sub(seg.born) > s.maxAge/16
}

// dirty has what was just written forced to the disk: at once, or within the interval. It
// is called with the queue locked.
func (q *queue) dirty() {
	switch {
	case q.spool == nil || q.spool.out == nil || q.syncing:
	case q.syncEvery <= 0:
		q.err = errors.Join(q.err, q.spool.out.Sync())
	default:
		q.syncing = true
		q.timer = time.AfterFunc(q.syncEvery, q.sync)
	}
}

// sync forces the last segment to the disk, without holding the queue up meanwhile.
func (q *queue) sync() {
	q.mu.Lock()
	q.syncing = false
	var out *os.File
	if q.spool != nil {
		out = q.spool.out
	}
	q.mu.Unlock()
	if out == nil {
		return // it is finished, and was forced to the disk then
	}
	if err := out.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		q.mu.Lock()
		q.err = err
		q.mu.Unlock()
	}
}

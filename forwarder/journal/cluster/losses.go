package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal/bucket"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// saveInterval is how often at most a mark is written for those who come later.
	saveInterval = time.Minute
	// lossLogInterval is how often at most losses are logged for one output.
	lossLogInterval = time.Minute
	// idleTries and idlePause say how long a cursor that is closed waits until the servers
	// have noticed.
	idleTries = 3
	idlePause = 20 * time.Millisecond
)

// losses counts what the limits removed before the output got it. The servers don't say,
// so it is worked out whenever somebody asks for the lag: of the events that waited at the
// time of an earlier mark, what has neither been handed over since nor is still there.
//
// The mark is shared by the forwarders and survives them. Whoever finds a loss moves the
// mark behind it, and only that forwarder counts it: the sum over all forwarders is the
// output's. The count never says too much. It says too little for what was both appended
// and removed between two questions, for events that were delivered again in that time,
// and for those that were removed after a forwarder got them and before it died. What a
// forwarder has in hand when it is removed is not lost, unless the forwarder gives it back.
type losses struct {
	c *Consumer

	mu       sync.Mutex
	base     *mark // nil before the first question
	saved    time.Time
	lost     uint64
	logged   uint64
	loggedAt time.Time
}

// mark is where an output and the log were at one moment. None of its numbers but Pending
// ever goes back, so of two marks it is plain which one is the later.
type mark struct {
	Handed    uint64 `json:"handed"`    // deliveries, repeated ones included
	Delivered uint64 `json:"delivered"` // the place of the last one
	Pending   uint64 `json:"pending"`   // events for this output behind it
	Last      uint64 `json:"last"`      // the place of the newest event
	First     uint64 `json:"first"`     // that of the oldest

	// Unacked are those in the forwarders' hands, which the servers forget when the limits
	// remove them; Idle says that nobody has any, so that what they forget is lost.
	Unacked uint64 `json:"unacked"`
	Idle    bool   `json:"idle,omitempty"`
}

func (m *mark) laterThan(o *mark) bool {
	return m.Handed > o.Handed || m.Last > o.Last || m.First > o.First
}

// observe returns the number of lost events, given the state of the consumer just now.
func (l *losses) observe(ctx context.Context, info *jetstream.ConsumerInfo) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := l.now(ctx, info)
	if err != nil {
		return 0, err
	}
	if l.base == nil {
		if l.base, _, err = l.load(ctx); err != nil {
			return 0, err
		}
	}
	if l.base == nil || !l.base.precedes(now) {
		l.base = now
	}
	switch {
	case l.base.mayHaveLost(now):
		if err := l.account(ctx, now); err != nil {
			return 0, err
		}
	case time.Since(l.saved) >= saveInterval:
		l.save(ctx, now)
		fallthrough
	default:
		l.base = now
	}
	l.report()
	return l.lost, nil
}

// precedes reports whether the marks are of the same consumer and log; either may have been
// deleted and made anew.
func (m *mark) precedes(now *mark) bool {
	return m.Handed <= now.Handed && m.Last <= now.Last && m.First <= now.First
}

// mayHaveLost reports whether anything that waited, or has come since, is gone.
func (m *mark) mayHaveLost(now *mark) bool {
	return now.First > m.First && (now.First > m.Delivered+1 && m.Last > m.Delivered || m.forgotten(now) > 0)
}

// forgotten returns how many of the events that had been given back were removed before
// anybody got them again.
func (m *mark) forgotten(now *mark) uint64 {
	if !m.Idle || now.Handed != m.Handed || now.Unacked > m.Unacked {
		return 0
	}
	return m.Unacked - now.Unacked
}

// now makes a mark. The log is asked after the consumer, so that no event that the consumer
// counts as pending lies behind Last.
func (l *losses) now(ctx context.Context, info *jetstream.ConsumerInfo) (*mark, error) {
	s, err := l.c.j.info(ctx)
	if err != nil {
		return nil, err
	}
	return &mark{
		Handed: info.Delivered.Consumer, Delivered: info.Delivered.Stream, Pending: info.NumPending,
		Last: s.State.LastSeq, First: s.State.FirstSeq, Unacked: uint64(info.NumAckPending),
	}, nil
}

// account counts what was lost since the latest mark that anybody made, and makes a new
// one. Should another forwarder be faster, the loss is that forwarder's to count.
func (l *losses) account(ctx context.Context, now *mark) error {
	base, revision, err := l.load(ctx)
	if err != nil {
		return err
	}
	if base == nil || l.base.laterThan(base) || !base.precedes(now) {
		base = l.base
	}
	var lost uint64
	if base.mayHaveLost(now) {
		if lost, err = l.missing(ctx, base, now); err != nil {
			return err
		}
		lost += base.forgotten(now)
	}
	err = l.c.j.losses.Replace(ctx, l.key(), now.encode(), revision)
	if errors.Is(err, bucket.ErrChanged) {
		return nil // the next question compares with the other's mark
	}
	if err != nil {
		return err
	}
	l.lost += lost
	l.base, l.saved = now, time.Now()
	return nil
}

// missing returns how many of the events that waited at base have neither been handed over
// nor are still there.
func (l *losses) missing(ctx context.Context, base, now *mark) (uint64, error) {
	var left uint64
	if from := now.Delivered + 1; from <= base.Last && now.First <= base.Last {
		// What is appended between the two questions makes the difference larger, and so
		// the loss smaller.
		newer, err := l.count(ctx, base.Last+1)
		if err != nil {
			return 0, err
		}
		all, err := l.count(ctx, from)
		if err != nil {
			return 0, err
		}
		left = all - min(newer, all)
	}
	there, behind := now.Handed-base.Handed+left, max(base.First, base.Delivered+1)
	if there >= base.Pending || now.First <= behind {
		return 0, nil
	}
	// No more can be gone than there were places.
	return min(base.Pending-there, now.First-behind), nil
}

// closed makes the mark for whoever opens the cursor next, once everything in hand, at the
// given places, has been given back.
func (l *losses) closed(ctx context.Context, places []uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var now *mark
	for try := 0; ; try++ {
		info, err := l.c.info(ctx)
		if err != nil {
			return err
		}
		if now, err = l.now(ctx, info); err != nil {
			return err
		}
		// Our own requests end a moment after we have said so.
		if now.Idle = info.NumWaiting == 0; now.Idle || try == idleTries {
			break
		}
		time.Sleep(idlePause)
	}
	for _, place := range places {
		if place < now.First {
			l.lost++ // there is nothing to give back any more
		}
	}
	l.save(ctx, now)
	l.loggedAt = time.Time{}
	l.report()
	return nil
}

// count returns how many events for this output there are from a place on.
func (l *losses) count(ctx context.Context, from uint64) (uint64, error) {
	r, err := stream.Read(ctx, l.c.j.js, stream.Range{
		Stream: l.c.j.names.stream, Subjects: l.c.filters, From: from, CountOnly: true,
	})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.Pending(), nil
}

// key is the output's in the shared records.
func (l *losses) key() string {
	sum := sha256.Sum256([]byte(l.c.name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// load returns the shared mark; nil when there is none.
func (l *losses) load(ctx context.Context) (*mark, uint64, error) {
	data, revision, err := l.c.j.losses.Get(ctx, l.key())
	if err != nil || data == nil {
		return nil, revision, err
	}
	var m mark
	if json.Unmarshal(data, &m) != nil {
		return nil, revision, nil
	}
	return &m, revision, nil
}

// save moves the shared mark if nobody else has done so.
func (l *losses) save(ctx context.Context, now *mark) {
	base, revision, err := l.load(ctx)
	if err == nil && (base == nil || now.Idle != base.Idle || now.laterThan(base) || !base.precedes(now)) {
		err = l.c.j.losses.Replace(ctx, l.key(), now.encode(), revision)
	}
	if err == nil || errors.Is(err, bucket.ErrChanged) {
		l.saved = time.Now()
	}
}

func (m *mark) encode() []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // numbers only
	}
	return data
}

// report logs losses, not too often.
func (l *losses) report() {
	now := time.Now()
	if l.lost == l.logged || now.Sub(l.loggedAt) < lossLogInterval {
		return
	}
	l.c.j.log.Warn("the journal's limits removed events before an output got them: raise journal.maxbytes or journal.maxage, or mend the output",
		"output", l.c.name, "lost", l.lost-l.logged, "lost_in_all", l.lost)
	l.logged, l.loggedAt = l.lost, now
}

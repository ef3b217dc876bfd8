// Package embedded is the journal that keeps its log on this machine's disk and has it for
// itself. It implements journal.Journal.
//
// It stands between ingest, which appends, and deliver, which reads through one cursor an
// output. The storage is a NATS JetStream server inside the process that listens on
// nothing; what one message of its stream holds, who has read how far, and what is lost
// are this package's own.
//
//	Append ─▶ queue ─▶ committer ─▶ stream LOG, one message = one chunk of events
//	                        └─────▶ head: the newest events, decoded, in memory
//	Fetch  ◀─ who keeps up: head; who lags: chunks of the LOG until it is at the head
//	Ack    ─▶ cursor ─▶ saver ─▶ cursors/NAME.cursor
//
// The senders encode their events beside one another; the committer, one goroutine, gathers
// what waits into a chunk, leaves out duplicates, stores it with one write and answers all
// of them. Its trailer counts the events before it by class, so that what an output has
// still to get, or has lost, is a subtraction.
//
// Invariants: an event's sequence is never used twice, not even after a damaged disk took
// the log's end. A cursor's file always holds a whole record. After kill -9 an output gets
// again what it had in hand and what it acknowledged in the last 5 ms. What the limits
// removed before an output got it is counted exactly, also while it hangs or nothing runs.
//
// Memory is bounded: 64 MiB of events being appended, 4096 events or 8 MiB of text at the
// head, less than 100 MiB of remembered UUIDs (as many as come in the duplicate window, at
// most two million), for each output 65536 events in hand and, while it lags, one chunk of
// 1 MiB or the largest event and 64 chunks read ahead with less than 512 KiB beside the
// last of them, twice as much while it also gets events again.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/bucket"
	"github.com/saker-security/saker/forwarder/journal/deadletter"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// apiTimeout bounds one question to the log.
	apiTimeout = 5 * time.Second
	// minChunks is how many chunks the log holds at least, so that its limits remove little
	// at a time.
	minChunks = 64
	// maxMessage is the most bytes of a chunk: the largest event, or a full chunk, and the
	// trailer.
	maxMessage = 2 << 20
)

// Journal is an open journal. Its methods are those of journal.Journal.
type Journal struct {
	cfg    journal.Config
	log    *slog.Logger
	broker *broker
	conn   *nats.Conn // for all but the log; it comes back by itself
	js     jetstream.JetStream
	dead   *deadletter.Letters
	disk   diskGuard

	inflight  *semaphore.Weighted // bytes of events being appended
	queue     queue
	committer committer
	storing   sync.Mutex           // held while the log is written or opened again
	link      atomic.Pointer[link] // nil while the storage fails
	head      head
	cursors   cursors
	begin     beginning

	broken    chan error // a storage failure for the supervisor; holds one
	fault     atomic.Pointer[error]
	closing   chan struct{}
	lifetime  context.Context // ends a while after Close begins
	end       context.CancelCauseFunc
	closeOnce sync.Once
	closeErr  error
	wait      sync.WaitGroup
}

var _ journal.Journal = (*Journal)(nil)

// Open opens the journal in dir and makes the folder if need be. Only one process can have
// it open; a second one gets journal.ErrLocked. What a crash left half-written at the end is
// cut off. Close must be called.
func Open(ctx context.Context, dir string, cfg journal.Config, log *slog.Logger) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if log == nil {
		log = slog.Default()
	}
	b, err := startBroker(dir, cfg.Sync == journal.SyncAlways, log)
	if err != nil {
		return nil, fmt.Errorf("open journal in %q: %w", dir, err)
	}
	j := &Journal{
		cfg: cfg, log: log, broker: b,
		inflight: semaphore.NewWeighted(maxInFlight),
		disk:     diskGuard{dir: dir, reserve: int64(cfg.MinFree), log: log},
		broken:   make(chan error, 1),
		closing:  make(chan struct{}),
	}
	j.lifetime, j.end = context.WithCancelCause(context.Background())
	j.head.maxEvents, j.head.maxBytes = ringEvents, ringBytes
	j.queue.filled = make(chan struct{}, 1)
	j.cursors = cursors{j: j, log: log}
	j.committer = committer{
		j: j, window: window{width: cfg.DuplicateWindow},
		limit: min(maxChunk, int(cfg.MaxBytes)/minChunks),
	}
	if err := j.start(ctx, dir); err != nil {
		j.end(journal.ErrClosed)
		return nil, errors.Join(fmt.Errorf("open journal in %q: %w", dir, err), j.release())
	}
	if err := j.disk.check(time.Now()); err != nil {
		log.Warn("the journal's disk is nearly full: senders are asked to come back later", "error", err)
	}
	j.wait.Go(j.committer.run)
	j.wait.Go(j.cursors.run)
	j.wait.Go(j.supervise)
	return j, nil
}

// start opens the parts and finds out where the log goes on.
func (j *Journal) start(ctx context.Context, dir string) error {
	next, n, err := j.cursors.load(dir)
	if err != nil {
		return err
	}
	if err := j.connect(ctx); err != nil {
		return err
	}
	l, err := newLink(j.broker)
	if err != nil {
		return err
	}
	j.link.Store(l)
	last, err := l.getLast(ctx)
	message := uint64(0)
	switch {
	case errors.Is(err, errNothing):
	case err != nil:
		return err
	default:
		message = last.message
		if last.damaged == nil {
			after := last.after()
			next = max(next, last.last()+1)
			n.raise(&after)
		}
	}
	j.head.start(next, message, &n)
	if j.cursors.reset.Load() > 0 {
		oldest, err := j.gone(ctx)
		if err != nil {
			return err
		}
		j.cursors.place(oldest)
	}
	if err := j.remember(ctx, l); err != nil {
		return err
	}
	return j.findDirected(ctx, l)
}

// connect opens the connection for all but the log, and makes the streams what cfg says.
func (j *Journal) connect(ctx context.Context) (err error) {
	j.conn, err = nats.Connect("", nats.InProcessServer(j.broker), nats.Name("saker journal"),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.log.Warn("journal connection", "error", err)
		}))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	j.dead = deadletter.New(j.js, deadletter.Options{
		Stream: "DEADLETTERS", Subject: "dead.", Replicas: 1, Limits: j.cfg.DeadLetters,
		DuplicateWindow: j.cfg.DuplicateWindow, Log: j.log,
	})
	return j.createStreams(ctx)
}

func (j *Journal) createStreams(ctx context.Context) error {
	err := stream.Ensure(ctx, j.js, jetstream.StreamConfig{
		Name: logStream, Subjects: []string{logSubjects}, Description: "Saker events",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		MaxBytes: int64(j.cfg.MaxBytes), MaxAge: j.cfg.MaxAge, Duplicates: minDuplicates,
		MaxMsgSize: maxMessage, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, Replicas: 1, AllowDirect: true,
	}, j.log)
	if err != nil {
		return err
	}
	return j.dead.Ensure(ctx)
}

// minDuplicates is the least that the server takes for a window of its own, which isn't
// used: the committer knows duplicates.
const minDuplicates = 100 * time.Millisecond

// remember fills the window of duplicates with what was stored last.
func (j *Journal) remember(ctx context.Context, l *link) error {
	now := time.Now()
	r := reader{j: j}
	first, err := r.search(ctx, l, func(c *chunk) bool { return now.Sub(c.stored) < j.cfg.DuplicateWindow })
	for all := []*chunk{first}; err == nil; {
		for _, c := range all {
			for w := (walk{chunk: c}); w.more(); w.step() { // a damaged one has nothing
				j.committer.window.add(c.key(&w), now)
			}
		}
		all, err = l.read(ctx, all[len(all)-1].message+1, j.head.lastMessage(), maxRead)
	}
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// findDirected tells each cursor what the log holds for its output alone.
func (j *Journal) findDirected(ctx context.Context, l *link) error {
	for _, c := range j.cursors.list() {
		escaped, err := journal.EscapeName(c.name)
		if err != nil {
			return err
		}
		found, err := l.getFor(ctx, c.message, escaped)
		for ; err == nil; found, err = l.getFor(ctx, found.message+1, escaped) {
			if found.damaged == nil && found.first > c.read {
				c.expect(span{found.first, found.last()})
			}
		}
		if !errors.Is(err, errNothing) {
			return err
		}
	}
	return nil
}

// Ready returns nil when an Append can be expected to succeed, and the reason when not.
func (j *Journal) Ready() error {
	select {
	case <-j.closing:
		return journal.ErrClosed
	default:
	}
	if err := j.fault.Load(); err != nil {
		return *err
	}
	return j.disk.check(time.Now())
}

// CursorsReset is the number of cursors that were damaged when the journal was opened;
// their outputs get all stored events again.
func (j *Journal) CursorsReset() uint64 { return j.cursors.reset.Load() }

// DeadLetters are those of all outputs.
func (j *Journal) DeadLetters() journal.DeadLetters { return j.dead }

// Bucket opens the durable records called name, as journal.Journal says. A name has 1 to 64
// bytes.
func (j *Journal) Bucket(ctx context.Context, name string) (journal.Bucket, error) {
	escaped, err := journal.EscapeName(name)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	b := bucket.New(j.js, bucket.Options{
		Stream: "BUCKET_" + escaped, Subject: "bucket." + escaped + ".", Replicas: 1, Log: j.log,
	})
	if err := b.Ensure(ctx); err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, journal.Unavailable(err))
	}
	return b, nil
}

// Close stops the journal as journal.Journal says. When ctx ends first, the server inside
// ends by itself later.
func (j *Journal) Close(ctx context.Context) error {
	j.closeOnce.Do(func() {
		close(j.closing)
		done := make(chan error, 1)
		go func() { done <- j.shutDown() }()
		select {
		case j.closeErr = <-done:
		case <-ctx.Done():
			j.closeErr = ctx.Err()
		}
		if j.closeErr != nil {
			j.closeErr = fmt.Errorf("close journal: %w", j.closeErr)
		}
	})
	return j.closeErr
}

// shutDown ends the parts, the server last, and gives the folder back.
func (j *Journal) shutDown() error {
	grace := time.AfterFunc(closeGrace, func() { j.end(journal.ErrClosed) })
	j.wait.Wait()
	grace.Stop()
	j.end(journal.ErrClosed)
	return errors.Join(j.cursors.close(), j.release())
}

// release ends the connections and the server.
func (j *Journal) release() error {
	if l := j.link.Swap(nil); l != nil {
		l.close()
	}
	if j.conn != nil {
		j.conn.Close()
	}
	return j.broker.close()
}

// Package journal is the forwarder's durable log of events.
//
// It stands between ingest and deliver: ingest appends, and answers its sender only once
// the events are stored; every output reads through a Consumer of its own, a cursor that
// survives restarts. An event is stored once, however many outputs there are.
//
//	ingest ── Append ──▶ EVENTS ──┬── Consumer "slack" ── Fetch ──▶ deliver ── Ack
//	                              ├── Consumer "elasticsearch" ── …
//	                              └── Tail (the live page)
//	deliver ── Bury ──▶ DEADLETTERS ── DeadLetters
//
// The log is NATS JetStream with a server inside this process, which listens on nothing.
//
//	j, err := journal.Open(ctx, filepath.Join(dataDir, "journal"), cfg, log)
//	err = j.Append(ctx, events)                   // nil: stored
//	c, err := j.Consumer(ctx, "slack", event.Warning)
//	worker := deliver.New(deliver.Options{Source: c, …})
//	…
//	err = c.Close(ctx)                            // after the worker has returned
//	err = j.Close(ctx)
//
// Invariants: Append returns nil only for events that survive the death of the process.
// Every event a consumer's filter lets pass is delivered until it is acknowledged, or is
// counted as lost because the limits of size and age removed it first (Lag). What cannot
// be decoded becomes a dead letter and holds up nothing. Memory is bounded: 64 MiB of
// events being appended, and a Fetch's own limits.
//
// A failing disk doesn't end the process. Append refuses with ErrFull or ErrUnavailable,
// and the journal opens its storage again, with growing pauses of up to 30 seconds, until
// it works.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

const (
	// apiTimeout bounds one question to the log, such as a consumer's state.
	apiTimeout = 5 * time.Second
	// maxMessage is the most bytes of one stored message: an event and, in a dead letter,
	// what went wrong with it.
	maxMessage = 4 << 20
)

// Journal is an open journal. Its methods may be called from several goroutines at once.
type Journal struct {
	cfg    Config
	log    *slog.Logger
	broker *broker
	conn   *nats.Conn
	js     jetstream.JetStream

	inflight *semaphore.Weighted // bytes of events being appended
	acks     ackRouter
	appended [subjects]atomic.Uint64 // stored since Open, by subject
	disk     diskGuard

	broken    chan error // a storage failure for the supervisor; holds one
	fault     atomic.Pointer[error]
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	wait      sync.WaitGroup
}

// Open opens the journal in dir and makes the folder if need be. Only one process can have
// it open; a second one gets ErrLocked. What a crash left half-written at the end is cut
// off. Close must be called.
func Open(ctx context.Context, dir string, cfg Config, log *slog.Logger) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if log == nil {
		log = slog.Default()
	}
	b, err := startBroker(dir, cfg.Sync == SyncAlways, log)
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
	if err := j.connect(ctx); err != nil {
		if j.conn != nil {
			j.conn.Close()
		}
		return nil, errors.Join(fmt.Errorf("open journal in %q: %w", dir, err), b.close())
	}
	if err := j.disk.check(time.Now()); err != nil {
		log.Warn("the journal's disk is nearly full: senders are asked to come back later", "error", err)
	}
	j.wait.Go(j.supervise)
	return j, nil
}

// connect opens the in-process connection and makes the streams what cfg says.
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
	if err := j.createStreams(ctx); err != nil {
		return err
	}
	return j.acks.subscribe(j.conn, j.stored)
}

func (j *Journal) createStreams(ctx context.Context) error {
	for _, s := range []jetstream.StreamConfig{
		{
			Name: eventStream, Subjects: []string{allEvents}, Description: "Saker events",
			MaxBytes: int64(j.cfg.MaxBytes), MaxAge: j.cfg.MaxAge, Duplicates: j.cfg.DuplicateWindow,
		},
		{
			Name: deadStream, Subjects: []string{deadPrefix + ">"}, Description: "Saker events that no attempt could deliver",
			MaxBytes: int64(j.cfg.DeadLetters.MaxBytes), MaxAge: j.cfg.DeadLetters.MaxAge, Duplicates: j.cfg.DuplicateWindow,
		},
	} {
		s.Retention, s.Discard, s.Storage = jetstream.LimitsPolicy, jetstream.DiscardOld, jetstream.FileStorage
		s.MaxMsgSize, s.MaxMsgs, s.MaxConsumers, s.Replicas = maxMessage, -1, -1, 1
		s.AllowDirect = true
		if _, err := j.js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("set up stream %s: %w", s.Name, err)
		}
	}
	return nil
}

// Ready returns nil when an Append can be expected to succeed, and the reason when not.
func (j *Journal) Ready() error {
	select {
	case <-j.closing:
		return ErrClosed
	default:
	}
	if err := j.fault.Load(); err != nil {
		return *err
	}
	return j.disk.check(time.Now())
}

// Close stops the journal. Appends under way fail with ErrClosed unless they are done in
// time. Everything stored is on disk when it returns nil; calling it again returns the
// same. It waits no longer than ctx, and then leaves the server to end by itself.
func (j *Journal) Close(ctx context.Context) error {
	j.closeOnce.Do(func() {
		close(j.closing)
		done := make(chan error, 1)
		go func() { done <- j.shutDown(ctx) }()
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
func (j *Journal) shutDown(ctx context.Context) error {
	j.wait.Wait()
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := j.conn.FlushWithContext(ctx); err != nil {
		j.log.Debug("flush at close", "error", err)
	}
	j.conn.Close()
	j.acks.failAll(ErrClosed)
	return j.broker.close()
}

// Stats are figures of the whole journal.
type Stats struct {
	// Events and Bytes are what is stored, acknowledged or not.
	Events, Bytes uint64
	// First and Last are the sequences of the oldest and the newest event; Last is First-1
	// when the journal is empty.
	First, Last uint64
	// Oldest is when the oldest event was stored; zero when the journal is empty.
	Oldest time.Time
	// DeadLetters are counted by output.
	DeadLetters map[string]uint64
	// DeadLetterBytes is what they take on disk.
	DeadLetterBytes uint64
}

// Stats asks the journal for its figures.
func (j *Journal) Stats(ctx context.Context) (Stats, error) {
	info, err := j.streamInfo(ctx, eventStream)
	if err != nil {
		return Stats{}, err
	}
	dead, err := j.streamInfo(ctx, deadStream, jetstream.WithSubjectFilter(deadPrefix+">"))
	if err != nil {
		return Stats{}, err
	}
	s := Stats{
		Events: info.State.Msgs, Bytes: info.State.Bytes, First: info.State.FirstSeq, Last: info.State.LastSeq,
		DeadLetters: make(map[string]uint64, len(dead.State.Subjects)), DeadLetterBytes: dead.State.Bytes,
	}
	if s.Events > 0 {
		s.Oldest = info.State.FirstTime
	}
	for subject, n := range dead.State.Subjects {
		s.DeadLetters[unescape(strings.TrimPrefix(subject, deadPrefix))] = n
	}
	return s, nil
}

func (j *Journal) streamInfo(ctx context.Context, name string, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := j.js.Stream(ctx, name)
	if err != nil {
		return nil, unavailable(fmt.Errorf("ask for the state of stream %s: %w", name, err))
	}
	if len(opts) == 0 {
		return s.CachedInfo(), nil
	}
	info, err := s.Info(ctx, opts...)
	if err != nil {
		return nil, unavailable(fmt.Errorf("ask for the state of stream %s: %w", name, err))
	}
	return info, nil
}

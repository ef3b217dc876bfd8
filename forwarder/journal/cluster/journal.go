// Package cluster is the journal on a NATS cluster: one log of events that several
// forwarders share, without a leader among them.
//
// It stands where package embedded stands on a single machine, between ingest and deliver:
//
//	forwarder A ── Append ──▶ ┌─ NATS, three servers ─┐ ──▶ "slack" of A
//	forwarder B ── Append ──▶ │ SAKER_EVENTS          │ ──▶ "slack" of B
//	                          │ SAKER_DEADLETTERS     │
//	                          │ SAKER_RECORDS_…       │
//	                          └───────────────────────┘
//
// An event is one message, named by its UUID, so that the servers recognise one that is
// sent again. Append returns once a majority of the replicas has it. An output is one
// durable pull consumer, whatever the number of forwarders: each of them has a request for
// events waiting there, and the servers deal the events out among them. What a forwarder
// got and did not acknowledge comes back after journal.AckWait when the forwarder dies,
// and at once when it stops. An acknowledgement that was under way when a server died may
// be lost with it; that event is then delivered once more.
//
// The forwarder starts and goes on running without the cluster, so that its probes are
// answered and its senders are told to come back later: Append and Fetch return
// journal.ErrUnavailable, Ready says why, and everything resumes when a majority of the
// servers is back. Only what no waiting mends keeps Open from succeeding: credentials or
// certificates that the servers refuse, JetStream that isn't there.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
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
	// apiTimeout bounds one question to the servers, such as a consumer's state.
	apiTimeout = 5 * time.Second
	// patience is how long Open takes no for a passing answer.
	patience = 2 * time.Second
	// maxMessage is the most bytes of one stored event with its headers.
	maxMessage = 2 << 20
)

// Journal is an open journal. Its methods may be called from several goroutines at once.
type Journal struct {
	cfg     journal.Config
	names   names
	ackWait time.Duration
	log     *slog.Logger
	conn    *nats.Conn
	js      jetstream.JetStream
	letters *deadletter.Letters
	losses  *bucket.Bucket // marks by output

	inflight *semaphore.Weighted // bytes of events being appended
	acks     ackRouter
	health   health

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	wait      sync.WaitGroup

	mu        sync.Mutex
	consumers map[string]bool // open ones
}

var _ journal.Journal = (*Journal)(nil)

// Open connects to the cluster at cfg.URL and makes what the journal needs there. When the
// cluster cannot be reached it returns a Journal all the same, which goes on trying. Close
// must be called.
func Open(ctx context.Context, cfg journal.Config, log *slog.Logger) (*Journal, error) {
	return open(ctx, cfg, log, journal.AckWait)
}

func open(ctx context.Context, cfg journal.Config, log *slog.Logger, ackWait time.Duration) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if !cfg.Remote() {
		return nil, errors.New("open journal: journal.url must be set")
	}
	if log == nil {
		log = slog.Default()
	}
	j := &Journal{
		cfg: cfg, names: namesFor(cfg.Stream), ackWait: ackWait, log: log,
		inflight: semaphore.NewWeighted(maxInFlight), closing: make(chan struct{}),
		consumers: map[string]bool{},
		health:    health{check: make(chan struct{}, 1)},
	}
	if err := j.start(ctx); err != nil {
		if j.conn != nil {
			j.conn.Close()
		}
		return nil, fmt.Errorf("open journal on the NATS cluster: %w", err)
	}
	j.wait.Go(j.watchHealth)
	return j, nil
}

func (j *Journal) start(ctx context.Context) (err error) {
	if j.conn, err = j.connect(); err != nil {
		return err
	}
	if j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		return err
	}
	j.letters = deadletter.New(j.js, deadletter.Options{
		Stream: j.names.dead, Subject: j.names.deadLetters, Replicas: j.cfg.Replicas,
		Limits: j.cfg.DeadLetters, DuplicateWindow: j.cfg.DuplicateWindow, Log: j.log,
	})
	j.losses = bucket.New(j.js, bucket.Options{
		Stream: j.names.losses, Subject: j.names.lossMarks, Replicas: j.cfg.Replicas, Log: j.log,
	})
	if err := j.acks.subscribe(j.conn); err != nil {
		return err
	}
	for began := time.Now(); ; {
		err = j.examine(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && hopeless(err) && time.Since(began) < patience:
			// Servers that are starting may answer so for a moment.
			select {
			case <-ctx.Done():
			case <-time.After(faultInterval):
			}
		case err != nil && hopeless(err):
			return err
		default:
			j.setFault(err)
			return nil
		}
	}
}

// setUp makes the streams what cfg says.
func (j *Journal) setUp(ctx context.Context) error {
	err := stream.Ensure(ctx, j.js, jetstream.StreamConfig{
		Name: j.names.stream, Subjects: []string{j.names.events + ">"}, Description: "Saker events",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		MaxBytes: int64(j.cfg.MaxBytes), MaxAge: j.cfg.MaxAge, Duplicates: j.cfg.DuplicateWindow,
		MaxMsgSize: maxMessage, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, Replicas: j.cfg.Replicas,
	}, j.log)
	if err == nil {
		err = j.letters.Ensure(ctx)
	}
	if err == nil {
		err = j.losses.Ensure(ctx)
	}
	if err != nil {
		return j.explain(err)
	}
	if most := j.conn.MaxPayload(); most < maxMessage {
		j.log.Warn("the NATS servers refuse messages of the largest size that an event may have: set their max_payload to 4MB",
			"max_payload", most)
	}
	return nil
}

// DeadLetters are those of all outputs.
func (j *Journal) DeadLetters() journal.DeadLetters { return j.letters }

var validBucket = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// Bucket opens the durable records called name, which all forwarders of a journal share,
// and makes them if need be. A name has 1 to 32 letters, digits and dashes.
func (j *Journal) Bucket(ctx context.Context, name string) (journal.Bucket, error) {
	b, err := j.bucket(name)
	if err != nil {
		return nil, fmt.Errorf("open records: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := b.Ensure(ctx); err != nil {
		return nil, fmt.Errorf("open records %q: %w", name, journal.Unavailable(err))
	}
	return b, nil
}

func (j *Journal) bucket(name string) (*bucket.Bucket, error) {
	if !validBucket.MatchString(name) {
		return nil, fmt.Errorf("the name %q must have 1 to 32 letters, digits and dashes", name)
	}
	return bucket.New(j.js, bucket.Options{
		Stream: j.names.buckets + name, Subject: j.names.records + name + ".", Replicas: j.cfg.Replicas, Log: j.log,
	}), nil
}

// Stats asks the journal for its figures.
func (j *Journal) Stats(ctx context.Context) (journal.Stats, error) {
	info, err := j.info(ctx)
	if err != nil {
		return journal.Stats{}, fmt.Errorf("ask for the journal's state: %w", journal.Unavailable(err))
	}
	dead, bytes, err := j.letters.Counts(ctx)
	if err != nil {
		return journal.Stats{}, err
	}
	s := journal.Stats{
		Events: info.State.Msgs, Bytes: info.State.Bytes, First: max(info.State.FirstSeq, 1), Last: info.State.LastSeq,
		DeadLetters: dead, DeadLetterBytes: bytes,
	}
	if s.Events > 0 {
		s.Oldest = info.State.FirstTime
	} else {
		s.First = s.Last + 1
	}
	return s, nil
}

// info asks for the state of the stream of events.
func (j *Journal) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := stream.Open(ctx, j.js, j.names.stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// Close ends the use of the cluster. Appends under way fail with journal.ErrClosed. It
// waits until what was sent has reached the servers, but no longer than ctx and 5 seconds;
// calling it again returns the same.
func (j *Journal) Close(ctx context.Context) error {
	j.closeOnce.Do(func() {
		close(j.closing)
		j.wait.Wait()
		j.acks.failAll(journal.ErrClosed)
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		if j.conn.IsConnected() {
			if err := j.conn.FlushWithContext(ctx); err != nil {
				j.closeErr = fmt.Errorf("close journal: %w", err)
			}
		}
		j.conn.Close()
	})
	return j.closeErr
}

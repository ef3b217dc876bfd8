package silence

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// BucketName is the name of the bucket that the silences are kept in.
const BucketName = "silences"

// The errors that callers act on; compare with errors.Is.
const (
	// ErrNotFound says that there is no silence of that id.
	ErrNotFound = constError("there is no such silence")
	// ErrExpired says that a silence has expired and can't be changed any more.
	ErrExpired = constError("the silence has expired: add a new one")
	// ErrNotReady says that the Book has not read the silences yet. Try again soon.
	ErrNotReady = constError("the silences have not been read yet")
	// ErrTooMany says that there are Max silences that have not expired.
	ErrTooMany = constError("there are too many silences: expire one that is not needed")
)

type constError string

func (e constError) Error() string { return string(e) }

// InvalidError says what is wrong with a silence that was to be added.
type InvalidError struct{ err error }

// Error returns one mistake a line.
func (e *InvalidError) Error() string { return e.err.Error() }

// Unwrap returns the mistakes.
func (e *InvalidError) Unwrap() error { return e.err }

const (
	// echoWait is how long a change waits until the Book has got it back from the bucket.
	echoWait = 2 * time.Second
	// sweepEvery is how often silences that are past their retention are looked for.
	sweepEvery = time.Hour
	// firstPause and lastPause bound the pause before the bucket is followed again.
	firstPause, lastPause = 100 * time.Millisecond, 30 * time.Second
	// maxHeld is the most silences in memory. Forwarders that add at the same moment don't
	// know of each other, so the bucket can have some more than Max.
	maxHeld = Max + 100
)

// Book knows all silences. Its methods may be called from several goroutines at once.
type Book struct {
	bucket journal.Bucket
	log    *slog.Logger
	live   atomic.Pointer[snapshot]
	synced chan struct{}

	mu sync.Mutex
	// all holds the silences by id, expired ones included.
	all map[string]*entry
	// changed is closed, and replaced, when all has changed.
	changed chan struct{}
	ready   bool
}

// New makes a Book of the silences in bucket. It reads them once Run is called.
func New(bucket journal.Bucket, log *slog.Logger) *Book {
	return &Book{
		bucket: bucket, log: log, synced: make(chan struct{}),
		all: map[string]*entry{}, changed: make(chan struct{}),
	}
}

// Status is a silence with what the Book knows about it.
type Status struct {
	Silence
	State State `json:"state"`
	// HeldBack is how many notifications this forwarder has held back because of it since
	// it was started: an event that three outputs would have got counts three times.
	HeldBack uint64 `json:"heldBack"`
}

// Synced is closed once the silences have been read for the first time. Who starts to
// deliver should wait for it, but not for ever: a journal that is away must not keep back
// alerts.
func (b *Book) Synced() <-chan struct{} { return b.synced }

// Silenced says whether a silence holds e back at the time now, and its id. It counts that.
// It takes no lock, and without silences no time.
func (b *Book) Silenced(e *event.Event, now time.Time) (id string, ok bool) {
	s := b.live.Load().find(e, now)
	if s == nil {
		return "", false
	}
	s.heldBack.Add(1)
	return s.ID, true
}

// WhySilenced answers what Silenced does, with a clause for people, and counts nothing.
func (b *Book) WhySilenced(e *event.Event, now time.Time) (reason string, ok bool) {
	s := b.live.Load().find(e, now)
	if s == nil {
		return "", false
	}
	return fmt.Sprintf("silence %s of %s holds it back until %s: %q", s.ID, s.Author, s.EndsAt.UTC().Format(time.RFC3339), s.Comment), true
}

// List returns all silences as they are at the time now: active ones first, then pending,
// then expired; of active and pending ones first what changes first, of expired ones what
// expired last.
func (b *Book) List(now time.Time) []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Status, 0, len(b.all))
	for _, s := range b.all {
		list = append(list, s.status(now))
	}
	rank := map[State]int{Active: 0, Pending: 1, Expired: 2}
	slices.SortFunc(list, func(x, y Status) int {
		order := x.EndsAt.Compare(y.EndsAt)
		switch {
		case x.State == Pending && y.State == Pending:
			order = x.StartsAt.Compare(y.StartsAt)
		case x.State == Expired:
			order = -order
		}
		return cmp.Or(cmp.Compare(rank[x.State], rank[y.State]), order, cmp.Compare(x.ID, y.ID))
	})
	return list
}

func (s *entry) status(now time.Time) Status {
	return Status{s.Silence, s.State(now), s.heldBack.Load()}
}

// Get returns the silence called id as it is at the time now, or ErrNotFound.
func (b *Book) Get(id string, now time.Time) (Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.all[id]
	if !ok {
		return Status{}, ErrNotFound
	}
	return s.status(now), nil
}

// Add stores a silence and returns it as it is stored. Without an ID it is a new one and
// gets an ID; with one it takes the place of the silence that has it and has not expired. A
// start that is not given or is past becomes now, or, of a silence that is active already,
// stays what it was. The end must be to come.
//
// It returns once the silence is stored and, in the usual case, holds here; other forwarders
// follow within moments. Its error is an *InvalidError, ErrNotFound, ErrExpired, ErrTooMany,
// ErrNotReady or the bucket's own.
func (b *Book) Add(ctx context.Context, s Silence) (Silence, error) {
	now := time.Now()
	old, err := b.known(s.ID, now)
	if err != nil {
		return Silence{}, err
	}
	switch {
	case s.ID != "" && old.State(now) == Active:
		s.StartsAt = old.StartsAt
	case s.StartsAt.Before(now):
		s.StartsAt = now
	}
	err = s.Validate()
	if !s.EndsAt.IsZero() && !s.EndsAt.After(now) {
		err = errors.Join(err, errors.New("a silence must not have ended already"))
	}
	if err != nil {
		return Silence{}, &InvalidError{err}
	}
	if s.ID == "" {
		if err := b.makeRoom(ctx, now); err != nil {
			return Silence{}, err
		}
		s.ID = newID()
	}
	return b.store(ctx, s, old.UpdatedAt, now)
}

// Expire ends a silence now, a pending one before it has started, and returns it. Errors are
// those of Add.
func (b *Book) Expire(ctx context.Context, id string) (Silence, error) {
	now := time.Now()
	if id == "" {
		return Silence{}, ErrNotFound
	}
	s, err := b.known(id, now)
	if err != nil {
		return Silence{}, err
	}
	if s.StartsAt.After(now) {
		s.StartsAt = now
	}
	s.EndsAt = now
	return b.store(ctx, s, s.UpdatedAt, now)
}

// known returns the silence called id, which must not have expired; the zero Silence for no
// id.
func (b *Book) known(id string, now time.Time) (Silence, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ready {
		return Silence{}, ErrNotReady
	}
	if id == "" {
		return Silence{}, nil
	}
	s, ok := b.all[id]
	switch {
	case !ok:
		return Silence{}, ErrNotFound
	case s.State(now) == Expired:
		return Silence{}, ErrExpired
	}
	return s.Silence, nil
}

// makeRoom deletes the silences that expired first while there are Max or more.
func (b *Book) makeRoom(ctx context.Context, now time.Time) error {
	b.mu.Lock()
	excess := len(b.all) - Max + 1
	var expired []*entry
	for _, s := range b.all {
		if s.State(now) == Expired {
			expired = append(expired, s)
		}
	}
	b.mu.Unlock()
	if excess <= 0 {
		return nil
	}
	if len(expired) < excess {
		return ErrTooMany
	}
	slices.SortFunc(expired, func(x, y *entry) int { return x.EndsAt.Compare(y.EndsAt) })
	for _, s := range expired[:excess] {
		if err := b.bucket.Delete(ctx, s.ID); err != nil {
			return fmt.Errorf("make room for a silence: %w", err)
		}
	}
	return nil
}

// store puts s into the bucket and waits until the Book has it from there. Only what has
// come back counts: so all forwarders have the same silences, whoever stored last.
func (b *Book) store(ctx context.Context, s Silence, before, now time.Time) (Silence, error) {
	s.StartsAt, s.EndsAt = s.StartsAt.UTC().Round(0), s.EndsAt.UTC().Round(0)
	s.UpdatedAt = now.UTC().Round(0)
	// The clocks of two forwarders can differ; a change is still later than what it changes.
	if !s.UpdatedAt.After(before) {
		s.UpdatedAt = before.Add(time.Nanosecond)
	}
	record, err := json.Marshal(s)
	if err != nil {
		return Silence{}, fmt.Errorf("encode a silence: %w", err)
	}
	if len(record) > journal.MaxRecord {
		return Silence{}, &InvalidError{fmt.Errorf("a silence must not be larger than %d bytes", journal.MaxRecord)}
	}
	if err := b.bucket.Put(ctx, s.ID, record); err != nil {
		return Silence{}, fmt.Errorf("store a silence: %w", err)
	}
	b.awaitEcho(ctx, s)
	return s, nil
}

// awaitEcho waits until the Book has s or something newer in its place, at most echoWait.
func (b *Book) awaitEcho(ctx context.Context, s Silence) {
	ctx, cancel := context.WithTimeout(ctx, echoWait)
	defer cancel()
	for {
		b.mu.Lock()
		got, ok := b.all[s.ID]
		changed := b.changed
		b.mu.Unlock()
		if ok && !got.UpdatedAt.Before(s.UpdatedAt) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// newID returns an id that is easy to read out: 12 of 32 characters, 60 random bits.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

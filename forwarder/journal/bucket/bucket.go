// Package bucket keeps small durable records by key, such as silences, that all forwarders
// of a journal share.
//
// It stands beside the log of events, on the same NATS server or cluster. A bucket is a
// stream that keeps the newest message of each subject, and the subject ends with the key.
// A record that is deleted leaves a mark for an hour, so that whoever watches hears of it;
// a watch also compares all there is from time to time, so that one which was cut off for
// longer misses nothing either.
//
// A bucket is bounded: 1000 records (the marks of deleted ones included) of
// journal.MaxRecord bytes. Forwarders that add records at the same moment may exceed the
// number by a few.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// MaxRecords is the most records in a bucket.
	MaxRecords = 1000

	// markTTL is how long a deleted record's mark is kept.
	markTTL = time.Hour
	// timeout bounds one question to the server.
	timeout = 5 * time.Second
)

// ErrFull says that a bucket has MaxRecords records.
var ErrFull = errors.New("there are 1000 records, and those deleted within the last hour count")

// ErrChanged says that a record is no longer the one that was read.
var ErrChanged = errors.New("the record has been changed by somebody else")

var validKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// deleted is the header of a mark.
const deleted = "Saker-Deleted"

// Options say where a bucket is.
type Options struct {
	// Stream is the stream's name, Subject what the subjects of its messages begin with,
	// with the dot at the end.
	Stream, Subject string
	// Replicas is the number of servers that keep it, 1, 3 or 5.
	Replicas int
	// Unavailable turns an error of the stream into one that wraps journal.ErrUnavailable.
	// Nil is journal.Unavailable.
	Unavailable func(error) error
	Log         *slog.Logger
}

// Bucket is an open bucket. Its methods may be called from several goroutines at once.
type Bucket struct {
	js jetstream.JetStream
	o  Options
}

var _ journal.Bucket = (*Bucket)(nil)

// New does not touch the server; Ensure does.
func New(js jetstream.JetStream, o Options) *Bucket {
	if o.Unavailable == nil {
		o.Unavailable = journal.Unavailable
	}
	return &Bucket{js, o}
}

// Ensure makes the bucket if need be.
func (b *Bucket) Ensure(ctx context.Context) error {
	return stream.Ensure(ctx, b.js, jetstream.StreamConfig{
		Name: b.o.Stream, Subjects: []string{b.o.Subject + ">"}, Description: "Saker records",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		// The bound on messages is the last resort; Put refuses long before.
		MaxMsgsPerSubject: 1, MaxMsgs: 2 * MaxRecords, MaxMsgSize: journal.MaxRecord + 4<<10, MaxBytes: -1,
		MaxConsumers: -1, Replicas: b.o.Replicas, AllowMsgTTL: true, Duplicates: 2 * time.Minute,
	}, b.o.Log)
}

// Put stores a record, over one of the same key. It returns nil once it is stored, and
// waits at most 10 seconds. A record of a new key is refused with ErrFull when there are
// MaxRecords.
func (b *Bucket) Put(ctx context.Context, key string, value []byte) error {
	if err := check(key, value); err != nil {
		return fmt.Errorf("store record %q: %w", key, err)
	}
	if err := b.room(ctx, key); err != nil {
		return fmt.Errorf("store record %q: %w", key, err)
	}
	m := nats.NewMsg(b.o.Subject + key)
	m.Data = value
	if err := b.publish(ctx, m); err != nil {
		return fmt.Errorf("store record %q: %w", key, err)
	}
	return nil
}

// Get returns a record and its revision; without one nil and a revision that Replace takes
// to mean just that.
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := check(key, nil); err != nil {
		return nil, 0, fmt.Errorf("read record %q: %w", key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var m *jetstream.RawStreamMsg
	s, err := stream.Open(ctx, b.js, b.o.Stream)
	if err == nil {
		m, err = s.GetLastMsgForSubject(ctx, b.o.Subject+key)
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read record %q: %w", key, b.o.Unavailable(err))
	case m.Header.Get(deleted) != "":
		return nil, m.Sequence, nil
	}
	return some(m.Data), m.Sequence, nil
}

// Replace stores a record over the revision that Get returned; it returns ErrChanged when
// somebody else has stored or deleted the record since then.
func (b *Bucket) Replace(ctx context.Context, key string, value []byte, revision uint64) error {
	if err := check(key, value); err != nil {
		return fmt.Errorf("replace record %q: %w", key, err)
	}
	m := nats.NewMsg(b.o.Subject + key)
	m.Data = value
	err := b.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(revision))
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok &&
		(apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || apiErr.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		err = ErrChanged
	}
	if err != nil {
		return fmt.Errorf("replace record %q: %w", key, err)
	}
	return nil
}

// Delete removes a record; one that isn't there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	value, _, err := b.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("delete record: %w", err)
	}
	if value == nil {
		return nil
	}
	m := nats.NewMsg(b.o.Subject + key)
	m.Header.Set(deleted, "1")
	if err := b.publish(ctx, m, jetstream.WithMsgTTL(markTTL)); err != nil {
		return fmt.Errorf("delete record %q: %w", key, err)
	}
	return nil
}

func check(key string, value []byte) error {
	switch {
	case !validKey.MatchString(key):
		return errors.New("a key has 1 to 64 letters, digits, dashes and underscores")
	case len(value) > journal.MaxRecord:
		return fmt.Errorf("it has %d bytes, and at most %d are allowed", len(value), journal.MaxRecord)
	}
	return nil
}

// room returns ErrFull when there is no room for a record of a new key.
func (b *Bucket) room(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := stream.Open(ctx, b.js, b.o.Stream)
	if err != nil {
		return b.o.Unavailable(err)
	}
	if s.CachedInfo().State.Msgs < MaxRecords {
		return nil
	}
	_, err = s.GetLastMsgForSubject(ctx, b.o.Subject+key)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return ErrFull
	case err != nil:
		return b.o.Unavailable(err)
	}
	return nil
}

func (b *Bucket) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := stream.Connected(b.js)
	if err == nil {
		_, err = b.js.PublishMsg(ctx, m, opts...)
	}
	if err != nil {
		return b.o.Unavailable(err)
	}
	return nil
}

// some makes sure that the value of a record that is there isn't nil.
func some(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

func (b *Bucket) key(subject string) string { return strings.TrimPrefix(subject, b.o.Subject) }

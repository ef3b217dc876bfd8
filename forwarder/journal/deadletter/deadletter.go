// Package deadletter keeps the events that outputs gave up, in a stream of their own.
//
// It stands beside the log of events: deliver buries an event here before it acknowledges
// it there, and the api lists, replays and drops what is buried. Both journals use it, on
// the NATS server inside the process or on a cluster.
//
// Every letter is one message, on a subject that ends with its output's name, so that the
// letters of one output can be read and counted without reading the others.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

const (
	// maxErrorText is the most bytes of an error's text that a dead letter keeps.
	maxErrorText = 2 << 10
	// maxRaw is the most bytes kept of what cannot be decoded: escaped, they still fit into
	// the message of 1 MiB that servers take by default.
	maxRaw = 128 << 10
	// maxMessage is the most bytes of one letter: an event, escaped once more at worst, and
	// what went wrong with it.
	maxMessage = 4 << 20
	// maxListBytes is about the most bytes of letters that List returns, and readAhead what
	// it reads ahead: at least one letter must fit.
	maxListBytes = 16 << 20
	readAhead    = maxMessage + 64<<10
	// timeout bounds every call but List, and listTimeout that.
	timeout     = 5 * time.Second
	listTimeout = 20 * time.Second
)

// Options say where the dead letters are.
type Options struct {
	// Stream is the stream's name, Subject what the subjects of its messages begin with,
	// with the dot at the end.
	Stream, Subject string
	// Replicas is the number of servers that keep them, 1, 3 or 5.
	Replicas int
	Limits   journal.DeadLettersConfig
	// DuplicateWindow is how long an event that is buried again is recognised.
	DuplicateWindow time.Duration
	// Unavailable turns an error of the stream into one that wraps journal.ErrUnavailable.
	// Nil is journal.Unavailable.
	Unavailable func(error) error
	Log         *slog.Logger
}

// Letters are the dead letters of all outputs. Its methods may be called from several
// goroutines at once.
type Letters struct {
	js jetstream.JetStream
	o  Options
}

var _ journal.DeadLetters = (*Letters)(nil)

// New does not touch the server; Ensure does.
func New(js jetstream.JetStream, o Options) *Letters {
	if o.Unavailable == nil {
		o.Unavailable = journal.Unavailable
	}
	return &Letters{js, o}
}

// Ensure makes the stream, or brings an existing one up to date.
func (l *Letters) Ensure(ctx context.Context) error {
	return stream.Ensure(ctx, l.js, jetstream.StreamConfig{
		Name: l.o.Stream, Subjects: []string{l.o.Subject + ">"}, Description: "Saker events that no attempt could deliver",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		MaxBytes: int64(l.o.Limits.MaxBytes), MaxAge: l.o.Limits.MaxAge, Duplicates: l.o.DuplicateWindow,
		MaxMsgSize: maxMessage, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, Replicas: l.o.Replicas,
	}, l.o.Log)
}

// Bury stores a letter. It returns nil only once it is stored, so that the event can be
// acknowledged then; it waits at most 5 seconds. An event that the same output buried
// within the duplicate window is stored once; the sequence tells events apart.
func (l *Letters) Bury(ctx context.Context, d journal.DeadLetter) error {
	name, err := journal.EscapeName(d.Output)
	if err != nil {
		return fmt.Errorf("bury an event: %w", err)
	}
	d.FirstError, d.LastError = truncate(d.FirstError, maxErrorText), truncate(d.LastError, maxErrorText)
	d.Raw = truncate(d.Raw, maxRaw)
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("bury an event of %q: %w", d.Output, err)
	}
	m := nats.NewMsg(l.o.Subject + name)
	m.Data = data
	if d.Sequence > 0 {
		m.Header.Set(nats.MsgIdHdr, name+"."+strconv.FormatUint(d.Sequence, 10))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = stream.Connected(l.js); err == nil {
		_, err = l.js.PublishMsg(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("bury an event of %q: %w", d.Output, l.o.Unavailable(err))
	}
	return nil
}

// List returns letters, oldest first, and returns fewer than asked for when they are
// larger than about 16 MiB together. Only an empty list means that there are no more.
func (l *Letters) List(ctx context.Context, q journal.DeadLetterQuery) ([]journal.DeadLetter, error) {
	limit := q.Limit
	if limit <= 0 || limit > journal.MaxDeadLetters {
		limit = journal.MaxDeadLetters
	}
	subject := l.o.Subject + ">"
	if q.Output != "" {
		name, err := journal.EscapeName(q.Output)
		if err != nil {
			return nil, nil //nolint:nilerr // nobody has that name
		}
		subject = l.o.Subject + name
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	r, err := stream.Read(ctx, l.js, stream.Range{
		Stream: l.o.Stream, Subjects: []string{subject}, From: q.After + 1, Buffer: min(limit, 64), BufferBytes: readAhead,
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", l.o.Unavailable(err))
	}
	defer r.Close()
	if r.Pending() == 0 {
		return nil, nil
	}
	var all []journal.DeadLetter
	for bytes := 0; len(all) < limit && bytes < maxListBytes; {
		m, err := r.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", l.o.Unavailable(err))
		}
		bytes += len(m.Data)
		all = append(all, l.decode(m.Subject, m.Sequence, m.Data))
		if m.Pending == 0 {
			break
		}
	}
	return all, nil
}

// Get returns the letter with the given ID, or journal.ErrNotFound.
func (l *Letters) Get(ctx context.Context, id uint64) (journal.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var m *jetstream.RawStreamMsg
	s, err := stream.Open(ctx, l.js, l.o.Stream)
	if err == nil {
		if id == 0 {
			return journal.DeadLetter{}, fmt.Errorf("get dead letter %d: %w", id, journal.ErrNotFound)
		}
		m, err = s.GetMsg(ctx, id)
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return journal.DeadLetter{}, fmt.Errorf("get dead letter %d: %w", id, journal.ErrNotFound)
	case err != nil:
		return journal.DeadLetter{}, fmt.Errorf("get dead letter %d: %w", id, l.o.Unavailable(err))
	}
	return l.decode(m.Subject, m.Sequence, m.Data), nil
}

// Drop removes the letter with the given ID for good, or returns journal.ErrNotFound.
func (l *Letters) Drop(ctx context.Context, id uint64) error {
	if _, err := l.Get(ctx, id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := stream.Open(ctx, l.js, l.o.Stream)
	if err == nil {
		err = s.DeleteMsg(ctx, id)
	}
	if err == nil {
		return nil
	}
	if _, gone := l.Get(ctx, id); errors.Is(gone, journal.ErrNotFound) {
		return gone // somebody else dropped it at the same moment
	}
	return fmt.Errorf("drop dead letter %d: %w", id, l.o.Unavailable(err))
}

// Counts returns how many letters each output has, and what all take on disk in bytes.
func (l *Letters) Counts(ctx context.Context) (byOutput map[string]uint64, bytes uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var info *jetstream.StreamInfo
	s, err := stream.Open(ctx, l.js, l.o.Stream)
	if err == nil {
		info, err = s.Info(ctx, jetstream.WithSubjectFilter(l.o.Subject+">"))
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count dead letters: %w", l.o.Unavailable(err))
	}
	byOutput = make(map[string]uint64, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		byOutput[l.output(subject)] = n
	}
	return byOutput, info.State.Bytes, nil
}

func (l *Letters) output(subject string) string {
	return journal.UnescapeName(strings.TrimPrefix(subject, l.o.Subject))
}

// decode never fails: of a letter that cannot be read the place and the text are left.
func (l *Letters) decode(subject string, id uint64, data []byte) journal.DeadLetter {
	var d journal.DeadLetter
	if err := json.Unmarshal(data, &d); err != nil {
		d = journal.DeadLetter{
			Raw:       truncate(string(data), maxRaw),
			LastError: fmt.Sprintf("decode the stored dead letter: %v", err),
		}
		// The event may be whole even so.
		var part struct {
			Event event.Event `json:"event"`
		}
		if json.Unmarshal(data, &part) == nil {
			d.Event = part.Event
		}
	}
	d.ID, d.Output = id, l.output(subject)
	return d
}

// truncate cuts s to at most n bytes of valid UTF-8.
func truncate(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "�")
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "")
}

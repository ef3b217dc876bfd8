package journal

import (
	"context"
	"time"

	"github.com/saker-security/saker/event"
)

// DeadLetter is an event that no attempt could deliver to one output.
type DeadLetter struct {
	// ID is the dead letter's place among all of them. The journal gives it.
	ID     uint64      `json:"-"`
	Output string      `json:"output"`
	Event  event.Event `json:"event,omitzero"`
	// Raw is what is stored in the place of an event that cannot be decoded; Event is zero.
	Raw string `json:"raw,omitempty"`
	// Sequence and Stored are the event's place and time in the journal.
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	// Attempts counts the attempts of the process that gave up.
	Attempts int `json:"attempts"`
	// FirstError and LastError are the texts of the first and the last attempt's error, at
	// most 2 KiB of each.
	FirstError string `json:"first_error,omitempty"`
	LastError  string `json:"last_error"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
}

// MaxDeadLetters is the most dead letters that are listed at once.
const MaxDeadLetters = 1000

// DeadLetterQuery says which dead letters are listed.
type DeadLetterQuery struct {
	// Output is the output's name; empty is all.
	Output string
	// After leaves out those with an ID up to it.
	After uint64
	// Limit is the most that are returned; 0, and more than MaxDeadLetters, count as
	// MaxDeadLetters.
	Limit int
}

// DeadLetters are the events that outputs gave up.
type DeadLetters interface {
	// List returns dead letters, oldest first: fewer than asked for when they are larger than
	// about 16 MiB together, so that only an empty list means that there are no more.
	List(ctx context.Context, q DeadLetterQuery) ([]DeadLetter, error)
	// Get returns the dead letter with the given ID, or ErrNotFound.
	Get(ctx context.Context, id uint64) (DeadLetter, error)
	// Drop removes the dead letter with the given ID for good, or returns ErrNotFound.
	Drop(ctx context.Context, id uint64) error
}

// MaxRecord is the most bytes of a record in a Bucket.
const MaxRecord = 64 << 10

// Bucket holds small durable records by key, shared by all forwarders of a journal. Keys
// have 1 to 64 letters, digits, dashes and underscores.
type Bucket interface {
	// Put stores a record, over one of the same key. It returns nil once it is stored.
	Put(ctx context.Context, key string, value []byte) error
	// Delete removes a record; one that isn't there is no error.
	Delete(ctx context.Context, key string) error
	// Watch calls changed with every record there is, then ready once, and then changed with
	// every change, a nil value for a deleted record, until ctx ends or watching fails. It
	// always returns an error. Calls come one at a time.
	Watch(ctx context.Context, changed func(key string, value []byte), ready func()) error
}

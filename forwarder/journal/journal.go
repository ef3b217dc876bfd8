// Package journal is the contract of the forwarder's durable log of events: what ingest,
// deliver and the api may ask of it, and the words they exchange.
//
// It stands between ingest and deliver: ingest appends, and answers its sender only once
// the events are stored; every output reads through a Consumer of its own, a cursor that
// survives restarts. An event is stored once, however many outputs there are.
//
//	ingest ── Append ──▶ events ──┬── Consumer "slack" ── Fetch ──▶ deliver ── Ack
//	                              ├── Consumer "elasticsearch" ── …
//	                              └── Tail (the page, replays)
//	deliver ── Bury ──▶ dead letters ── DeadLetters
//
// There are two journals: package embedded keeps the log on this machine's disk and has it
// for itself, package cluster shares one on a NATS cluster with other forwarders.
//
// Invariants of both: Append returns nil only for events that survive the death of the
// process. Every event that a consumer's minimum lets pass is delivered until it is
// acknowledged, or is counted as lost because the limits of size and age removed it first
// (Lag). What cannot be decoded becomes a dead letter and holds up nothing. Memory is
// bounded. A failing disk or network doesn't end the process: Append refuses with ErrFull
// or ErrUnavailable, Ready says why, and the journal recovers by itself.
package journal

import (
	"context"
	"time"

	"github.com/saker-security/saker/event"
)

// Journal is an open journal. Its methods may be called from several goroutines at once.
type Journal interface {
	// Append stores events in their order, behind everything stored before. It returns nil
	// only when all of them are stored, and takes at most 10 seconds. An event whose UUID
	// was stored within the duplicate window counts as stored. An event without a UUID is
	// never a duplicate. The journal keeps the events and their slices and shares them with
	// its readers: they must not be changed afterwards, also after an error.
	//
	// After an error some of the events may be stored; the sender sends them all again and
	// those are recognised by their UUIDs. The error is, as errors.Is tells, ErrFull or
	// ErrUnavailable (try again later), ErrTooLarge (nothing has been stored), ErrClosed or
	// ctx's own.
	Append(ctx context.Context, events []event.Event) error
	// AppendFor stores events for one output alone: its consumer delivers them as Replayed,
	// whatever its minimum is; other consumers and Tails never see them. Call is a name for
	// this call; repeated within the duplicate window with the same events it stores
	// nothing twice. Limits and errors are Append's.
	AppendFor(ctx context.Context, output, call string, events []event.Event) error
	// Ready returns nil when an Append can be expected to succeed, and the reason when not.
	Ready() error

	// Consumer opens the cursor called name, which is the output's name, for events of the
	// minimum priority and above and for test events. A name that is new starts with the
	// events appended from now on; a known one goes on where it stopped, first of all with
	// what was delivered but not acknowledged, and its minimum may differ from before. A
	// name has 1 to 64 bytes. In one process a cursor may be open once at a time. Close it
	// before the journal.
	Consumer(ctx context.Context, name string, minimum event.Priority) (Consumer, error)
	// Prune deletes the cursors of outputs that are not in keep and have not been opened
	// for 7 days; until then an output that was taken out by mistake finds its place again.
	// It returns the names of the deleted ones and of those that wait to be, sorted.
	Prune(ctx context.Context, keep []string) (deleted, waiting []string, err error)

	// Tail starts to read, without a cursor in the journal. Close the Tail.
	Tail(ctx context.Context, from From) (Tail, error)
	// Recent returns the last n events, oldest first, or as many as there are.
	Recent(ctx context.Context, n int) ([]Entry, error)
	// Stats asks the journal for its figures.
	Stats(ctx context.Context) (Stats, error)
	// DeadLetters are those of all outputs.
	DeadLetters() DeadLetters
	// Bucket opens the durable records called name, which all forwarders of a journal
	// share, and makes them if need be.
	Bucket(ctx context.Context, name string) (Bucket, error)

	// Close stops the journal. Appends under way fail with ErrClosed unless they are done
	// in time. Everything stored is on disk when it returns nil; calling it again returns
	// the same. It waits no longer than ctx.
	Close(ctx context.Context) error
}

// AckWait is how long a shared journal waits for an acknowledgement before it delivers an
// event again, here or to another forwarder. Delivery.InProgress starts that time anew.
const AckWait = 30 * time.Second

// Consumer is the durable cursor of one output. One goroutine at a time may call Fetch;
// the other methods, and those of the deliveries, may be called at any time.
type Consumer interface {
	// Fetch returns the next events, in order: what there is now, or, when there is nothing,
	// what comes first within wait. It returns at most limit (and never more than 1000)
	// events and, beyond about 4 MiB, no more than maxBytes of them. No events and no error
	// means that there were none; ctx's end is an error only when there are no events to
	// return. What cannot be decoded is put among the dead letters and left out.
	Fetch(ctx context.Context, limit, maxBytes int, wait time.Duration) ([]Delivery, error)
	// Bury stores a dead letter of this output. It returns nil only once it is stored, so
	// that the event can be acknowledged then; it waits at most 5 seconds. An event that
	// the same output buried within the duplicate window is stored once.
	Bury(ctx context.Context, d DeadLetter) error
	// Lag says how far the output is behind.
	Lag(ctx context.Context) (Lag, error)
	// Close ends the cursor's use. Events fetched and not acknowledged are delivered again
	// when it is opened the next time, first of all. It waits until the acknowledgements
	// made before are stored.
	Close(ctx context.Context) error
}

// Delivery is an event handed to one output. The event is shared with other readers and
// must not be changed.
type Delivery struct {
	Event event.Event
	// Sequence is the event's place in the journal. It grows without being dense for one
	// output, and is never used twice.
	Sequence uint64
	// Stored is when the event was appended.
	Stored time.Time
	// Attempt counts how often the event has been handed to this output, from 1. More than
	// 1 means that the destination may have it already.
	Attempt int
	// Size is about how many bytes the event takes in the journal.
	Size int
	// Replayed says that somebody asked for this event to be sent to this output again, so
	// that no route or silence holds it back.
	Replayed bool
	Receipt
}

// Receipt is what the reader of a delivery says about it. Exactly one of Ack and Nak ends
// it. Neither waits for the log: should the process die right after it, the event may be
// delivered once more.
type Receipt interface {
	// Ack says that the event is dealt with and is not to be delivered again.
	Ack() error
	// InProgress says that it is being dealt with, and starts AckWait anew.
	InProgress() error
	// Nak gives it back, to be delivered again after delay.
	Nak(delay time.Duration) error
}

// Lag says how far an output is behind.
type Lag struct {
	// Pending is the number of events it has not acknowledged, those under way included.
	Pending uint64
	// InFlight is the number of events handed to it and not acknowledged.
	InFlight int
	// Oldest is when the oldest of the pending events was appended; zero without any.
	Oldest time.Time
	// Lost is the number of events that were gone before the output got them, removed by the
	// journal's limits or lost with a damaged file, since the cursor was opened, those removed while it was closed included where
	// the journal can tell. It never says too much.
	Lost uint64
}

// Entry is an event with its place in the journal.
type Entry struct {
	// Sequence is the event's place: it grows, and is never used twice.
	Sequence uint64
	// Stored is when the event was appended.
	Stored time.Time
	Event  event.Event
	// More is the number of events behind it at the moment it was read.
	More uint64
}

// From says where a Tail starts. Of After, Since and Last the first that is set counts.
type From struct {
	// After, if not 0, is the sequence of the last event that the reader has. Should the
	// journal not reach back so far, the Tail starts with the oldest event there is; a
	// sequence that the journal hasn't given out yet counts as 0.
	After uint64
	// Since, if not zero, starts with the first event stored at that time or later.
	Since time.Time
	// Last is the number of past events to start with. They are fewer where a damaged disk
	// has left gaps.
	Last int
}

// Tail reads events as they are appended. A reader that is slower than the events come is
// not waited for: it skips what the journal's limits remove. One goroutine may use a Tail.
type Tail interface {
	// Next returns the next event, waiting for it until ctx ends. Events that cannot be
	// decoded are left out. Its error is ctx's own, ErrClosed or ErrUnavailable.
	Next(ctx context.Context) (Entry, error)
	// Close ends the Tail; it may be called while Next waits.
	Close()
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

package journal

import "fmt"

// The errors that callers act on; compare with errors.Is.
const (
	// ErrFull says that the disk has no room. The sender should come back later.
	ErrFull = constError("the journal's disk is full")
	// ErrUnavailable says that the journal cannot answer now: its storage fails, it is
	// starting again, or it took too long. The sender should come back later.
	ErrUnavailable = constError("the journal is unavailable")
	// ErrTooLarge says that an event is beyond event.MaxEventBytes. It will never be taken.
	ErrTooLarge = constError("the event is too large for the journal")
	// ErrClosed says that Close has been called.
	ErrClosed = constError("the journal is closed")
	// ErrNotFound says that there is no such dead letter.
	ErrNotFound = constError("there is no such dead letter")
	// ErrLocked says that another process has the journal open.
	ErrLocked = constError("another process has the journal open")
)

type constError string

func (e constError) Error() string { return string(e) }

// Unavailable marks err as ErrUnavailable and keeps its text.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

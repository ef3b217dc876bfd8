package outputs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Reject says that err is for good: the destination would refuse the same batch however
// often it is sent, even once somebody had repaired the destination. Malformed or too
// large is that; a wrong token or a missing topic is not.
func Reject(err error) error {
	if err == nil {
		return nil
	}
	return &rejectError{err}
}

// Rejected reports whether err, or an error it wraps, was made by Reject.
func Rejected(err error) bool {
	_, ok := errors.AsType[*rejectError](err)
	return ok
}

type rejectError struct{ err error }

func (e *rejectError) Error() string { return e.err.Error() }
func (e *rejectError) Unwrap() error { return e.err }

// Hold says that the destination, as it is set up now, would refuse every event, and not
// for the event's sake: a wrong token, a missing channel, a method that is not allowed.
// The events wait until somebody has mended it, and the destination is asked seldom.
func Hold(err error) error {
	if err == nil {
		return nil
	}
	return &holdError{err}
}

// Held reports whether err, or an error it wraps, was made by Hold.
func Held(err error) bool {
	_, ok := errors.AsType[*holdError](err)
	return ok
}

type holdError struct{ err error }

func (e *holdError) Error() string { return e.err.Error() }
func (e *holdError) Unwrap() error { return e.err }

// RetryAfter says that the destination asked not to be tried again before d has passed.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{d, err}
}

// Delay returns how long the destination asked to be left alone, 0 if it did not.
func Delay(err error) time.Duration {
	if e, ok := errors.AsType[*retryAfterError](err); ok {
		return e.delay
	}
	return 0
}

type retryAfterError struct {
	delay time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// Partial says that the events at the given places of the batch failed, each by its own
// error, and that all the others were accepted. It does not unwrap to its parts.
type Partial map[int]error

// Error names the first failed place and how many there are.
func (p Partial) Error() string {
	places := slices.Sorted(maps.Keys(p))
	if len(places) == 0 {
		return "no event failed"
	}
	return fmt.Sprintf("%d of the batch's events failed, the first of them: %v", len(places), p[places[0]])
}

// OrNil returns p as an error, or nil when no event failed.
func (p Partial) OrNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// attemptContext is the context of one attempt. Those of a lane share the part that can be
// cancelled, and its timer, for as long as no attempt takes too long: making both anew for
// each would cost a good part of what the rest of the worker does.
type attemptContext struct {
	context.Context
	deadline time.Time
}

// Deadline implements context.Context.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Err implements context.Context.
func (c *attemptContext) Err() error {
	err := c.Context.Err()
	if err == nil {
		return nil
	}
	if _, late := errors.AsType[tookTooLong](context.Cause(c.Context)); late {
		return context.DeadlineExceeded
	}
	return err
}

// tookTooLong is why an attempt's context ended.
type tookTooLong time.Duration

func (t tookTooLong) Error() string        { return fmt.Sprintf("it took longer than %s", time.Duration(t)) }
func (t tookTooLong) Timeout() bool        { return true }
func (t tookTooLong) Is(target error) bool { return target == context.DeadlineExceeded }

// stopwatch makes the contexts of one lane's attempts, which come one after the other.
type stopwatch struct {
	parent context.Context
	limit  time.Duration
	shared context.Context // nil when there is none that can be used
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// start begins an attempt.
func (s *stopwatch) start(now time.Time) context.Context {
	if s.shared == nil {
		s.shared, s.cancel = context.WithCancelCause(s.parent)
		cancel := s.cancel
		s.timer = time.AfterFunc(s.limit, func() { cancel(tookTooLong(s.limit)) })
	} else {
		s.timer.Reset(s.limit)
	}
	return &attemptContext{s.shared, now.Add(s.limit)}
}

// end ends the attempt.
func (s *stopwatch) end() {
	if !s.timer.Stop() {
		s.discard()
	}
}

// discard lets go of the shared part; the next attempt makes a new one.
func (s *stopwatch) discard() {
	if s.shared != nil {
		s.cancel(nil)
		s.shared = nil
	}
}

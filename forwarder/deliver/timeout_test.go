package deliver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAttemptsContextTellsItsDeadlineAndWhyItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		watch := stopwatch{parent: ctx, limit: time.Second}
		for range 3 {
			// One that ends in time.
			first := watch.start(time.Now())
			if at, ok := first.Deadline(); !ok || !at.Equal(time.Now().Add(time.Second)) || first.Err() != nil {
				t.Errorf("the deadline is %v, the error %v", at, first.Err())
			}
			time.Sleep(900 * time.Millisecond)
			watch.end()
			// One that does not.
			late := watch.start(time.Now())
			below, cancel := context.WithCancel(late)
			<-below.Done()
			cancel()
			if err := late.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			if cause := context.Cause(below); !errors.Is(cause, context.DeadlineExceeded) || cause.Error() != "it took longer than 1s" {
				t.Errorf("the cause is %v", cause)
			}
			watch.end()
		}
		last := watch.start(time.Now())
		stop()
		if err := last.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		watch.end()
	})
}

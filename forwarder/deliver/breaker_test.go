package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// outage answers with an error as long as it lasts.
type outage struct {
	err  atomic.Pointer[error]
	took time.Duration // by each attempt
}

func (o *outage) begin(err error) { o.err.Store(&err) }
func (o *outage) end()            { o.err.Store(nil) }

func (o *outage) answer(context.Context, int, []event.Event) error {
	time.Sleep(o.took)
	if err := o.err.Load(); err != nil {
		return *err
	}
	return nil
}

func TestADeadDestinationSeesOneProbeAtATime(t *testing.T) {
	o := &outage{took: 20 * time.Millisecond}
	work(t, 5000, func(o *Options) { o.Settings.MaxConcurrentRequests = 0 }, o.answer, func(f *fixture) {
		f.after(2 * time.Second)
		f.want("limit before", f.worker.State().Limit, 64)
		f.source.append(named(5001, 5500)...)
		o.begin(errDown)
		f.after(time.Second)
		before, running := len(f.sender.batches()), f.sender.mostAtOnce()
		f.want("most at once before", running, 64)
		f.after(time.Hour)
		calls := f.sender.made()[before:]
		if n := len(calls); n < 60 || n > 140 {
			t.Errorf("%d attempts in an hour, want about one a minute", n)
		}
		for i := 1; i < len(calls); i++ {
			if pause := calls[i].at.Sub(calls[i-1].at); pause < 200*time.Millisecond {
				t.Errorf("attempt %d came %s after the one before", i, pause)
			}
		}
		if s := f.worker.State(); s.Breaker != BreakerOpen || s.Healthy {
			t.Errorf("state is %+v", s)
		}
		o.end()
		f.after(3 * time.Minute)
		f.wantOpen()
		if s := f.worker.State(); s.Breaker != BreakerClosed || !s.Healthy || s.Delivered != 5500 {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestNothingIsFetchedWhileTheBreakerIsOpen(t *testing.T) {
	o := &outage{}
	o.begin(errDown)
	work(t, 40, nil, o.answer, func(f *fixture) {
		f.after(time.Hour)
		held := f.worker.State().InFlight
		for i := range 100 {
			f.source.append(named(41+10*i, 50+10*i)...)
			f.after(time.Minute)
		}
		f.want("in hand", f.worker.State().InFlight, held)
	})
}

func TestAHeldQueueOpensTheBreakerAtOnceAndIsAskedSeldom(t *testing.T) {
	o := &outage{}
	o.begin(outputs.Hold(errors.New("401 Unauthorized")))
	work(t, 100, func(o *Options) { o.Settings.MaxConcurrentRequests = 0 }, o.answer, func(f *fixture) {
		f.after(100 * time.Millisecond)
		f.want("breaker", f.worker.State().Breaker, BreakerOpen)
		if n := len(f.sender.batches()); n > firstLimit {
			t.Errorf("%d attempts at first, want at most %d", n, firstLimit)
		}
		f.after(time.Hour)
		before := len(f.sender.batches())
		f.after(time.Hour)
		if n := len(f.sender.batches()) - before; n < 60 || n > 120 {
			t.Errorf("%d attempts in an hour", n)
		}
		f.want("letters", f.source.letters(), []string(nil))
		o.end()
		f.after(time.Minute + time.Second)
		if len(f.sender.got()) == 0 {
			t.Error("a minute after it was mended nothing has been delivered")
		}
		f.after(2 * time.Minute)
		f.wantOpen()
	})
}

func TestAStrayFailureOpensNothing(t *testing.T) {
	work(t, 400, func(o *Options) { o.Settings.MaxConcurrentRequests = 4 }, func(_ context.Context, n int, _ []event.Event) error {
		if n%3 == 0 {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		for range 100 {
			f.after(100 * time.Millisecond)
			f.want("breaker", f.worker.State().Breaker, BreakerClosed)
		}
		f.after(time.Minute)
		f.wantOpen()
	})
}

func TestAProbeThatIsRejectedShowsThatTheDestinationIsBack(t *testing.T) {
	o := &outage{}
	o.begin(errDown)
	work(t, 50, nil, o.answer, func(f *fixture) {
		f.after(time.Minute)
		o.begin(outputs.Reject(errors.New("400 Bad Request")))
		f.after(2 * time.Minute)
		f.want("breaker", f.worker.State().Breaker, BreakerClosed)
		f.want("letters", len(f.source.letters()), 50)
	})
}

// With one attempt for each at the breaker's pace, more events would grow old than become
// dead letters, and in the end the journal's limits would take them.
func TestEventsThatGrowOldBehindADeadDestinationAllBecomeDeadLetters(t *testing.T) {
	for _, concurrent := range []int{0, 1} {
		growOld(t, concurrent)
	}
}

func growOld(t *testing.T, concurrent int) {
	t.Helper()
	o := &outage{}
	o.begin(errDown)
	work(t, 0, func(o *Options) {
		o.Settings.Retry.MaxAge, o.Settings.MaxConcurrentRequests = time.Hour, concurrent
	}, o.answer, func(f *fixture) {
		for i := range 300 {
			f.source.append(named(10*i+1, 10*i+10)...)
			f.after(time.Minute)
		}
		open := len(f.source.open())
		if open < 600 || open > 700 {
			t.Errorf("%d events are open, want those of the last hour and a little", open)
		}
		f.want("dealt with", len(f.source.letters())+open, 3000)
		if attempts := len(f.sender.batches()); attempts > 600 {
			t.Errorf("%d attempts in five hours", attempts)
		}
		for _, l := range f.source.buried {
			if l.LastError != errDown.Error() || l.FirstError != errDown.Error() {
				t.Fatalf("a letter says %q and %q", l.FirstError, l.LastError)
			}
		}
	})
}

func TestARestartGivesOldEventsTheirAttemptEvenIfTheDestinationFailsAtFirst(t *testing.T) {
	o := &outage{}
	o.begin(errDown)
	work(t, 0, nil, o.answer, func(f *fixture) {
		f.source.appendOld(48*time.Hour, named(1, 500)...)
		f.after(10 * time.Second)
		o.end()
		f.after(time.Minute)
		if n := len(f.source.letters()); n > 30 {
			t.Errorf("%d of 500 events became dead letters because of ten seconds", n)
		}
		f.want("dealt with", len(f.source.letters())+len(f.sender.got()), 500)
	})
}

func TestTheFirstPauseIsShortAndThePausesGrowToTheirMost(t *testing.T) {
	retry := Retry{Initial: time.Second, Max: time.Minute}
	for range 100 {
		b := breaker{retry: retry, state: BreakerClosed}
		now := time.Unix(0, 0)
		for range trips {
			b.failed(now, now, errDown)
		}
		for i := 1; i < 12; i++ {
			most := min(time.Second<<(i-1), time.Minute)
			if pause := b.until.Sub(now); b.state != BreakerOpen || pause < most/2 || pause > most {
				t.Fatalf("pause %d is %s (%s), want between %s and %s", i, pause, b.state, most/2, most)
			}
			now = b.until
			b.state = BreakerProbing
			b.failed(now.Add(time.Millisecond), now, errDown)
			now = now.Add(time.Millisecond)
		}
		now, b.state = b.until, BreakerProbing
		b.failed(now, now, fmt.Errorf("busy: %w", outputs.RetryAfter(30*time.Hour, errDown)))
		if b.until.Sub(now) != maxAsked {
			t.Fatalf("a pause of 30 hours is %s", b.until.Sub(now))
		}
	}
}

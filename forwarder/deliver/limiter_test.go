package deliver

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// endpoint answers as a real one does in fake time: as many requests as it has places are
// served side by side, the others wait.
type endpoint struct {
	mu     sync.Mutex
	takes  time.Duration // by one request
	jitter time.Duration
	free   []time.Time // when each place gets free
	most   int         // requests beyond it are answered with 429; 0 is no limit
	inside int
}

func (e *endpoint) answer(ctx context.Context, _ int, _ []event.Event) error {
	e.mu.Lock()
	e.inside++
	if e.most > 0 && e.inside > e.most {
		e.inside--
		e.mu.Unlock()
		time.Sleep(time.Millisecond)
		return outputs.RetryAfter(10*time.Millisecond, errDown)
	}
	now, first := time.Now(), 0
	for i := range e.free {
		if e.free[i].Before(e.free[first]) {
			first = i
		}
	}
	begin := now
	takes := e.takes + rand.N(e.jitter+1)
	if len(e.free) > 0 {
		if e.free[first].After(now) {
			begin = e.free[first]
		}
		e.free[first] = begin.Add(takes)
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.inside--
		e.mu.Unlock()
	}()
	select {
	case <-time.After(begin.Add(takes).Sub(now)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// adapts runs a worker with default concurrency against e, with more events than it takes.
func adapts(t *testing.T, e *endpoint, test func(*fixture)) {
	t.Helper()
	work(t, 0, func(o *Options) { o.Settings.MaxConcurrentRequests = 0 }, e.answer, func(f *fixture) {
		f.source.flow()
		test(f)
	})
}

// rate lets d pass and returns how many events a second were delivered.
func (f *fixture) rate(d time.Duration) float64 {
	before := f.worker.State().Delivered
	f.after(d)
	return float64(f.worker.State().Delivered-before) / d.Seconds()
}

func TestTheLimitGrowsToWhatAFastEndpointTakes(t *testing.T) {
	for _, takes := range []time.Duration{4 * time.Millisecond, 20 * time.Millisecond} {
		adapts(t, &endpoint{takes: takes, jitter: takes / 10}, func(f *fixture) {
			f.after(2 * time.Second)
			if rate, want := f.rate(time.Second), 0.9*64/(1.05*takes.Seconds()); rate < want {
				t.Errorf("at %s: %.0f events a second after two seconds, want %.0f", takes, rate, want)
			}
		})
	}
}

func TestTheLimitStopsWhereMoreAtOnceOnlyTakesLonger(t *testing.T) {
	adapts(t, &endpoint{takes: 20 * time.Millisecond, jitter: time.Millisecond, free: make([]time.Time, 8)}, func(f *fixture) {
		f.after(10 * time.Second)
		const possible = 8 / 0.0205
		for range 10 {
			if rate := f.rate(2 * time.Second); rate < 0.9*possible {
				t.Errorf("%.0f events a second, want about %.0f", rate, possible)
			}
			if limit := f.worker.State().Limit; limit > 24 {
				t.Errorf("%d requests at once where 8 are served", limit)
			}
		}
	})
}

func TestTheLimitGoesDownWhenTheEndpointHasEnough(t *testing.T) {
	adapts(t, &endpoint{takes: 20 * time.Millisecond, most: 10}, func(f *fixture) {
		f.after(10 * time.Second)
		for range 20 {
			f.after(time.Second)
			if limit := f.worker.State().Limit; limit < 2 || limit > 12 {
				t.Errorf("%d requests at once where 10 are taken", limit)
			}
		}
	})
}

func TestAnEndpointThatGetsSlowerForItsOwnReasonsIsNotGivenLess(t *testing.T) {
	e := &endpoint{takes: 20 * time.Millisecond, jitter: time.Millisecond}
	adapts(t, e, func(f *fixture) {
		f.after(5 * time.Second)
		e.mu.Lock()
		e.takes = 100 * time.Millisecond
		e.mu.Unlock()
		f.after(10 * time.Second)
		if rate := f.rate(5 * time.Second); rate < 500 {
			t.Errorf("%.0f events a second, want about 640", rate)
		}
	})
}

func TestAnExplicitLimitIsNeverExceeded(t *testing.T) {
	for _, n := range []int{1, 2, 7} {
		work(t, 0, func(o *Options) { o.Settings.MaxConcurrentRequests = n }, (&endpoint{takes: time.Millisecond}).answer, func(f *fixture) {
			f.source.flow()
			f.after(5 * time.Second)
			f.want("most at once", f.sender.mostAtOnce(), n)
		})
	}
}

func TestBatchesAreFilledBeforeMoreRequestsAreMade(t *testing.T) {
	work(t, 0, func(o *Options) { o.Batch, o.Settings.MaxConcurrentRequests = 100, 0 }, (&endpoint{takes: 20 * time.Millisecond}).answer, func(f *fixture) {
		for i := range 5000 {
			f.source.append(named(i, i)...)
			f.after(time.Millisecond)
		}
		if limit := f.worker.State().Limit; limit > firstLimit {
			t.Errorf("%d requests at once for what %d with fuller batches carry", limit, firstLimit)
		}
	})
}

func TestALatencyOfAFewMillisecondsSaysNothing(t *testing.T) {
	l := newLimiter(64)
	now := time.Unix(0, 0)
	for i := range 20_000 {
		now = now.Add(100 * time.Microsecond)
		took := 200 * time.Microsecond
		if i > 5000 {
			took = 4 * time.Millisecond
		}
		l.succeeded(now, took, true)
	}
	if l.limit != 64 {
		t.Errorf("the limit is %.1f, want 64", l.limit)
	}
}

func TestManyFailuresOfOneMomentCountOnce(t *testing.T) {
	l := newLimiter(64)
	l.limit = 64
	began := time.Unix(0, 0)
	for i := range 64 {
		l.failed(began.Add(time.Second+time.Duration(i)*time.Microsecond), began)
	}
	if l.limit != 64*slowdown {
		t.Errorf("the limit is %.1f, want %.1f", l.limit, 64*slowdown)
	}
	for range 100 {
		began = began.Add(time.Minute)
		l.failed(began, began)
	}
	if l.limit != 1 {
		t.Errorf("the limit is %.1f, want 1", l.limit)
	}
}

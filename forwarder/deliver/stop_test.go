package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

func TestStopLetsAttemptsFinishAndGivesTheRestBack(t *testing.T) {
	work(t, 100, func(o *Options) { o.Settings.MaxConcurrentRequests = 4 }, func(ctx context.Context, _ int, _ []event.Event) error {
		select {
		case <-time.After(5 * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func(f *fixture) {
		f.after(time.Second)
		f.end()
		slices.Sort(f.sender.accepted)
		f.want("accepted", f.sender.got(), names(1, 4))
		f.want("open", len(f.source.open()), 96)
		f.want("attempts", len(f.sender.batches()), 4)
	})
}

func TestStopEndsAttemptsAtTheEndOfTheGrace(t *testing.T) {
	work(t, 3, func(o *Options) { o.Grace = 2 * time.Second; o.Settings.Timeout = time.Hour }, func(ctx context.Context, _ int, _ []event.Event) error {
		<-ctx.Done()
		return ctx.Err()
	}, func(f *fixture) {
		f.after(time.Second)
		start := time.Now()
		f.end()
		f.want("time to stop", time.Since(start), 2*time.Second)
		f.wantOpen(1, 2, 3)
	})
}

func TestStopDoesNotWaitForeverForASenderThatIgnoresItsContext(t *testing.T) {
	work(t, 1, nil, func(context.Context, int, []event.Event) error {
		time.Sleep(time.Hour)
		return nil
	}, func(f *fixture) {
		f.after(time.Second)
		start := time.Now()
		f.stop()
		if err := <-f.done; err == nil || time.Since(start) != defaultGrace+lastGrace {
			t.Errorf("run = %v after %s", err, time.Since(start))
		}
		f.stop = nil
		f.after(time.Hour)
	})
}

func TestStopDoesNotWaitForAPause(t *testing.T) {
	work(t, 3, nil, func(context.Context, int, []event.Event) error {
		return outputs.RetryAfter(time.Hour, errDown)
	}, func(f *fixture) {
		f.after(time.Minute)
		start := time.Now()
		f.end()
		f.want("time to stop", time.Since(start), time.Duration(0))
		f.wantOpen(1, 2, 3)
	})
}

// Whatever the destination answers, and whenever the worker is stopped and started again,
// every event is delivered, or a dead letter, or still in the journal.
func TestEveryEventIsAccountedForWhateverHappens(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { accountFor(t, seed) }) })
	}
}

func accountFor(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	sender := &scripted{answer: func(ctx context.Context, _ int, batch []event.Event) error {
		time.Sleep(time.Duration(roll(3000)) * time.Millisecond)
		switch roll(8) {
		case 0:
			return errDown
		case 1:
			return outputs.RetryAfter(time.Duration(roll(300))*time.Second, errDown)
		case 2:
			return outputs.Reject(errDown)
		case 3:
			parts := outputs.Partial{}
			for i := range batch {
				switch roll(4) {
				case 0:
					parts[i] = errDown
				case 1:
					parts[i] = outputs.Reject(errDown)
				}
			}
			return parts.OrNil()
		case 4:
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	source := newMemory()
	const total = 300
	source.append(named(1, total)...)
	for life := 0; life < 200 && len(source.open()) > 0; life++ {
		settings := DefaultSettings()
		settings.MaxConcurrentRequests = 1 + roll(5)
		settings.Retry.MaxAge = time.Duration(roll(48)) * time.Hour
		w, err := New(Options{
			Name: "out", Sender: sender, Source: source, Batch: 1 + roll(40), Settings: settings,
			Log: slog.New(slog.DiscardHandler), Grace: time.Duration(1+roll(20)) * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+roll(1200))*time.Second)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		source.check(t)
	}
	if open := source.open(); len(open) > 0 {
		t.Fatalf("%d events are still open", len(open))
	}
	got, letters := sender.got(), source.letters()
	for _, name := range names(1, total) {
		if !slices.Contains(got, name) && !slices.Contains(letters, name) {
			t.Errorf("event %s is lost", name)
		}
	}
	slices.Sort(letters)
	if twice := len(letters) - len(slices.Compact(letters)); twice > 0 {
		t.Errorf("%d dead letters are there twice", twice)
	}
}

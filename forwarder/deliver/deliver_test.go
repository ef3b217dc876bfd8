package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
	"github.com/saker-security/saker/outputs"
)

func TestMain(m *testing.M) {
	if delay, err := time.ParseDuration(os.Getenv(serverDelay)); err == nil {
		serveHTTP(delay)
		return
	}
	goleak.VerifyTestMain(m)
}

// failures says which places of a batch of n an error leaves undelivered.
func failures(err error, n int) []bool {
	out := make([]bool, n)
	parts, partly := errors.AsType[outputs.Partial](err)
	for i := range out {
		out[i] = err != nil && (!partly || outputs.Rejected(err) || parts[i] != nil)
	}
	return out
}

// fixture is a worker at work, in fake time.
type fixture struct {
	t      *testing.T
	source *memory
	sender *scripted
	worker *Worker
	stop   context.CancelFunc
	done   chan error
	log    *bytes.Buffer
	mu     sync.Mutex
}

func (f *fixture) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

// work runs test in fake time with a worker that has the given events and answers. It makes
// one attempt at a time unless change says otherwise.
func work(t *testing.T, events int, change func(*Options), answer func(context.Context, int, []event.Event) error, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{t: t, source: newMemory(), sender: &scripted{answer: answer}, done: make(chan error, 1), log: &bytes.Buffer{}}
		f.source.append(named(1, events)...)
		o := Options{
			Name: "out", Sender: f.sender, Source: f.source, Batch: 1, Settings: DefaultSettings(),
			Log: slog.New(slog.NewTextHandler(f, nil)),
		}
		o.Settings.MaxConcurrentRequests = 1
		if change != nil {
			change(&o)
		}
		var err error
		if f.worker, err = New(o); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.stop = cancel
		go func() { f.done <- f.worker.Run(ctx) }()
		test(f)
		f.end()
		f.source.check(t)
	})
}

// after lets d pass.
func (f *fixture) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (f *fixture) end() {
	f.t.Helper()
	if f.stop == nil {
		return
	}
	f.stop()
	f.stop = nil
	if err := <-f.done; err != nil {
		f.t.Errorf("run = %v", err)
	}
}

func (f *fixture) wantOpen(want ...uint64) {
	f.t.Helper()
	if got := f.source.open(); !slices.Equal(got, want) {
		f.t.Errorf("not acknowledged are %d, want %d", got, want)
	}
}

func (f *fixture) want(what string, got, want any) {
	f.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestEventsAreSentInOrderAndAcknowledged(t *testing.T) {
	work(t, 100, nil, nil, func(f *fixture) {
		f.after(time.Second)
		f.want("accepted", f.sender.got(), names(1, 100))
		f.wantOpen()
		s := f.worker.State()
		if s.Delivered != 100 || s.Attempts != 100 || !s.Healthy || s.InFlight != 0 || s.LastSuccess.IsZero() {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestOrderHoldsThroughFailuresAtOneRequestAtATime(t *testing.T) {
	work(t, 60, nil, func(context.Context, int, []event.Event) error {
		if rand.N(2) == 0 {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.after(time.Hour)
		f.want("accepted", f.sender.got(), names(1, 60))
	})
}

func TestBatchesAreFilledUpToTheKindsAndTheSettingsBounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   int
		change func(*Batch)
		want   []int
	}{
		{"the kind's size", 4, func(*Batch) {}, []int{4, 4, 2}},
		{"a smaller size set", 4, func(b *Batch) { b.Size = 3 }, []int{3, 3, 3, 1}},
		{"a larger size set has no effect", 4, func(b *Batch) { b.Size = 100 }, []int{4, 4, 2}},
		{"bytes", 10, func(b *Batch) { b.Bytes = 2500 }, []int{2, 2, 2, 2, 2}},
		{"fewer bytes than one event", 10, func(b *Batch) { b.Bytes = 1 }, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			work(t, 10, func(o *Options) { o.Batch = c.kind; c.change(&o.Settings.Batch) }, nil, func(f *fixture) {
				f.after(time.Second)
				var sizes []int
				for _, b := range f.sender.batches() {
					sizes = append(sizes, len(b))
				}
				f.want("sizes", sizes, c.want)
				f.want("accepted", f.sender.got(), names(1, 10))
			})
		})
	}
}

// limited takes two events at once.
type limited struct{ *scripted }

func (limited) MaxBatch() int { return 2 }

func TestASenderMayTakeFewerEventsThanItsKind(t *testing.T) {
	limit := func(o *Options) {
		o.Batch = 10
		o.Sender = limited{o.Sender.(*scripted)}
	}
	work(t, 5, limit, nil, func(f *fixture) {
		f.after(time.Second)
		var sizes []int
		for _, b := range f.sender.batches() {
			sizes = append(sizes, len(b))
		}
		f.want("sizes", sizes, []int{2, 2, 1})
	})
}

func TestABatchWaitsForItsAgeToFillUp(t *testing.T) {
	work(t, 1, func(o *Options) { o.Batch = 3; o.Settings.Batch.Age = time.Minute }, nil, func(f *fixture) {
		f.after(50 * time.Second)
		f.source.append(named(2, 2)...)
		f.after(time.Second)
		f.want("before the age", f.sender.batches(), [][]string(nil))
		f.after(10 * time.Second)
		f.want("at the age", f.sender.batches(), [][]string{{"e1", "e2"}})
		f.source.append(named(3, 5)...)
		f.after(time.Millisecond)
		f.want("when full", f.sender.batches(), [][]string{{"e1", "e2"}, {"e3", "e4", "e5"}})
	})
}

// collecting wants batches to wait for a minute.
type collecting struct{ *scripted }

func (collecting) BatchAge() time.Duration { return time.Minute }

func TestASenderMayWantItsBatchesToFillUp(t *testing.T) {
	collect := func(o *Options) {
		o.Batch = 3
		o.Sender = collecting{o.Sender.(*scripted)}
	}
	work(t, 1, collect, nil, func(f *fixture) {
		f.after(50 * time.Second)
		f.want("before the age", f.sender.batches(), [][]string(nil))
		f.after(11 * time.Second)
		f.want("at the age", f.sender.batches(), [][]string{{"e1"}})
	})
	soon := func(o *Options) {
		collect(o)
		o.Settings.Batch.Age = time.Second // the user's word counts
	}
	work(t, 1, soon, nil, func(f *fixture) {
		f.after(2 * time.Second)
		f.want("at the user's age", f.sender.batches(), [][]string{{"e1"}})
	})
}

func TestAFailureIsTriedAgainWithGrowingPauses(t *testing.T) {
	work(t, 1, nil, func(_ context.Context, n int, _ []event.Event) error {
		if n < 12 {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.after(time.Hour)
		f.wantOpen()
		calls := f.sender.made()
		if len(calls) != 13 {
			t.Fatalf("%d attempts, want 13", len(calls))
		}
		for i := 1; i < len(calls); i++ {
			bound := min(500*time.Millisecond<<(i-1), time.Minute)
			if pause := calls[i].at.Sub(calls[i-1].at); pause <= 0 || pause > bound+time.Nanosecond {
				t.Errorf("pause %d is %s, want at most %s", i, pause, bound)
			}
		}
		if s := f.worker.State(); s.Retries != 12 || s.Delivered != 1 || !s.Healthy || s.LastError != "connection refused" {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestTheDestinationsOwnPauseIsHonouredUpToAnHour(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		5 * time.Minute: 5 * time.Minute,
		48 * time.Hour:  time.Hour,
	} {
		work(t, 1, nil, func(_ context.Context, n int, _ []event.Event) error {
			if n == 0 {
				return outputs.RetryAfter(asked, errDown)
			}
			return nil
		}, func(f *fixture) {
			f.after(want - time.Millisecond)
			f.want("attempts before", len(f.sender.batches()), 1)
			f.after(2 * time.Millisecond)
			f.want("attempts after", len(f.sender.batches()), 2)
			f.wantOpen()
		})
	}
}

func TestAnEventThatStaysUndeliverableBecomesADeadLetterAtItsMaxAge(t *testing.T) {
	work(t, 1, nil, func(_ context.Context, n int, _ []event.Event) error {
		if n == 0 {
			return errors.New("dial: no such host")
		}
		return errDown
	}, func(f *fixture) {
		f.after(24*time.Hour - time.Second)
		f.want("letters before", f.source.letters(), []string(nil))
		f.wantOpen(1)
		f.after(2 * time.Minute)
		f.want("letters after", f.source.letters(), names(1, 1))
		f.wantOpen()
		letter := f.source.buried[0]
		if letter.FirstError != "dial: no such host" {
			t.Errorf("the first error is %q", letter.FirstError)
		}
		if letter.Output != "out" || letter.LastError != "connection refused" || letter.Attempts != len(f.sender.batches()) || letter.Sequence != 1 {
			t.Errorf("letter is %+v after %d attempts", letter, len(f.sender.batches()))
		}
		if s := f.worker.State(); s.DeadLetters != 1 || s.Healthy {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestEvenAnEventThatIsTooOldGetsOneAttemptAndADeadEndpointIsNotHammered(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	work(t, 0, nil, func(context.Context, int, []event.Event) error {
		if down.Load() {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.source.appendOld(48*time.Hour, named(1, 200)...)
		f.after(10 * time.Second)
		if n := len(f.sender.batches()); n < 2 || n > 190 {
			t.Errorf("%d attempts in ten seconds", n)
		}
		down.Store(false)
		f.after(time.Minute)
		f.want("dealt with", len(f.source.letters())+len(f.sender.got()), 200)
		if len(f.sender.got()) == 0 {
			t.Error("none was delivered although the endpoint came back")
		}
	})
}

func TestOneBadEventDoesNotSpoilItsBatch(t *testing.T) {
	for bad := 1; bad <= 11; bad++ {
		work(t, 11, func(o *Options) { o.Batch = 11 }, func(_ context.Context, _ int, batch []event.Event) error {
			if slices.ContainsFunc(batch, func(e event.Event) bool { return e.Output == fmt.Sprint("e", bad) }) {
				return outputs.Reject(errors.New("400 Bad Request"))
			}
			return nil
		}, func(f *fixture) {
			f.after(time.Millisecond)
			f.want("letters", f.source.letters(), names(bad, bad))
			want := slices.DeleteFunc(names(1, 11), func(s string) bool { return s == fmt.Sprint("e", bad) })
			f.want("accepted", f.sender.got(), want)
			f.wantOpen()
			if s := f.worker.State(); !s.Healthy || s.LastError != "400 Bad Request" {
				t.Errorf("a rejected event says nothing about the destination: %+v", s)
			}
		})
	}
}

func TestAPartialFailureIsSettledEventByEvent(t *testing.T) {
	work(t, 5, func(o *Options) { o.Batch = 5 }, func(_ context.Context, n int, _ []event.Event) error {
		if n == 0 {
			return outputs.Partial{1: outputs.Reject(errors.New("mapping")), 2: errDown, 4: outputs.RetryAfter(time.Minute, errDown)}
		}
		return nil
	}, func(f *fixture) {
		f.after(time.Millisecond)
		f.want("accepted at once", f.sender.got(), []string{"e1", "e4"})
		f.want("letters", f.source.letters(), []string{"e2"})
		f.wantOpen(3, 5)
		f.after(time.Minute)
		f.want("batches", f.sender.batches(), [][]string{{"e1", "e2", "e3", "e4", "e5"}, {"e3", "e5"}})
		f.wantOpen()
	})
}

func TestAPartialThatNamesNoEventOfTheBatchIsTriedAgainWhole(t *testing.T) {
	work(t, 2, func(o *Options) { o.Batch = 2 }, func(_ context.Context, n int, _ []event.Event) error {
		if n == 0 {
			return outputs.Partial{7: errDown}
		}
		return nil
	}, func(f *fixture) {
		f.after(time.Second)
		f.want("batches", f.sender.batches(), [][]string{{"e1", "e2"}, {"e1", "e2"}})
		f.wantOpen()
	})
}

func TestAnAttemptEndsAtItsTimeout(t *testing.T) {
	work(t, 1, func(o *Options) { o.Settings.Timeout = 3 * time.Second }, func(ctx context.Context, n int, _ []event.Event) error {
		if n == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}, func(f *fixture) {
		f.after(3*time.Second - time.Millisecond)
		f.want("attempts", len(f.sender.batches()), 1)
		f.after(time.Second)
		f.wantOpen()
	})
}

func TestAHangingDestinationHoldsOnlyWhatItIsSent(t *testing.T) {
	hang := func(ctx context.Context, _ int, _ []event.Event) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name                    string
		kind, concurrent        int
		serial                  bool
		wantRunning, mostInHand int
	}{
		{"one by one", 1, 1, false, 1, 1 + queueEvents},
		{"several at once", 1, 3, false, 3, 3 + queueEvents},
		{"without a limit", 1, 0, false, firstLimit, firstLimit + queueEvents},
		{"more than the limit", 1, 1000, false, firstLimit, firstLimit + queueEvents},
		{"batches", 100, 2, false, 2, 2*100 + queueMost},
		{"serial", 1, 5, true, 1, 1 + queueEvents},
	} {
		t.Run(c.name, func(t *testing.T) {
			work(t, 5000, func(o *Options) {
				o.Batch, o.Serial, o.Settings.MaxConcurrentRequests = c.kind, c.serial, c.concurrent
			}, hang, func(f *fixture) {
				f.after(2 * time.Hour)
				f.want("running at once", f.sender.mostAtOnce(), c.wantRunning)
				if n := f.worker.State().InFlight; n == 0 || n > c.mostInHand || f.source.mostOut() > c.mostInHand {
					t.Errorf("%d in hand and up to %d out, want at most %d", n, f.source.mostOut(), c.mostInHand)
				}
			})
		})
	}
}

func TestEventsInHandAreKeptAliveForDays(t *testing.T) {
	work(t, 40, func(o *Options) { o.Settings.Retry.MaxAge = 200 * time.Hour }, func(context.Context, int, []event.Event) error {
		return errDown
	}, func(f *fixture) {
		f.after(100 * time.Hour)
		if s := f.worker.State(); s.Redelivered != 0 {
			t.Errorf("%d events were delivered again while in hand", s.Redelivered)
		}
	})
}

func TestAnEventThatComesAgainWhileInHandIsNotSentTwice(t *testing.T) {
	work(t, 40, func(o *Options) { o.Settings.MaxConcurrentRequests = 2 }, func(_ context.Context, _ int, batch []event.Event) error {
		if batch[0].Output == "e1" {
			time.Sleep(10 * journal.AckWait)
		}
		return nil
	}, func(f *fixture) {
		f.source.mu.Lock()
		f.source.deaf = true
		f.source.mu.Unlock()
		f.after(5 * journal.AckWait)
		f.source.append(named(41, 41)...)
		f.after(10 * journal.AckWait)
		f.want("accepted", f.sender.got(), append(names(2, 41), "e1"))
		f.wantOpen()
	})
}

func TestAPanicOfAnOutputIsAFailedAttempt(t *testing.T) {
	work(t, 1, nil, func(_ context.Context, n int, _ []event.Event) error {
		if n < 3 {
			panic("index out of range")
		}
		return nil
	}, func(f *fixture) {
		f.after(time.Minute)
		f.wantOpen()
		f.end()
		if n := strings.Count(f.log.String(), "the output has a bug"); n != 1 {
			t.Errorf("the stack was logged %d times:\n%s", n, f.log)
		}
	})
}

func TestADeadLetterIsStoredBeforeItsEventIsAcknowledged(t *testing.T) {
	var journalDown atomic.Bool
	work(t, 0, nil, func(context.Context, int, []event.Event) error {
		journalDown.Store(true)
		return outputs.Reject(errors.New("400"))
	}, func(f *fixture) {
		f.source.failWith(func() error {
			if journalDown.Load() {
				return journal.ErrUnavailable
			}
			return nil
		})
		f.source.append(named(1, 1)...)
		f.after(10 * time.Minute)
		f.wantOpen(1)
		journalDown.Store(false)
		f.after(time.Minute)
		f.wantOpen()
		f.want("letters", f.source.letters(), names(1, 1))
	})
}

func TestAnUnavailableJournalIsAskedAgainAndAClosedOneEndsTheRun(t *testing.T) {
	work(t, 0, nil, nil, func(f *fixture) {
		f.source.failWith(func() error { return journal.ErrUnavailable })
		f.after(time.Hour)
		f.source.failWith(nil)
		f.source.append(named(1, 1)...)
		f.after(time.Minute)
		f.want("accepted", f.sender.got(), names(1, 1))
		f.source.failWith(func() error { return journal.ErrClosed })
		f.after(time.Minute)
		if err := <-f.done; !errors.Is(err, journal.ErrClosed) {
			t.Errorf("run = %v, want ErrClosed", err)
		}
		f.stop()
		f.stop = nil
	})
}

func TestWhatTheRouteHoldsBackIsAcknowledgedUnsent(t *testing.T) {
	quiet := func(e *event.Event, _ time.Time) (string, bool) { return "s1", e.Output == "silenced" }
	work(t, 0, func(o *Options) {
		o.Route = route.Route{MinimumPriority: event.Error, Silenced: quiet}
	}, nil, func(f *fixture) {
		f.source.append(event.Event{Output: "low", Priority: event.Notice}, event.Event{Output: "high", Priority: event.Alert},
			event.Event{Output: "test", Rule: "Test rule", Priority: event.Debug}, event.Event{Output: "silenced", Priority: event.Alert})
		f.source.replay(event.Event{Output: "asked for", Priority: event.Debug}, event.Event{Output: "silenced", Priority: event.Alert})
		f.after(time.Second)
		f.want("accepted", f.sender.got(), []string{"high", "test", "asked for", "silenced"})
		f.wantOpen()
		if s := f.worker.State(); s.Filtered != 1 || s.Silenced != 1 || s.Delivered != 4 {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestRepeatedFailuresAreSaidOnceAMinuteAndTheRecoveryToo(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	work(t, 50, nil, func(context.Context, int, []event.Event) error {
		if down.Load() {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.after(10 * time.Minute)
		down.Store(false)
		f.after(2 * time.Minute)
		f.end()
		failing, again := strings.Count(f.log.String(), "delivery fails"), strings.Count(f.log.String(), "delivery works again")
		if failing < 2 || failing > 11 || again != 1 {
			t.Errorf("%d lines about failures and %d about the recovery:\n%s", failing, again, f.log)
		}
	})
}

func TestADestinationThatFailsNowAndThenDoesNotFillTheLog(t *testing.T) {
	work(t, 3000, func(o *Options) { o.Settings.Retry.Max = 500 * time.Millisecond }, func(_ context.Context, n int, _ []event.Event) error {
		time.Sleep(100 * time.Millisecond)
		if n%2 == 0 {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.after(5 * time.Minute)
		f.end()
		if lines := strings.Count(f.log.String(), "\n"); lines < 2 || lines > 12 {
			t.Errorf("%d lines in five minutes:\n%s", lines, f.log)
		}
	})
}

func TestTheLogSaysWhenSomebodyHasToMendTheDestination(t *testing.T) {
	work(t, 1, nil, func(context.Context, int, []event.Event) error {
		return outputs.Hold(errors.New("the endpoint answered 401 Unauthorized"))
	}, func(f *fixture) {
		f.after(time.Second)
		f.end()
		if text := f.log.String(); !strings.Contains(text, "until somebody mends it") || !strings.Contains(text, "401 Unauthorized") || !strings.Contains(text, "breaker=open") {
			t.Errorf("the log is %s", text)
		}
		if s := f.worker.State(); s.Healthy || s.LastError != "the endpoint answered 401 Unauthorized" {
			t.Errorf("state is %+v", s)
		}
	})
}

type observed struct {
	mu    sync.Mutex
	all   []Attempt
	names []string // of each attempt's events
}

func (o *observed) Attempted(a Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for _, e := range a.Batch {
		names = append(names, e.Output)
	}
	a.Batch = nil
	o.all, o.names = append(o.all, a), append(o.names, strings.Join(names, " "))
}

func TestTheObserverHearsOfEveryAttempt(t *testing.T) {
	o := &observed{}
	answers := []error{outputs.Reject(errDown), errDown, outputs.Partial{0: errDown}, nil}
	work(t, 2, func(opts *Options) { opts.Batch, opts.Observer = 2, o }, func(_ context.Context, n int, _ []event.Event) error {
		time.Sleep(time.Second)
		// The batch, its first half three times, its second half.
		return []error{answers[0], answers[1], answers[2], nil, nil}[n]
	}, func(f *fixture) {
		f.after(time.Minute)
		type line struct {
			Outcome             Outcome
			Try, Events, Failed int
		}
		var got []line
		for i, a := range o.all {
			if o.names[i] != strings.Join(f.sender.made()[i].events, " ") {
				t.Errorf("attempt %d had the batch %q", i, o.names[i])
			}
			if a.Output != "out" || a.Latency != time.Second {
				t.Errorf("attempt is %+v", a)
			}
			got = append(got, line{a.Outcome, a.Try, a.Events, a.Failed})
		}
		f.want("attempts", got, []line{{Rejected, 1, 2, 2}, {Failed, 2, 1, 1}, {Failed, 3, 1, 1}, {Delivered, 4, 1, 0}, {Delivered, 2, 1, 0}})
	})
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

func TestMain(m *testing.M) {
	if dir := childDir(); dir != "" {
		childMain(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens a journal for the test in dir, or in a folder of its own.
func open(t testing.TB, dir string, change ...func(*journal.Config)) *Journal {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	cfg := journal.DefaultConfig()
	cfg.MinFree = 0
	for _, f := range change {
		f(&cfg)
	}
	j, err := Open(context.Background(), dir, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(t testing.TB, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Error(err)
	}
}

func consumer(t testing.TB, j *Journal, name string, minimum event.Priority) *Consumer {
	t.Helper()
	c, err := j.consumer(name, minimum)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closeConsumer(t testing.TB, c *Consumer) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// sample makes event number i.
func sample(i int, p event.Priority) event.Event {
	return event.Event{
		UUID: uuid.NewString(), Output: fmt.Sprintf("event %d", i), Priority: p, Rule: "Read sensitive file untrusted",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Source: "syscall", Hostname: "node-1",
		Tags: []string{"T1555", "container", "filesystem"},
		Fields: []event.Field{
			{Name: "container.id", Value: event.StringValue("8a3a7c1fd4c1")},
			{Name: "evt.time", Value: event.NumberValue("1767323045000000678")},
			{Name: "fd.name", Value: event.StringValue("/etc/shadow")},
			{Name: "k8s.ns.name", Value: event.StringValue("default")},
			{Name: "k8s.pod.name", Value: event.StringValue("web-6c9f7d4f8-x2lqp")},
			{Name: "proc.cmdline", Value: event.StringValue("cat /etc/shadow")},
			{Name: "proc.pname", Value: event.StringValue("bash")},
			{Name: "user.name", Value: event.StringValue("root")},
		},
	}
}

func samples(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = sample(i, event.Warning)
	}
	return all
}

func mustAppend(t testing.TB, j *Journal, events ...event.Event) {
	t.Helper()
	if err := j.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// fetch gets exactly n events or ends the test.
func fetch(t testing.TB, c *Consumer, n int) []journal.Delivery {
	t.Helper()
	var got []journal.Delivery
	deadline := time.Now().Add(20 * time.Second)
	for len(got) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events came", len(got), n)
		}
		ds, err := c.Fetch(context.Background(), n-len(got), 0, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ds...)
	}
	return got
}

func ack(t testing.TB, ds []journal.Delivery) {
	t.Helper()
	for _, d := range ds {
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

func texts(ds []journal.Delivery) (all []string) {
	for _, d := range ds {
		all = append(all, d.Event.Output)
	}
	return all
}

func nothingLeft(t testing.TB, c *Consumer) {
	t.Helper()
	ds, err := c.Fetch(context.Background(), 10, 0, 0)
	if err != nil || len(ds) > 0 {
		t.Errorf("fetch = %q, %v, want nothing", texts(ds), err)
	}
}

func TestEveryConsumerGetsEveryEventInOrderAndUnchanged(t *testing.T) {
	j := open(t, "")
	a, b := consumer(t, j, "a", event.None), consumer(t, j, "b", event.None)
	want := samples(250)
	mustAppend(t, j, want[:1]...)
	mustAppend(t, j, want[1:]...)
	for _, c := range []*Consumer{a, b} {
		got := fetch(t, c, len(want))
		for i, d := range got {
			if diff := cmp.Diff(want[i], d.Event, cmp.AllowUnexported(event.Value{})); diff != "" {
				t.Fatalf("event %d: %s", i, diff)
			}
			if d.Attempt != 1 || d.Sequence != uint64(i+1) || time.Since(d.Stored) > time.Minute {
				t.Fatalf("delivery %d is %+v", i, d)
			}
		}
		ack(t, got)
		nothingLeft(t, c)
		closeConsumer(t, c)
	}
}

func TestFetchWaitsForTheFirstEventAndReturnsWithIt(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	type result struct {
		ds  []journal.Delivery
		err error
	}
	done := make(chan result)
	go func() {
		ds, err := c.Fetch(context.Background(), 100, 0, time.Minute)
		done <- result{ds, err}
	}()
	mustAppend(t, j, sample(1, event.Debug))
	if r := <-done; r.err != nil || len(r.ds) != 1 {
		t.Errorf("fetch = %d events, %v, want 1", len(r.ds), r.err)
	}
}

func TestFetchEndsWithItsContextAndLosesNothing(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := c.Fetch(ctx, 1, 0, time.Hour)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("fetch = %v, want canceled", err)
	}
	mustAppend(t, j, samples(3)...)
	if got := texts(fetch(t, c, 3)); !cmp.Equal(got, []string{"event 0", "event 1", "event 2"}) {
		t.Errorf("got %q", got)
	}
}

func TestAnEventThatIsGivenBackComesAgainAndCounts(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	mustAppend(t, j, samples(2)...)
	got := fetch(t, c, 2)
	ack(t, got[1:])
	if err := got[0].Nak(0); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, c, 1)
	if again[0].Event.Output != "event 0" || again[0].Attempt != 2 {
		t.Errorf("got %q, attempt %d", again[0].Event.Output, again[0].Attempt)
	}
	ack(t, again)
	nothingLeft(t, c)
}

func TestTheSameUUIDIsStoredOnce(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	events := samples(3)
	mustAppend(t, j, events[:2]...)
	mustAppend(t, j, events...)
	mustAppend(t, j, event.Event{Rule: "no uuid", Output: "x"}, event.Event{Rule: "no uuid", Output: "x"})
	got := texts(fetch(t, c, 5))
	if want := []string{"event 0", "event 1", "event 2", "x", "x"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	nothingLeft(t, c)
	if lag, err := c.Lag(t.Context()); err != nil || lag.Lost != 0 {
		t.Errorf("lag = %+v, %v: a duplicate is not a loss", lag, err)
	}
}

func TestANewConsumerStartsWithNewEventsAndAnOldOneGoesOn(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	old := consumer(t, j, "old", event.None)
	mustAppend(t, j, samples(4)...)
	got := fetch(t, old, 3)
	ack(t, got[:2])
	closeConsumer(t, old)
	closeJournal(t, j)

	j = open(t, dir)
	fresh := consumer(t, j, "fresh", event.None)
	old = consumer(t, j, "old", event.None)
	mustAppend(t, j, sample(9, event.Warning))
	rest := fetch(t, old, 3)
	if got, want := texts(rest), []string{"event 2", "event 3", "event 9"}; !cmp.Equal(got, want) {
		t.Errorf("the old one got %q, want %q", got, want)
	}
	if rest[0].Attempt != 2 || rest[1].Attempt != 1 {
		t.Errorf("attempts are %d and %d: the first was delivered before, the second wasn't", rest[0].Attempt, rest[1].Attempt)
	}
	if got, want := texts(fetch(t, fresh, 1)), []string{"event 9"}; !cmp.Equal(got, want) {
		t.Errorf("the fresh one got %q, want %q", got, want)
	}
	nothingLeft(t, fresh)
}

func TestTheMinimumPriorityIsTheJournalsFilterAndMayChange(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.Error)
	all := func() (events []event.Event) {
		for p := event.Debug; p <= event.Emergency; p++ {
			events = append(events, sample(int(p), p))
		}
		return append(events, event.Event{UUID: uuid.NewString(), Rule: "Test rule", Output: "test", Priority: event.Debug})
	}
	mustAppend(t, j, all()...)
	got := fetch(t, c, 5)
	if got, want := texts(got), []string{"event 5", "event 6", "event 7", "event 8", "test"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ack(t, got)
	nothingLeft(t, c)
	closeConsumer(t, c)

	c = consumer(t, j, "a", event.Critical)
	mustAppend(t, j, all()...)
	got = fetch(t, c, 4)
	if got, want := texts(got), []string{"event 6", "event 7", "event 8", "test"}; !cmp.Equal(got, want) {
		t.Errorf("with a higher minimum: got %q, want %q", got, want)
	}
	ack(t, got)
	closeConsumer(t, c)

	c = consumer(t, j, "a", event.None)
	mustAppend(t, j, sample(1, event.Debug))
	if got, want := texts(fetch(t, c, 1)), []string{"event 1"}; !cmp.Equal(got, want) {
		t.Errorf("with a lower minimum: got %q, want %q", got, want)
	}
	nothingLeft(t, c)
}

func TestNamesMayHoldAnything(t *testing.T) {
	j := open(t, "")
	names := []string{"aws.lambda", "aws-lambda", "a b>*/\\é", "=2e", "."}
	for _, name := range names {
		c := consumer(t, j, name, event.None)
		if err := c.Bury(t.Context(), journal.DeadLetter{Event: sample(1, event.Debug), Sequence: 1}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		closeConsumer(t, c)
	}
	s, err := j.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if s.DeadLetters[name] != 1 {
			t.Errorf("%q has %d dead letters, want 1 of its own: %v", name, s.DeadLetters[name], s.DeadLetters)
		}
	}
	if _, err := j.Consumer(t.Context(), "", event.None); err == nil {
		t.Error("an empty name is taken")
	}
}

func TestLagTellsHowFarAnOutputIsBehind(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.Warning)
	if lag, err := c.Lag(t.Context()); err != nil || lag != (journal.Lag{}) {
		t.Errorf("of an empty journal: %+v, %v", lag, err)
	}
	mustAppend(t, j, sample(0, event.Debug), sample(1, event.Warning), sample(2, event.Error), sample(3, event.Debug))
	lag, err := c.Lag(t.Context())
	if err != nil || lag.Pending != 2 || lag.InFlight != 0 || lag.Oldest.IsZero() {
		t.Errorf("before the fetch: %+v, %v", lag, err)
	}
	got := fetch(t, c, 2)
	if !got[0].Stored.Equal(lag.Oldest) {
		t.Errorf("oldest is %s, want that of the first event, %s", lag.Oldest, got[0].Stored)
	}
	if lag, err = c.Lag(t.Context()); err != nil || lag.Pending != 2 || lag.InFlight != 2 || !lag.Oldest.Equal(got[0].Stored) {
		t.Errorf("after the fetch: %+v, %v", lag, err)
	}
	ack(t, got)
	closeConsumer(t, c)
	if lag, err = c.Lag(t.Context()); err != nil || lag != (journal.Lag{}) {
		t.Errorf("after the ack: %+v, %v", lag, err)
	}
}

func TestASecondProcessCannotOpenTheSameFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(t.Context(), dir, journal.DefaultConfig(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, journal.ErrLocked) {
		t.Errorf("err = %v, want ErrLocked", err)
	}
}

func TestCloseEndsEverythingAndMayBeCalledTwice(t *testing.T) {
	j := open(t, "")
	tail, err := j.Tail(t.Context(), journal.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	closeJournal(t, j)
	closeJournal(t, j)
	if err := j.Append(t.Context(), samples(1)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append = %v, want ErrClosed", err)
	}
	if err := j.Ready(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("ready = %v, want ErrClosed", err)
	}
	if _, err := tail.Next(t.Context()); err == nil {
		t.Error("the tail goes on")
	}
}

func TestAnEventThatIsTooLargeIsRefusedAndNothingIsStored(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	big := sample(1, event.Warning)
	big.Output = string(make([]byte, event.MaxEventBytes))
	if err := j.Append(t.Context(), []event.Event{sample(0, event.Warning), big}); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("append = %v, want ErrTooLarge", err)
	}
	nothingLeft(t, c)
}

func TestEventsOfTheLargestSizePassHoweverSmallTheBudget(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	big := sample(1, event.Warning)
	big.Output = ""
	big.Output = strings.Repeat("x", event.MaxEventBytes-len(big.AppendJSON(nil)))
	for range 6 {
		big.UUID = uuid.NewString()
		mustAppend(t, j, big)
	}
	ds, err := c.Fetch(t.Context(), 100, 1, time.Second)
	if err != nil || len(ds) == 0 || len(ds) == 6 {
		t.Fatalf("fetch = %d events, %v, want some but not all", len(ds), err)
	}
	fetch(t, c, 6-len(ds))
}

func TestPruneDeletesOnlyCursorsThatAreUnusedForLong(t *testing.T) {
	j := open(t, "")
	for _, name := range []string{"kept", "gone", "aws.lambda"} {
		closeConsumer(t, consumer(t, j, name, event.None))
	}
	deleted, waiting, err := j.Prune(t.Context(), []string{"kept"})
	if err != nil || len(deleted) != 0 || !cmp.Equal(waiting, []string{"aws.lambda", "gone"}) {
		t.Errorf("prune = %q, %q, %v", deleted, waiting, err)
	}
	deleted, waiting, err = j.cursors.prune([]string{"kept"}, time.Now().Add(time.Hour))
	if err != nil || len(waiting) != 0 || !cmp.Equal(deleted, []string{"aws.lambda", "gone"}) {
		t.Errorf("prune after a week = %q, %q, %v", deleted, waiting, err)
	}
	mustAppend(t, j, samples(1)...)
	fetch(t, consumer(t, j, "kept", event.None), 1)
}

func TestAConfigThatCannotWorkIsRefused(t *testing.T) {
	for name, change := range map[string]func(*journal.Config){
		"too few bytes":        func(c *journal.Config) { c.MaxBytes = 1 << 20 },
		"too short an age":     func(c *journal.Config) { c.MaxAge = time.Second },
		"an unknown sync":      func(c *journal.Config) { c.Sync = "never" },
		"no duplicate window":  func(c *journal.Config) { c.DuplicateWindow = 0 },
		"a window beyond age":  func(c *journal.Config) { c.DuplicateWindow = 2 * c.MaxAge },
		"a negative reserve":   func(c *journal.Config) { c.MinFree = -1 },
		"too few dead bytes":   func(c *journal.Config) { c.DeadLetters.MaxBytes = 0 },
		"too short a dead age": func(c *journal.Config) { c.DeadLetters.MaxAge = 0 },
	} {
		c := journal.DefaultConfig()
		change(&c)
		if _, err := Open(t.Context(), t.TempDir(), c, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWithSyncAlwaysEventsAreStoredToo(t *testing.T) {
	dir := t.TempDir()
	always := func(c *journal.Config) { c.Sync = journal.SyncAlways }
	j := open(t, dir, always)
	mustAppend(t, j, samples(5)...)
	closeJournal(t, j)
	j = open(t, dir, always)
	if all, err := j.Recent(t.Context(), 100); err != nil || len(all) != 5 {
		t.Errorf("recent = %d, %v", len(all), err)
	}
}

func TestLimitsMayBeLoweredOnAnExistingJournal(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustAppend(t, j, samples(10)...)
	closeJournal(t, j)
	j = open(t, dir, func(c *journal.Config) { c.MaxBytes, c.MaxAge, c.DeadLetters.MaxBytes = 16<<20, time.Hour, 16<<20 })
	if all, err := j.Recent(t.Context(), 100); err != nil || len(all) != 10 {
		t.Errorf("recent = %d, %v", len(all), err)
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"stream":"LOG","seq":7,"duplicate":true}`))
	f.Add([]byte(`{"error":{"description":"x"}}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := readAnswer(data); err == nil && n == 0 {
			t.Errorf("%q is neither an error nor a place", data)
		}
	})
}

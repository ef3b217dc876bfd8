package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

var prefixes atomic.Int64

// newPrefix returns a prefix that no other test uses.
func newPrefix() string { return fmt.Sprint("T", prefixes.Add(1)) }

func configFor(url, prefix string, replicas int) journal.Config {
	c := journal.DefaultConfig()
	c.URL, c.Stream, c.Replicas = config.NewSecret(url), prefix, replicas
	return c
}

// openJournal opens a journal of one replica for the test and waits until it is ready.
func openJournal(t testing.TB, prefix string, change ...func(*journal.Config)) *Journal {
	t.Helper()
	cfg := configFor(cluster(t).urls(), prefix, 1)
	for _, f := range change {
		f(&cfg)
	}
	j := openConfig(t, cfg)
	eventually(t, "the journal is ready", j.Ready)
	return j
}

func openConfig(t testing.TB, cfg journal.Config) *Journal {
	t.Helper()
	j, err := open(context.Background(), cfg, slog.New(slog.DiscardHandler), shortWait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

// shortWait stands for journal.AckWait, which would be long for a test.
const shortWait = 4 * time.Second

func three(c *journal.Config) { c.Replicas = 3 }

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
	var c *Consumer
	eventually(t, "the cursor opens", func() (err error) {
		c, err = j.consumer(context.Background(), name, minimum)
		if err == nil && !c.attached {
			closeConsumer(t, c)
			return errNotYet
		}
		return err
	})
	t.Cleanup(func() { _ = c.Close(context.Background()) })
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
			{Name: "proc.cmdline", Value: event.StringValue("cat /etc/shadow")},
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
	deadline := time.Now().Add(patient)
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

// nothingLeft checks that the servers have nothing more to hand out.
func nothingLeft(t testing.TB, c *Consumer) {
	t.Helper()
	ds, err := c.Fetch(context.Background(), 10, 0, 50*time.Millisecond)
	if err != nil || len(ds) > 0 {
		t.Errorf("fetch = %q, %v, want nothing", texts(ds), err)
	}
}

// settled waits until an output's lag is what is wanted, since acknowledgements are not
// waited for.
func settled(t testing.TB, c *Consumer, want func(journal.Lag) bool) {
	t.Helper()
	eventually(t, "the lag settles", func() error {
		lag, err := c.Lag(t.Context())
		if err == nil && !want(lag) {
			err = fmt.Errorf("it is %+v", lag)
		}
		return err
	})
}

func TestEveryConsumerGetsEveryEventInOrderAndUnchanged(t *testing.T) {
	j := openJournal(t, newPrefix(), three)
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
			if d.Attempt != 1 || d.Sequence != uint64(i+1) || d.Stored.IsZero() || d.Size == 0 || d.Replayed {
				t.Fatalf("delivery %d is %+v", i, d)
			}
		}
		ack(t, got)
		nothingLeft(t, c)
		closeConsumer(t, c)
	}
}

func TestFetchWaitsForTheFirstEventAndReturnsWithIt(t *testing.T) {
	j := openJournal(t, newPrefix())
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

func TestFetchEndsWithItsContextOrWithCloseAndLosesNothing(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "a", event.None)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	wait := func() {
		_, err := c.Fetch(ctx, 1, 0, time.Hour)
		done <- err
	}
	go wait()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("fetch = %v, want canceled", err)
	}
	mustAppend(t, j, samples(3)...)
	got := fetch(t, c, 3)
	if want := []string{"event 0", "event 1", "event 2"}; !cmp.Equal(texts(got), want) {
		t.Errorf("got %q", texts(got))
	}
	ack(t, got)
	ctx = context.Background()
	go wait()
	closeConsumer(t, c)
	if err := <-done; !errors.Is(err, journal.ErrClosed) {
		t.Errorf("fetch = %v, want ErrClosed", err)
	}
}

func TestAnEventThatIsGivenBackComesAgainAndCounts(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "a", event.None)
	mustAppend(t, j, samples(3)...)
	got := fetch(t, c, 3)
	ack(t, got[1:2])
	began := time.Now()
	const delay = 300 * time.Millisecond
	if err := errors.Join(got[0].InProgress(), got[0].Nak(0), got[2].Nak(delay)); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, c, 2)
	if time.Since(began) < delay {
		t.Error("the delayed one came at once")
	}
	if want := []string{"event 0", "event 2"}; !cmp.Equal(texts(again), want) || again[0].Attempt != 2 || again[1].Attempt != 2 {
		t.Errorf("got %q, attempts %d and %d", texts(again), again[0].Attempt, again[1].Attempt)
	}
	ack(t, again)
	settled(t, c, func(l journal.Lag) bool { return l.Pending == 0 })
}

func TestTheSameUUIDIsStoredOnce(t *testing.T) {
	prefix := newPrefix()
	j, other := openJournal(t, prefix, three), openJournal(t, prefix, three)
	c := consumer(t, j, "a", event.None)
	events := samples(3)
	mustAppend(t, j, events[:2]...)
	mustAppend(t, other, events...)
	mustAppend(t, j, event.Event{Rule: "no uuid", Output: "x"}, event.Event{Rule: "no uuid", Output: "x"})
	got := texts(fetch(t, c, 5))
	if want := []string{"event 0", "event 1", "event 2", "x", "x"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	nothingLeft(t, c)
}

func TestANewConsumerStartsWithNewEventsAndAnOldOneGoesOnWithWhatItLeft(t *testing.T) {
	prefix := newPrefix()
	j := openJournal(t, prefix)
	old := consumer(t, j, "old", event.None)
	mustAppend(t, j, samples(4)...)
	got := fetch(t, old, 3)
	ack(t, got[:2])
	closeConsumer(t, old)
	if err := got[2].Ack(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("an acknowledgement after the close = %v, want ErrClosed", err)
	}
	closeJournal(t, j)

	j = openJournal(t, prefix)
	fresh := consumer(t, j, "fresh", event.None)
	old = consumer(t, j, "old", event.None)
	mustAppend(t, j, sample(9, event.Warning))
	rest := fetch(t, old, 3)
	// What comes again may come in another order.
	slices.SortFunc(rest, func(a, b journal.Delivery) int { return strings.Compare(a.Event.Output, b.Event.Output) })
	if got, want := texts(rest), []string{"event 2", "event 3", "event 9"}; !cmp.Equal(got, want) {
		t.Errorf("the old one got %q, want %q", got, want)
	}
	if rest[0].Attempt != 2 || rest[2].Attempt != 1 {
		t.Errorf("attempts are %d and %d: the first was delivered before, the last wasn't", rest[0].Attempt, rest[2].Attempt)
	}
	if got, want := texts(fetch(t, fresh, 1)), []string{"event 9"}; !cmp.Equal(got, want) {
		t.Errorf("the fresh one got %q, want %q", got, want)
	}
	nothingLeft(t, fresh)
}

func TestTheMinimumPriorityIsTheJournalsFilterAndMayChange(t *testing.T) {
	j := openJournal(t, newPrefix())
	all := func() (events []event.Event) {
		for p := event.Debug; p <= event.Emergency; p++ {
			events = append(events, sample(int(p), p))
		}
		return append(events, event.Event{UUID: uuid.NewString(), Rule: route.TestRule, Output: "test", Priority: event.Debug})
	}
	for _, c := range []struct {
		minimum event.Priority
		want    []string
	}{
		{event.Error, []string{"event 5", "event 6", "event 7", "event 8", "test"}},
		{event.Critical, []string{"event 6", "event 7", "event 8", "test"}},
		{event.None, []string{"event 1", "event 2", "event 3", "event 4", "event 5", "event 6", "event 7", "event 8", "test"}},
	} {
		cursor := consumer(t, j, "a", c.minimum)
		mustAppend(t, j, all()...)
		got := fetch(t, cursor, len(c.want))
		if got := texts(got); !cmp.Equal(got, c.want) {
			t.Errorf("minimum %v: got %q, want %q", c.minimum, got, c.want)
		}
		ack(t, got)
		nothingLeft(t, cursor)
		closeConsumer(t, cursor)
	}
}

func TestTheFilterAndTheSubjectsSayWhatTheRouteSays(t *testing.T) {
	n := namesFor("SAKER")
	for minimum := event.None; minimum <= event.Emergency; minimum++ {
		for p := event.None; p <= event.Emergency; p++ {
			for _, rule := range []string{"r", route.TestRule} {
				e := event.Event{Rule: rule, Priority: p}
				passes := false
				for _, f := range n.filters("out", minimum) {
					passes = passes || f == n.shared || f == n.subject(&e)
				}
				r := route.Route{MinimumPriority: minimum}
				if want := r.Decide(&e, time.Time{}) == route.Deliver; passes != want {
					t.Errorf("minimum %v, priority %v, rule %q: the filter says %v and the route %v", minimum, p, rule, passes, want)
				}
			}
		}
	}
}

func TestWhatIsAppendedForOneOutputReachesThatOneAlone(t *testing.T) {
	j := openJournal(t, newPrefix())
	a, b := consumer(t, j, "a.b", event.Emergency), consumer(t, j, "b", event.None)
	events := []event.Event{sample(0, event.Debug), {Rule: "no uuid", Output: "x"}, {Rule: "no uuid", Output: "x"}}
	mustAppend(t, j, events[0])
	for _, call := range []string{"one", "one", "two"} {
		if err := j.AppendFor(t.Context(), "a.b", call, events); err != nil {
			t.Fatal(err)
		}
	}
	got := fetch(t, a, 6)
	if want := []string{"event 0", "x", "x", "event 0", "x", "x"}; !cmp.Equal(texts(got), want) {
		t.Errorf("got %q, want %q", texts(got), want)
	}
	for _, d := range got {
		if !d.Replayed {
			t.Errorf("%q doesn't say that it is replayed", d.Event.Output)
		}
	}
	ack(t, got)
	nothingLeft(t, a)
	if got := texts(fetch(t, b, 1)); !cmp.Equal(got, []string{"event 0"}) {
		t.Errorf("the other output got %q", got)
	}
	nothingLeft(t, b)
	if all, err := j.Recent(t.Context(), 5); err != nil || len(all) != 1 {
		t.Errorf("recent = %d entries, %v, want the one event", len(all), err)
	}
	if err := j.AppendFor(t.Context(), "", "call", events); err == nil {
		t.Error("an output without a name is taken")
	}
}

func TestLagTellsHowFarAnOutputIsBehind(t *testing.T) {
	j := openJournal(t, newPrefix())
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
	settled(t, c, func(l journal.Lag) bool {
		return l.Pending == 2 && l.InFlight == 2 && l.Oldest.Equal(got[0].Stored)
	})
	ack(t, got)
	closeConsumer(t, c)
	settled(t, c, func(l journal.Lag) bool { return l == journal.Lag{} })
}

func TestCloseEndsEverythingAndMayBeCalledTwice(t *testing.T) {
	j := openJournal(t, newPrefix())
	tail, err := j.Tail(t.Context(), journal.From{})
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	closeJournal(t, j)
	if err := j.Append(t.Context(), samples(1)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append = %v, want ErrClosed", err)
	}
	if err := j.Ready(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("ready = %v, want ErrClosed", err)
	}
	if _, err := j.Consumer(t.Context(), "a", event.None); err == nil {
		t.Error("a cursor opens")
	}
	tail.Close()
	if _, err := tail.Next(t.Context()); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("next = %v, want ErrClosed", err)
	}
}

func TestAnEventThatIsTooLargeIsRefusedAndNothingIsStored(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "a", event.None)
	big := sample(1, event.Warning)
	big.Output = string(make([]byte, event.MaxEventBytes))
	if err := j.Append(t.Context(), []event.Event{sample(0, event.Warning), big}); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("append = %v, want ErrTooLarge", err)
	}
	nothingLeft(t, c)
}

func TestEventsOfTheLargestSizePassHoweverSmallTheBudget(t *testing.T) {
	j := openJournal(t, newPrefix(), three)
	c := consumer(t, j, "a", event.None)
	big := sample(1, event.Warning)
	big.Output = ""
	big.Output = strings.Repeat("x", event.MaxEventBytes-len(big.AppendJSON(nil)))
	const total = 7
	for range total {
		big.UUID = uuid.NewString()
		mustAppend(t, j, big)
	}
	ds, err := c.Fetch(t.Context(), 100, 1, patient)
	if err != nil || len(ds) == 0 || len(ds) == total {
		t.Fatalf("fetch = %d events, %v, want some but not all", len(ds), err)
	}
	ack(t, ds)
	ack(t, fetch(t, c, total-len(ds)))
}

func TestPruneDeletesOnlyCursorsThatAreUnusedForLong(t *testing.T) {
	prefix := newPrefix()
	j, other := openJournal(t, prefix), openJournal(t, prefix)
	for _, name := range []string{"kept", "gone", "aws.lambda"} {
		closeConsumer(t, consumer(t, j, name, event.None))
	}
	used := consumer(t, other, "used", event.None)
	nothingLeft(t, used)
	deleted, waiting, err := j.Prune(t.Context(), []string{"kept"})
	if err != nil || len(deleted) != 0 || !cmp.Equal(waiting, []string{"aws.lambda", "gone", "used"}) {
		t.Errorf("prune = %q, %q, %v", deleted, waiting, err)
	}
	deleted, waiting, err = j.prune(t.Context(), []string{"kept"}, time.Now().Add(time.Hour))
	if err != nil || !cmp.Equal(waiting, []string{"used"}) || !cmp.Equal(deleted, []string{"aws.lambda", "gone"}) {
		t.Errorf("prune after a week = %q, %q, %v", deleted, waiting, err)
	}
	kept := consumer(t, j, "kept", event.None)
	mustAppend(t, j, samples(1)...)
	fetch(t, kept, 1)
}

func TestACursorOpensOnceAtATime(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "a", event.None)
	if _, err := j.Consumer(t.Context(), "a", event.None); err == nil {
		t.Error("it opens twice")
	}
	closeConsumer(t, c)
	closeConsumer(t, consumer(t, j, "a", event.None))
	for _, name := range []string{"", strings.Repeat("x", 65)} {
		if _, err := j.Consumer(t.Context(), name, event.None); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}

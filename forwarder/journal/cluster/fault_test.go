package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// tally counts what is delivered.
type tally struct {
	mu         sync.Mutex
	times      map[string]int
	duplicates int
	by         map[string]int
}

func newTally() *tally { return &tally{times: map[string]int{}, by: map[string]int{}} }

// from returns the function that takes what one forwarder delivers.
func (y *tally) from(forwarder string) func(got) {
	return func(g got) {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.by[forwarder]++
		if y.times[g.uuid]++; y.times[g.uuid] > 1 {
			y.duplicates++
		}
	}
}

func (y *tally) count(forwarder string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.by[forwarder]
}

// missing returns how many of the events have not been delivered.
func (y *tally) missing(all []string) (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, id := range all {
		if y.times[id] == 0 {
			n++
		}
	}
	return n
}

// deliverAll waits until all events have been delivered, and checks that there are no more
// duplicates than there may be.
func (y *tally) deliverAll(t *testing.T, all []string, most int) {
	t.Helper()
	eventually(t, "all events are delivered", func() error {
		if n := y.missing(all); n > 0 {
			return fmt.Errorf("%d of %d events are missing", n, len(all))
		}
		return nil
	})
	y.mu.Lock()
	defer y.mu.Unlock()
	t.Logf("%d events, %d duplicates, delivered by %v", len(all), y.duplicates, y.by)
	if y.duplicates > most {
		t.Errorf("%d of %d events were delivered twice, and no more than %d may be", y.duplicates, len(all), most)
	}
}

// runConsumer delivers in this process until the test ends or stop is called.
func runConsumer(t *testing.T, c *Consumer, told func(got)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			ds, err := c.Fetch(ctx, perFetch, 0, time.Second)
			if err != nil {
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
			for _, d := range ds {
				told(got{d.Sequence, d.Event.UUID})
				_ = d.Ack()
			}
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// appendAll appends n events in small batches, each as often as it takes, and returns their
// ids. Between the batches it calls at with the number of events that are stored.
func appendAll(t *testing.T, n int, at func(stored int), journals ...*Journal) (all []string) {
	t.Helper()
	for i := 0; len(all) < n; i++ {
		batch := samples(min(10, n-len(all)))
		eventually(t, "the events are stored", func() error {
			err := journals[i%len(journals)].Append(context.Background(), batch)
			if err != nil && !errors.Is(err, journal.ErrUnavailable) {
				t.Fatalf("append = %v, want nil or ErrUnavailable", err)
			}
			return err
		})
		for _, e := range batch {
			all = append(all, e.UUID)
		}
		at(len(all))
	}
	return all
}

// leader returns the server that leads the journal's stream.
func leader(t *testing.T, c *nodes, j *Journal) *node {
	t.Helper()
	var n *node
	eventually(t, "there is a leader", func() error {
		info, err := j.info(t.Context())
		if err != nil {
			return err
		}
		if n = c.named(info.Cluster.Leader); n == nil {
			return errNotYet
		}
		return nil
	})
	return n
}

func TestServersThatAreKilledInMidStreamCostNoEvent(t *testing.T) {
	c, prefix := cluster(t), newPrefix()
	a, b := openJournal(t, prefix, three), openJournal(t, prefix, three)
	y := newTally()
	runConsumer(t, consumer(t, a, "out", event.None), y.from("a"))
	runConsumer(t, consumer(t, b, "out", event.None), y.from("b"))
	const total = 1200
	all := appendAll(t, total, func(stored int) {
		switch stored {
		case total / 4: // the leader, and with it what it was about to do
			leader(t, c, a).kill()
		case total / 2:
			c.revive(t)
			eventually(t, "all replicas are current", func() error { return current(t, a) })
		case 3 * total / 4:
			first := leader(t, c, a)
			for _, n := range c.all {
				if n != first {
					n.kill()
					break
				}
			}
		}
	}, a, b)
	c.revive(t)
	// A server takes with it the acknowledgements that it has not passed on: those of the
	// events in both forwarders' hands at most, for the consumer may be led by either.
	y.deliverAll(t, all, 2*2*(perFetch+minAhead))
	for name, c := range map[string]*Journal{"a": a, "b": b} {
		if y.count(name) == 0 {
			t.Errorf("forwarder %s has delivered nothing", name)
		}
		eventually(t, "it is ready", c.Ready)
	}
}

// current returns nil when all replicas are there and have everything.
func current(t *testing.T, j *Journal) error {
	info, err := j.info(t.Context())
	if err != nil {
		return err
	}
	for _, r := range info.Cluster.Replicas {
		if r.Offline || !r.Current {
			return fmt.Errorf("replica %s is not current", r.Name)
		}
	}
	return nil
}

func TestAForwarderThatIsKilledInMidStreamCostsNoEvent(t *testing.T) {
	c, prefix := cluster(t), newPrefix()
	j := openJournal(t, prefix, three)
	y := newTally()
	mine := consumer(t, j, "out", event.None)
	kill := childForwarder(t, forwarderConfig{c.urls(), prefix, "out"}, y.from("child"))
	const total = 600
	all := appendAll(t, total, func(stored int) {
		switch stored {
		case total / 3:
			runConsumer(t, mine, y.from("mine"))
		case 2 * total / 3:
			eventually(t, "the child delivers", func() error {
				if y.count("child") == 0 {
					return errNotYet
				}
				return nil
			})
			kill()
		}
	}, j)
	y.deliverAll(t, all, 2*(perFetch+minAhead))
	settled(t, mine, func(l journal.Lag) bool { return l.Pending == 0 && l.Lost == 0 })
}

func TestTwoForwardersShareTheEventsAndOneThatStopsGivesItsOwnBack(t *testing.T) {
	prefix := newPrefix()
	a, b := openJournal(t, prefix, three), openJournal(t, prefix, three)
	ca, cb := consumer(t, a, "out", event.None), consumer(t, b, "out", event.None)
	nothingLeft(t, ca)
	nothingLeft(t, cb)
	mustAppend(t, a, samples(40)...)
	first := fetch(t, ca, 5)
	closeConsumer(t, ca)
	// What was on its way to the other forwarder comes again when its acknowledgement is
	// overdue; so do events in hand here, should that take long.
	seen := map[string]bool{}
	for len(seen) < 40 {
		for _, d := range fetch(t, cb, 1) {
			seen[d.Event.UUID] = true
		}
	}
	for _, d := range first {
		if !seen[d.Event.UUID] {
			t.Errorf("%q was lost with the forwarder that stopped", d.Event.Output)
		}
	}
}

func TestWithoutAMajorityAppendsAreRefusedAndItRecovers(t *testing.T) {
	c, prefix := cluster(t), newPrefix()
	j := openJournal(t, prefix, three)
	out := consumer(t, j, "out", event.None)
	mustAppend(t, j, samples(3)...)
	for _, n := range c.all[:2] {
		n.kill()
	}
	eventually(t, "the journal says that it is not ready", func() error {
		if err := j.Append(t.Context(), samples(1)); !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("append = %v, want ErrUnavailable", err)
		}
		if j.Ready() == nil {
			return errNotYet
		}
		return nil
	})
	c.all[2].kill()
	if err := j.Append(t.Context(), samples(1)); !errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("append = %v, want ErrUnavailable", err)
	}

	// A forwarder that starts now waits for the cluster, too.
	late := openConfig(t, configFor(c.urls(), prefix, 3))
	if err := late.Ready(); !errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("ready = %v, want ErrUnavailable", err)
	}
	if err := late.Append(t.Context(), samples(1)); !errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("append = %v, want ErrUnavailable", err)
	}
	lateOut, err := late.consumer(t.Context(), "late", event.None)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConsumer(t, lateOut)
	if _, err := lateOut.Fetch(t.Context(), 1, 0, time.Second); !errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("fetch = %v, want ErrUnavailable", err)
	}
	for what, err := range map[string]error{
		"stats":        second(late.Stats(t.Context())),
		"recent":       second(late.Recent(t.Context(), 1)),
		"tail":         second(late.Tail(t.Context(), journal.From{})),
		"dead letters": second(late.DeadLetters().List(t.Context(), journal.DeadLetterQuery{})),
		"bucket":       second(late.Bucket(t.Context(), "b")),
		"lag":          second(lateOut.Lag(t.Context())),
	} {
		if !errors.Is(err, journal.ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", what, err)
		}
	}

	c.revive(t)
	eventually(t, "the journal recovers", j.Ready)
	eventually(t, "the late one works", late.Ready)
	eventually(t, "the late cursor opens", func() error {
		_, err := lateOut.Fetch(t.Context(), 1, 0, 10*time.Millisecond)
		return err
	})
	last := sample(99, event.Warning)
	eventually(t, "an event is stored", func() error { return late.Append(t.Context(), []event.Event{last}) })
	want := map[string]bool{"event 0": true, "event 1": true, "event 2": true, "event 99": true}
	eventually(t, "everything is delivered", func() error {
		ds, err := out.Fetch(t.Context(), 10, 0, time.Second)
		for _, d := range ds {
			delete(want, d.Event.Output)
			ack(t, []journal.Delivery{d})
		}
		if len(want) > 0 {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
	eventually(t, "it reaches the late one, too", func() error {
		ds, err := lateOut.Fetch(t.Context(), 10, 0, time.Second)
		for _, d := range ds {
			ack(t, []journal.Delivery{d})
			if d.Event.UUID == last.UUID {
				return nil
			}
		}
		return errors.Join(errNotYet, err)
	})
}

func TestAStreamThatIsDeletedIsMadeAnew(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "out", event.None)
	mustAppend(t, j, samples(3)...)
	ack(t, fetch(t, c, 3))
	if err := j.js.DeleteStream(t.Context(), j.names.stream); err != nil {
		t.Fatal(err)
	}
	e := sample(9, event.Warning)
	eventually(t, "events are stored and delivered again", func() error {
		e.UUID = uuid.NewString()
		err := j.Append(t.Context(), []event.Event{e})
		if err != nil && !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("append = %v, want nil or ErrUnavailable", err)
		}
		ds, ferr := c.Fetch(t.Context(), 10, 0, 10*time.Millisecond)
		if len(ds) == 0 {
			return errors.Join(errNotYet, err, ferr)
		}
		ack(t, ds)
		return nil
	})
	if lag, err := c.Lag(t.Context()); err != nil || lag.Lost != 0 {
		t.Errorf("lag = %+v, %v", lag, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestManyForwardersMayStartAtOnce(t *testing.T) {
	url, prefix := cluster(t).urls(), newPrefix()
	openJournal(t, newPrefix(), three) // returns once the cluster works
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			j, err := open(t.Context(), configFor(url, prefix, 3), slog.New(slog.DiscardHandler), shortWait)
			if err != nil {
				t.Error(err)
				return
			}
			defer closeJournal(t, j)
			for range 3 {
				name := uuid.NewString()[:1] // often the same
				c, err := j.consumer(t.Context(), name, event.None)
				if err != nil {
					t.Error(err)
					continue
				}
				// On a busy machine three servers may be too slow to take the last word of all.
				if err := c.Close(t.Context()); err != nil && !errors.Is(err, journal.ErrUnavailable) {
					t.Error(err)
				}
			}
			if _, err := j.Bucket(t.Context(), "b"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestDeadLettersAndRecordsAreSharedByTheForwarders(t *testing.T) {
	prefix := newPrefix()
	a, b := openJournal(t, prefix, three), openJournal(t, prefix, three)
	c := consumer(t, a, "out", event.None)
	e := sample(1, event.Warning)
	for range 2 {
		if err := c.Bury(t.Context(), journal.DeadLetter{Event: e, Sequence: 7, LastError: "refused"}); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := b.DeadLetters().List(t.Context(), journal.DeadLetterQuery{})
	if err != nil || len(letters) != 1 || letters[0].Output != "out" || letters[0].Event.UUID != e.UUID {
		t.Fatalf("letters are %+v, %v", letters, err)
	}
	if err := b.DeadLetters().Drop(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.DeadLetters().Get(t.Context(), letters[0].ID); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("get = %v, want ErrNotFound", err)
	}
	if err := b.DeadLetters().Drop(t.Context(), letters[0].ID); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("drop = %v, want ErrNotFound", err)
	}
	s, err := b.Stats(t.Context())
	if err != nil || len(s.DeadLetters) != 0 || s.First != 1 || s.Last != 0 {
		t.Errorf("stats = %+v, %v", s, err)
	}

	mine, err := a.Bucket(t.Context(), "silences")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.Bucket(t.Context(), "silences")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = theirs.Watch(ctx, func(key string, value []byte) { told <- key + "=" + string(value) }, func() { told <- "ready" })
	})
	defer wg.Wait()
	defer cancel()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("the watch tells %q, want %q", got, want)
			}
		case <-time.After(patient):
			t.Fatalf("the watch doesn't tell %q", want)
		}
	}
	expect("ready")
	if err := mine.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	expect("k=v")
	if err := mine.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	expect("k=")
	if _, err := a.Bucket(t.Context(), "a.b"); err == nil {
		t.Error("a name with a dot is taken")
	}
}

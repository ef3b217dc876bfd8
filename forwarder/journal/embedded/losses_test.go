package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// bulky is an event of about 100 KiB; every fourth is critical.
func bulky(i int) event.Event {
	p := event.Notice
	if i%4 == 0 {
		p = event.Critical
	}
	e := sample(i, p)
	e.Fields = append(e.Fields, event.Field{Name: "zzz", Value: event.StringValue(strings.Repeat("x", 100<<10))})
	return e
}

// small makes the least journal there is.
func small(c *journal.Config) { c.MaxBytes = 16 << 20 }

func lost(t *testing.T, c *Consumer) uint64 {
	t.Helper()
	lag, err := c.Lag(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lag.Lost
}

// An output that hangs has events in hand, does not fetch, and is told what it loses.
func TestLossesAreCountedWhileAnOutputHangs(t *testing.T) {
	j := open(t, "", small)
	j.head.maxEvents = 10
	c, high := consumer(t, j, "all", event.None), consumer(t, j, "high", event.Critical)
	const total = 400
	mustAppend(t, j, bulky(0), bulky(1), bulky(2), bulky(3))
	held := fetch(t, c, 3)
	for i := 4; i < total; i++ {
		mustAppend(t, j, bulky(i))
	}
	s, err := j.Stats(t.Context())
	if err != nil || s.First < 100 || s.Events != s.Last-s.First+1 {
		t.Fatalf("stats are %+v, %v", s, err)
	}
	removed := s.First - 1
	if got := lost(t, c); got != removed-3 {
		t.Errorf("lost are %d of %d, want %d: the three in hand are not", got, removed, removed-3)
	}
	if got, want := lost(t, high), (removed+3)/4; got != want {
		t.Errorf("lost critical ones are %d, want %d", got, want)
	}
	if lag, err := c.Lag(t.Context()); err != nil || lag.Pending != total-removed+3 || lag.InFlight != 3 {
		t.Errorf("lag is %+v, %v", lag, err)
	}
	ack(t, held[:2])
	if err := held[2].Nak(0); err != nil { // it is nowhere any more
		t.Fatal(err)
	}
	ack(t, fetch(t, c, int(total-removed)))
	nothingLeft(t, c)
	if got := lost(t, c); got != removed-2 {
		t.Errorf("lost are %d, want %d", got, removed-2)
	}
}

func TestLossesAreCountedThatHappenedWhileTheCursorWasClosed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	c := consumer(t, j, "out", event.Critical)
	mustAppend(t, j, bulky(0), bulky(4), bulky(8))
	ack(t, fetch(t, c, 2)[:1]) // 4 is open, 8 unread
	closeConsumer(t, c)
	for i := range 300 {
		mustAppend(t, j, bulky(i))
	}
	closeJournal(t, j)

	j = open(t, dir, small)
	s, err := j.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := 2 + (s.First-4+3)/4 // of the first three, and every fourth of the others
	c = consumer(t, j, "out", event.Critical)
	if got := lost(t, c); got != want {
		t.Errorf("lost are %d, want %d", got, want)
	}
	rest := fetch(t, c, int(75-(s.First-4+3)/4))
	ack(t, rest)
	nothingLeft(t, c)
	if got := lost(t, c); got != want {
		t.Errorf("after catching up: lost are %d, want %d", got, want)
	}
}

// The log names the cause of a loss, so that nobody raises limits because of a bad disk.
func TestTheLogSaysWhyEventsAreLost(t *testing.T) {
	const limits, files = "journal.maxbytes", "damaged"
	for name, c := range map[string]struct {
		lose       func(t *testing.T, j *Journal, c *Consumer)
		says, isnt []string
	}{
		"limit of size": {func(t *testing.T, j *Journal, _ *Consumer) {
			for i := range 200 {
				mustAppend(t, j, bulky(i))
			}
		}, []string{limits}, []string{files}},
		"gap behind events that are there": {func(t *testing.T, j *Journal, c *Consumer) {
			mustAppendEach(t, j, samples(20)...)
			remove(t, j, 7, 8)
			fetch(t, c, 18)
		}, []string{files}, []string{limits}},
		"gap among events that were given back": {func(t *testing.T, j *Journal, c *Consumer) {
			mustAppendEach(t, j, samples(20)...)
			for _, d := range fetch(t, c, 20) {
				if err := d.Nak(0); err != nil {
					t.Fatal(err)
				}
			}
			remove(t, j, 7, 8)
			fetch(t, c, 18)
		}, []string{files}, []string{limits}},
		"empty log": {func(t *testing.T, j *Journal, _ *Consumer) {
			mustAppendEach(t, j, samples(20)...)
			stream, err := j.js.Stream(t.Context(), logStream)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, []string{limits, files}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			j := openTelling(t, t.TempDir(), &log)
			j.head.maxEvents = 2
			out := consumer(t, j, "out", event.None)
			c.lose(t, j, out)
			if lost(t, out) == 0 {
				t.Error("nothing is lost")
			}
			closeJournal(t, j)
			said := log.String()
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("the log doesn't say %q: %s", s, said)
				}
			}
			for _, s := range c.isnt {
				if strings.Contains(said, s) {
					t.Errorf("the log says %q: %s", s, said)
				}
			}
		})
	}
}

// openTelling opens a small journal that writes to log, which may be read once it is closed.
func openTelling(t *testing.T, dir string, log *bytes.Buffer) *Journal {
	t.Helper()
	cfg := journal.DefaultConfig()
	cfg.MinFree = 0
	small(&cfg)
	j, err := Open(t.Context(), dir, cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

// mustAppendEach stores each event in a chunk of its own.
func mustAppendEach(t *testing.T, j *Journal, events ...event.Event) {
	t.Helper()
	for _, e := range events {
		mustAppend(t, j, e)
	}
}

func TestAgeRemovesWhileNothingRunsAndNothingIsSaidTwice(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	closeConsumer(t, consumer(t, j, "out", event.Warning))
	mustAppend(t, j, samples(7)...)
	mustAppend(t, j, sample(1, event.Debug))
	stream, err := j.js.Stream(t.Context(), logStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil { // as if all had become too old
		t.Fatal(err)
	}
	closeJournal(t, j)

	j = open(t, dir)
	c := consumer(t, j, "out", event.Warning)
	if got := lost(t, c); got != 7 {
		t.Errorf("lost are %d, want 7", got)
	}
	mustAppend(t, j, sample(50, event.Error))
	ds := fetch(t, c, 1)
	if ds[0].Sequence != 9 {
		t.Errorf("the next event has the number %d, want 9: numbers are not used twice", ds[0].Sequence)
	}
	closeConsumer(t, c)
	c = consumer(t, j, "out", event.Warning)
	if got := lost(t, c); got != 0 {
		t.Errorf("lost since it was opened again are %d", got)
	}
}

func TestEventsForOneOutputReachItAloneAndAreCounted(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	a, b := consumer(t, j, "a b", event.Emergency), consumer(t, j, "b", event.None)
	replayed := samples(3)
	for range 2 { // the second call is the same again
		if err := j.AppendFor(t.Context(), "a b", "call 1", replayed); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, j, replayed...) // the same UUIDs, for all
	if lag, err := a.Lag(t.Context()); err != nil || lag.Pending != 3 {
		t.Errorf("lag of a is %+v, %v", lag, err)
	}
	got := fetch(t, a, 3)
	if !cmp.Equal(texts(got), []string{"event 0", "event 1", "event 2"}) || !got[0].Replayed {
		t.Errorf("a gets %q, replayed %v", texts(got), got[0].Replayed)
	}
	ack(t, got[:1])
	nothingLeft(t, a)
	if got := fetch(t, b, 3); got[0].Sequence != 4 || got[0].Replayed {
		t.Errorf("b gets number %d first, replayed %v", got[0].Sequence, got[0].Replayed)
	}
	nothingLeft(t, b)
	if all, err := j.Recent(t.Context(), 10); err != nil || len(all) != 3 || all[0].Sequence != 4 || all[0].More != 2 {
		t.Errorf("recent = %+v, %v", all, err)
	}
	closeConsumer(t, a)
	closeConsumer(t, b)
	if err := j.AppendFor(t.Context(), "a b", "call 2", replayed); err != nil {
		t.Fatal(err)
	}
	if err := j.AppendFor(t.Context(), "nobody yet", "call 2", replayed); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)

	j = open(t, dir)
	if err := j.AppendFor(t.Context(), "a b", "call 2", replayed); err != nil { // known from the log
		t.Fatal(err)
	}
	a = consumer(t, j, "a b", event.Emergency)
	if lag, err := a.Lag(t.Context()); err != nil || lag.Pending != 5 || lag.InFlight != 2 {
		t.Errorf("lag of a after the restart is %+v, %v", lag, err)
	}
	again := fetch(t, a, 5)
	if again[0].Attempt != 2 || !again[0].Replayed || again[2].Attempt != 1 {
		t.Errorf("a gets %+v again", again[0])
	}
	ack(t, again)
	nothingLeft(t, a)
	fetch(t, consumer(t, j, "nobody yet", event.None), 3)
	stream, err := j.js.Stream(t.Context(), logStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.AppendFor(t.Context(), "a b", "call 3", replayed); err != nil {
		t.Fatal(err)
	}
	closeConsumer(t, a)
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	a = consumer(t, open(t, dir), "a b", event.Emergency)
	if got := lost(t, a); got != 3 {
		t.Errorf("lost are %d, want 3", got)
	}
}

func TestANakWaitsForItsDelayAndWakesFetch(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	mustAppend(t, j, samples(3)...)
	ds := fetch(t, c, 3)
	if err := ds[0].Nak(time.Hour); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, c)
	done := make(chan []journal.Delivery)
	go func() {
		got, _ := c.Fetch(t.Context(), 10, 0, time.Minute)
		done <- got
	}()
	start := time.Now()
	if err := ds[2].Nak(30 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	got := <-done
	if !cmp.Equal(texts(got), []string{"event 2"}) || got[0].Attempt != 2 || time.Since(start) < 30*time.Millisecond {
		t.Errorf("got %q after %s", texts(got), time.Since(start))
	}
	if err := ds[1].Nak(0); err != nil {
		t.Fatal(err)
	}
	if err := got[0].Nak(0); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, sample(7, event.Error))
	if again := fetch(t, c, 3); !cmp.Equal(texts(again), []string{"event 1", "event 2", "event 7"}) {
		t.Errorf("got %q, want what was given back first, in order", texts(again))
	}
}

func TestAnOutputThatNeverAcknowledgesHasABoundedNumberOfEventsInHand(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	batch := unnamed(1000)
	var first journal.Delivery
	for n := 0; n < maxOpen; {
		mustAppend(t, j, batch...)
		for _, d := range fetch(t, c, min(len(batch), maxOpen-n)) {
			if n++; n == 1 {
				first = d
			}
		}
	}
	mustAppend(t, j, batch...)
	nothingLeft(t, c)
	done := make(chan []journal.Delivery)
	go func() {
		got, _ := c.Fetch(t.Context(), 10, 0, time.Minute)
		done <- got
	}()
	ack(t, []journal.Delivery{first})
	if got := <-done; len(got) != 1 {
		t.Errorf("%d events come after one was acknowledged, want 1", len(got))
	}
	j.cursors.mu.Lock()
	cur := j.cursors.all["out"]
	j.cursors.mu.Unlock()
	cur.mu.Lock()
	record := cur.encode(nil)
	cur.mu.Unlock()
	if len(record) > maxRecord {
		t.Errorf("the cursor's record has %d bytes, and at most %d fit", len(record), maxRecord)
	}
	if err := (&cursor{}).decode(record); err != nil {
		t.Error(err)
	}
}

func TestACursorIsOpenOnceAtATime(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	if _, err := j.Consumer(t.Context(), "out", event.None); err == nil {
		t.Error("it is opened twice")
	}
	closeConsumer(t, c)
	if _, err := c.Fetch(t.Context(), 1, 0, 0); err == nil {
		t.Error("a closed one still fetches")
	}
	closeConsumer(t, consumer(t, j, "out", event.None))
}

func TestAnAcknowledgementAfterCloseCounts(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	mustAppend(t, j, samples(2)...)
	ds := fetch(t, c, 2)
	closeConsumer(t, c)
	ack(t, ds[:1])
	c = consumer(t, j, "out", event.None)
	if got := texts(fetch(t, c, 1)); !cmp.Equal(got, []string{"event 1"}) {
		t.Errorf("got %q", got)
	}
	nothingLeft(t, c)
}

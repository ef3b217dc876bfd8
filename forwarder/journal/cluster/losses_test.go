package cluster

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// small has room for about 16 events of 1 MB.
func small(c *journal.Config) { c.MaxBytes = 16 << 20 }

// large makes an event of 1 MB, which is critical if i divides by 4.
func large(i int) event.Event {
	p := event.Notice
	if i%4 == 0 {
		p = event.Critical
	}
	e := sample(i, p)
	e.Fields = append(e.Fields, event.Field{Name: "zzz", Value: event.StringValue(strings.Repeat("x", 1_000_000))})
	return e
}

func lost(t *testing.T, c *Consumer) uint64 {
	t.Helper()
	lag, err := c.Lag(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lag.Lost
}

func TestWhatTheLimitsRemoveIsCountedForEachOutputByOneForwarder(t *testing.T) {
	prefix := newPrefix()
	j, other := openJournal(t, prefix, small), openJournal(t, prefix, small)
	all, high, done := consumer(t, j, "all", event.None), consumer(t, j, "high", event.Error), consumer(t, j, "done", event.None)
	allToo, highToo := consumer(t, other, "all", event.None), consumer(t, other, "high", event.Error)
	everybody := []*Consumer{all, high, done, allToo, highToo}
	const total = 24
	for i := range total {
		mustAppend(t, j, large(i))
		ack(t, fetch(t, done, 1))
		if i%4 == 0 { // as the forwarders ask from time to time
			for _, c := range everybody {
				lost(t, c)
			}
		}
	}
	s, err := j.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	removed := s.First - 1
	if removed < 5 {
		t.Fatalf("only %d events were removed", removed)
	}
	for name, c := range map[string]struct{ got, want uint64 }{
		"all":  {lost(t, all) + lost(t, allToo), removed},
		"high": {lost(t, high) + lost(t, highToo), (removed + 3) / 4},
		"done": {lost(t, done), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s has lost %d, want %d of %d", name, c.got, c.want, total)
		}
	}
	ack(t, fetch(t, all, total-int(removed)))
	mustAppend(t, j, sample(1, event.Critical))
	ack(t, fetch(t, all, 1))
	settled(t, all, func(l journal.Lag) bool { return l.Pending == 0 })
	if got := lost(t, all) + lost(t, allToo); got != removed {
		t.Errorf("after catching up: %d are lost, want %d", got, removed)
	}
}

func TestWhatTheLimitsRemoveWhileNobodyLooksIsCountedLater(t *testing.T) {
	prefix := newPrefix()
	j := openJournal(t, prefix, small)
	c := consumer(t, j, "out", event.None)
	for i := range 10 {
		mustAppend(t, j, large(i))
	}
	ack(t, fetch(t, c, 3))
	settled(t, c, func(l journal.Lag) bool { return l.Pending == 7 })
	c.losses.saved = c.losses.saved.Add(-saveInterval)
	lost(t, c)
	closeConsumer(t, c)
	for i := range 14 {
		mustAppend(t, j, large(i))
	}
	closeJournal(t, j)

	j = openJournal(t, prefix, small)
	c = consumer(t, j, "out", event.None)
	s, err := j.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lost(t, c), s.First-1-3; got != want || want < 3 {
		t.Errorf("%d are lost, want %d", got, want)
	}
	if got := lost(t, c); got != s.First-1-3 {
		t.Errorf("asked again: %d are lost", got)
	}
}

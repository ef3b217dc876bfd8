package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// blockSize returns how long the one file with events is in dir.
func blockSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, onlyBlock(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A damaged disk took the end of the log: what was there is lost and counted, and the
// numbers that its events had are not given to others.
func TestNumbersGoOnBehindAnEndThatIsLost(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	behind, ahead := consumer(t, j, "behind", event.None), consumer(t, j, "ahead", event.None)
	mustAppend(t, j, samples(3)...)
	size := blockSize(t, dir)
	mustAppend(t, j, samples(4)...)
	ack(t, fetch(t, ahead, 7))
	ack(t, fetch(t, behind, 2))
	closeConsumer(t, behind)
	closeConsumer(t, ahead)
	closeJournal(t, j)
	if err := os.Truncate(filepath.Join(dir, onlyBlock(t, dir)), size); err != nil {
		t.Fatal(err)
	}

	j = open(t, dir)
	behind, ahead = consumer(t, j, "behind", event.None), consumer(t, j, "ahead", event.None)
	mustAppend(t, j, sample(70, event.Error))
	got := fetch(t, behind, 2)
	if !cmp.Equal(texts(got), []string{"event 2", "event 70"}) || got[1].Sequence != 8 {
		t.Errorf("behind gets %q, the last is number %d, want 8", texts(got), got[1].Sequence)
	}
	if got := texts(fetch(t, ahead, 1)); !cmp.Equal(got, []string{"event 70"}) {
		t.Errorf("ahead gets %q", got)
	}
	if b, a := lost(t, behind), lost(t, ahead); b != 4 || a != 0 {
		t.Errorf("behind has lost %d, want 4, and ahead %d, want 0", b, a)
	}
	nothingLeft(t, behind)
	nothingLeft(t, ahead)
}

// The log stops and starts again while events come and go.
func TestAFailedStorageIsOpenedAgainAndNothingIsLostOrInvented(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	tail, err := j.tail(t.Context(), journal.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				e := sample(1, event.Warning)
				for {
					err := j.Append(t.Context(), []event.Event{e}) // sent again until it is taken
					if err == nil {
						break
					}
					if !errors.Is(err, journal.ErrUnavailable) {
						t.Errorf("append = %v", err)
						return
					}
					select {
					case <-time.After(time.Millisecond):
					case <-t.Context().Done():
						return
					}
				}
				mu.Lock()
				acknowledged[e.UUID] = true
				mu.Unlock()
			}
		})
	}
	for range 3 {
		ack(t, fetch(t, c, 10))
		j.broker.stop()
		eventually(t, "a failure", func() bool { return j.Ready() != nil || j.Append(t.Context(), samples(0)) != nil || writeFails(j) })
		eventually(t, "the end of the failure", func() bool { return j.Ready() == nil && j.link.Load() != nil })
	}
	wg.Wait()
	seen := map[string]int{}
	last := uint64(0)
	for range len(acknowledged) {
		e := next(t, tail, 1)[0]
		seen[e.Event.UUID]++
		if e.Sequence <= last {
			t.Errorf("sequence %d comes behind %d", e.Sequence, last)
		}
		last = e.Sequence
	}
	for id := range acknowledged {
		if seen[id] != 1 {
			t.Errorf("event %s is there %d times", id, seen[id])
		}
	}
	ack(t, fetch(t, c, len(acknowledged)-30))
	nothingLeft(t, c)
	if got := lost(t, c); got != 0 {
		t.Errorf("%d are said to be lost", got)
	}
}

// writeFails has the committer find out that the log is down; without a write nobody does.
func writeFails(j *Journal) bool {
	j.suspect(journal.Unavailable(errors.New("the log was stopped")))
	return true
}

// A server that cannot start is not waited for, and its reason is what readiness shows.
func TestWhyTheStorageCannotStartIsKnownAtOnce(t *testing.T) {
	const reason = "storage directory is not a directory"
	dir := t.TempDir()
	streams := filepath.Join(dir, "jetstream")
	if err := os.WriteFile(streams, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	cfg := journal.DefaultConfig()
	cfg.MinFree = 0
	_, err := Open(t.Context(), dir, cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("open = %v", err)
	}
	if err := os.Remove(streams); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir)
	mustAppend(t, j, samples(1)...)
	j.broker.stop()
	if err := errors.Join(os.Rename(streams, streams+".away"), os.WriteFile(streams, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	writeFails(j)
	eventually(t, "the reason", func() bool { return j.Ready() != nil && strings.Contains(j.Ready().Error(), reason) })
	if took := time.Since(start); took >= startTimeout {
		t.Errorf("the reason is known after %s", took)
	}
	if err := errors.Join(os.Remove(streams), os.Rename(streams+".away", streams)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the failure", func() bool { return j.Ready() == nil })
	mustAppend(t, j, samples(1)...)
}

// A write that gets no answer ends, and what is left of an earlier write's time doesn't end
// the next one.
func TestAWriteWithoutAnAnswerEnds(t *testing.T) {
	j := open(t, "")
	silent, err := j.conn.SubscribeSync("silent")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Unsubscribe() }()
	if err := j.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	j.storing.Lock()
	defer j.storing.Unlock()
	l := j.link.Load()
	l.timeout = 20 * time.Millisecond
	if _, err := l.publish(t.Context(), "silent", nil); err == nil || !strings.Contains(err.Error(), "didn't answer") {
		t.Errorf("the write ends with %v", err)
	}
	l.timeout = writeTimeout
	l.overdue <- struct{}{}
	if _, err := l.publish(t.Context(), logSubject, []byte("no chunk")); err != nil {
		t.Errorf("the next write ends with %v", err)
	}
}

// A write whose answer got lost: its chunk is found when the log is opened again, and
// sending its events again stores nothing twice.
func TestAChunkWhoseAnswerWasLostIsFound(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	events := samples(3)
	mustAppend(t, j, sample(90, event.Error))
	func() {
		j.storing.Lock()
		defer j.storing.Unlock()
		unknown := chunk{stored: time.Now()}
		unknown.first, _, unknown.before = j.head.state()
		for i := range events {
			unknown.text = append(events[i].AppendJSON(unknown.text), '\n')
			unknown.classes = append(unknown.classes, classOf(&events[i]))
		}
		if _, err := j.link.Load().publish(t.Context(), logSubject, encodeChunk(&unknown)); err != nil {
			t.Fatal(err)
		}
		j.suspect(journal.Unavailable(errors.New("the answer was lost")))
	}()
	eventually(t, "the end of the failure", func() bool { return j.Ready() == nil })
	mustAppend(t, j, append(events, sample(91, event.Error))...)
	got := fetch(t, c, 5)
	if !cmp.Equal(texts(got), []string{"event 90", "event 0", "event 1", "event 2", "event 91"}) || got[4].Sequence != 5 {
		t.Errorf("got %q, the last is number %d", texts(got), got[4].Sequence)
	}
	nothingLeft(t, c)
}

// Two senders of the same event are both answered only when it is stored, and it is there
// once.
func TestManySendersOfTheSameEventsStoreThemOnce(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	events := samples(40)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range events {
				if err := j.Append(t.Context(), events[i:min(i+3, len(events))]); err != nil {
					t.Error(err)
				}
				if _, message, _ := j.head.state(); message == 0 {
					t.Error("answered before anything is stored")
				}
			}
		})
	}
	wg.Wait()
	fetch(t, c, len(events))
	nothingLeft(t, c)
}

// Bytes in the middle of the log rot: what they held is lost and counted, the rest comes.
func TestDamageInTheMiddleOfTheLogHoldsUpNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	c := consumer(t, j, "out", event.None)
	var ends []int64
	for _, e := range samples(30) {
		mustAppend(t, j, e)
		ends = append(ends, blockSize(t, dir))
	}
	closeConsumer(t, c)
	closeJournal(t, j)
	f, err := os.OpenFile(filepath.Join(dir, onlyBlock(t, dir)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("rotten"), (ends[10]+ends[11])/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	j = openTelling(t, dir, &log)
	c = consumer(t, j, "out", event.None)
	mustAppend(t, j, sample(99, event.Error))
	got := map[string]bool{}
	eventually(t, "the last event", func() bool {
		ds, err := c.Fetch(t.Context(), 100, 0, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			got[d.Event.Output] = true
		}
		ack(t, ds)
		return got["event 99"]
	})
	if n := lost(t, c); n == 0 || int(n)+len(got) != 31 {
		t.Errorf("%d came and %d are lost, want 31 together", len(got), n)
	}
	nothingLeft(t, c)
	closeJournal(t, j)
	if said := log.String(); !strings.Contains(said, "files are damaged: check the disk") || strings.Contains(said, "journal.maxbytes") {
		t.Errorf("the log doesn't say why: %s", said)
	}
}

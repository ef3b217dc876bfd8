package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// openLogged opens a journal with n events in the log, a chunk each, of which next to none
// are in memory.
func openLogged(t *testing.T, n int) *Journal {
	t.Helper()
	j := open(t, "")
	j.head.maxEvents = 2
	for _, e := range samples(n) {
		mustAppend(t, j, e)
	}
	return j
}

// names are the texts of the samples from first up to, but without, end.
func names(first, end int) (all []string) {
	for i := first; i < end; i++ {
		all = append(all, fmt.Sprintf("event %d", i))
	}
	return all
}

// remove takes messages out of the middle of the log, as a damaged disk does.
func remove(t *testing.T, j *Journal, messages ...uint64) {
	t.Helper()
	s, err := j.js.Stream(t.Context(), logStream)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := s.DeleteMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneRequestReadsManyChunksUpToTheEndOfTheLog(t *testing.T) {
	j := openLogged(t, 10)
	l := j.link.Load()
	for _, c := range []struct {
		from uint64
		n    int
		want []uint64
	}{
		{1, 4, []uint64{1, 2, 3, 4}},
		{7, 4, []uint64{7, 8, 9, 10}},
		{8, 64, []uint64{8, 9, 10}},
		{10, 64, []uint64{10}},
	} {
		all, err := l.getMany(t.Context(), c.from, c.n)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, c := range all {
			if c.message != c.first {
				t.Errorf("message %d holds event %d", c.message, c.first)
			}
			got = append(got, c.first)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d from %d on are %d, want %d", c.n, c.from, got, c.want)
		}
	}
	if _, err := l.getMany(t.Context(), 11, 64); !errors.Is(err, errNothing) {
		t.Errorf("behind the end there is %v, want nothing", err)
	}
}

func TestOneRequestDoesNotReadAcrossAGap(t *testing.T) {
	j := openLogged(t, 10)
	remove(t, j, 1, 5)
	l := j.link.Load()
	for _, from := range []uint64{1, 2, 5} {
		if all, err := l.getMany(t.Context(), from, 8); !errors.Is(err, errScattered) {
			t.Errorf("from %d on there are %d chunks, %v", from, len(all), err)
		}
	}
	if all, err := l.getMany(t.Context(), 2, 3); err != nil || len(all) != 3 {
		t.Errorf("between the gaps there are %d chunks, %v, want 3", len(all), err)
	}
	c, err := l.read(t.Context(), 5, 10, 8)
	if err != nil || c[0].message != 6 {
		t.Errorf("behind the gap there is %v, %v", c, err)
	}
}

func TestARequestEndsWithItsContextAndWithTheServer(t *testing.T) {
	j := openLogged(t, 100)
	l := j.link.Load()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.getMany(ctx, 1, 64); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("read = %v, want canceled", err)
	}
	done := make(chan error)
	go func() {
		for {
			if _, err := l.getMany(t.Context(), 1, 64); err != nil {
				done <- err
				return
			}
		}
	}()
	j.broker.stop()
	if err := <-done; errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read = %v, want an error at once", err)
	}
	j.suspect(journal.Unavailable(errors.New("the log was stopped")))
	eventually(t, "the end of the failure", func() bool { return j.Ready() == nil })
}

func TestWhatIsReadAheadIsBounded(t *testing.T) {
	j := open(t, "")
	j.head.maxEvents = 2
	large := strings.Repeat("x", 200<<10)
	sizes := []int{300, 20}
	for i := range sizes[0] + sizes[1] {
		e := sample(i, event.Warning)
		if i >= sizes[0] {
			e.Fields = append(e.Fields, event.Field{Name: "large", Value: event.StringValue(large)})
		}
		mustAppend(t, j, e)
	}
	r := reader{j: j}
	var most, mostBytes int
	for after := range uint64(sizes[0] + sizes[1]) {
		if ok, err := r.seek(t.Context(), after, 1); !ok || err != nil || r.sequence() != after+1 {
			t.Fatalf("behind %d there is %d, %t, %v", after, r.sequence(), ok, err)
		}
		n := 0
		for _, c := range r.queue[:max(0, len(r.queue)-1)] {
			n += len(c.text)
		}
		most, mostBytes = max(most, len(r.queue)), max(mostBytes, n)
	}
	if most < maxRead/2 || most >= maxRead {
		t.Errorf("at most %d chunks were read ahead, want many and less than %d", most, maxRead)
	}
	if mostBytes == 0 || mostBytes >= maxReadBytes {
		t.Errorf("at most %d bytes were read ahead before the last chunk, want some and less than %d", mostBytes, maxReadBytes)
	}
	r.leave()
	if r.chunk != nil || r.queue != nil {
		t.Error("it keeps what it has read ahead")
	}
}

func TestALaggingOutputGetsEventsLargerThanWhatIsReadAtOnce(t *testing.T) {
	j := open(t, "")
	j.head.maxBytes = 1000
	c := consumer(t, j, "out", event.None)
	large := strings.Repeat("x", 900<<10)
	for i := range 12 {
		e := sample(i, event.Warning)
		if i%3 != 0 {
			e.Fields = append(e.Fields, event.Field{Name: "large", Value: event.StringValue(large)})
		}
		mustAppend(t, j, e)
	}
	if got := texts(fetch(t, c, 12)); !cmp.Equal(got, names(0, 12)) {
		t.Errorf("got %q", got)
	}
	nothingLeft(t, c)
}

func TestALaggingOutputStepsOverGapsAndCountsThem(t *testing.T) {
	const n = 300
	j := open(t, "")
	j.head.maxEvents = 2
	c := consumer(t, j, "out", event.None)
	for _, e := range samples(n) {
		mustAppend(t, j, e)
	}
	gaps := []uint64{1, 2, 40, 41, 42, 100, 101, 250}
	remove(t, j, gaps...)
	var want []string
	for i, name := range names(0, n) {
		if !slices.Contains(gaps, uint64(i+1)) {
			want = append(want, name)
		}
	}
	got := fetch(t, c, len(want))
	if diff := cmp.Diff(want, texts(got)); diff != "" {
		t.Error(diff)
	}
	ack(t, got)
	nothingLeft(t, c)
	if got := lost(t, c); got != uint64(len(gaps)) {
		t.Errorf("%d are lost, want %d", got, len(gaps))
	}
}

// The output has read ahead when the log stops, and then needs more.
func TestALaggingOutputGoesOnBehindARestartOfTheLog(t *testing.T) {
	j := open(t, "")
	j.head.maxEvents = 2
	c := consumer(t, j, "out", event.None)
	all := samples(320)
	for _, e := range all[:300] {
		mustAppend(t, j, e)
	}
	var got []journal.Delivery
	for _, n := range []int{50, 47, 60} {
		ds := fetch(t, c, n)
		ack(t, ds)
		got = append(got, ds...)
		j.broker.stop()
		j.suspect(journal.Unavailable(errors.New("the log was stopped")))
		eventually(t, "the end of the failure", func() bool { return j.Ready() == nil })
	}
	for _, e := range all[300:] {
		mustAppend(t, j, e)
	}
	got = append(got, fetch(t, c, len(all)-len(got))...)
	if diff := cmp.Diff(names(0, len(all)), texts(got)); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, c)
	if got := lost(t, c); got != 0 {
		t.Errorf("%d are said to be lost", got)
	}
}

// A restarted log whose end was lost gives the places of the lost chunks to new ones, so
// that the reader's next chunk is before the place where it stopped.
func TestAReaderFindsWhatStandsBeforeThePlaceItExpectsItAt(t *testing.T) {
	j := openLogged(t, 50)
	for _, stopped := range []uint64{20, 23, 50, 51, 1000} {
		r := reader{j: j, endSequence: 20, endMessage: stopped, batch: 16}
		ok, err := r.seek(t.Context(), 20, stopped)
		if !ok || err != nil || r.sequence() != 21 {
			t.Errorf("stopped at %d, it finds %t, %v", stopped, ok, err)
		}
	}
	r := reader{j: j}
	for _, after := range []uint64{10, 11, 12, 13, 14, 15, 30, 16, 17, 49, 3, 0} {
		if ok, err := r.seek(t.Context(), after, 1); !ok || err != nil || r.sequence() != after+1 {
			t.Errorf("behind %d it finds %t, %v", after, ok, err)
		}
	}
	if ok, err := r.seek(t.Context(), 50, 50); ok || err != nil {
		t.Errorf("behind the end it finds %t, %v", ok, err)
	}
}

// damage stores a chunk of one event that cannot be read.
func damage(t *testing.T, j *Journal) {
	t.Helper()
	j.storing.Lock()
	defer j.storing.Unlock()
	c := chunk{classes: []byte{uint8(event.Warning)}}
	c.first, _, c.before = j.head.state()
	n, err := j.link.Load().publish(t.Context(), logSubject, []byte("no chunk"))
	if err != nil {
		t.Fatal(err)
	}
	c.message = n
	j.head.pass(&c)
}

func TestADamagedChunkAmongManyIsBuriedAndTheRestComes(t *testing.T) {
	j := open(t, "")
	j.head.maxEvents = 2
	c := consumer(t, j, "out", event.None)
	all := samples(100)
	for _, e := range all[:50] {
		mustAppend(t, j, e)
	}
	damage(t, j)
	for _, e := range all[50:] {
		mustAppend(t, j, e)
	}
	if diff := cmp.Diff(names(0, 100), texts(fetch(t, c, 100))); diff != "" {
		t.Error(diff)
	}
	nothingLeft(t, c)
	closeConsumer(t, c)
	letters, err := j.dead.List(t.Context(), journal.DeadLetterQuery{})
	if err != nil || len(letters) != 1 || letters[0].Raw != "no chunk" {
		t.Errorf("the dead letters are %v, %v", letters, err)
	}
}

// Whatever a search looks at first, it doesn't pass over what can be read before a damaged
// chunk.
func TestASearchFindsWhatStandsBeforeDamagedChunks(t *testing.T) {
	const n = 40
	for first := uint64(2); first <= n; first += 3 {
		j := open(t, "")
		for i := uint64(1); i <= n; i++ {
			if i == first || i == first+1 || i == n/2 {
				damage(t, j)
			} else {
				mustAppend(t, j, sample(int(i), event.Warning))
			}
		}
		r := reader{j: j}
		for want := uint64(1); want <= n; want++ {
			readable := want
			for readable == first || readable == first+1 || readable == n/2 {
				readable++
			}
			found, err := r.find(t.Context(), func(c *chunk) bool { return c.last() >= want })
			switch {
			case readable > n:
				if !errors.Is(err, errNothing) {
					t.Errorf("damaged at %d: behind the end it finds %v, %v", first, found, err)
				}
			case err != nil:
				t.Errorf("damaged at %d: it finds %v, want number %d", first, err, readable)
			case found.first != readable:
				t.Errorf("damaged at %d: it finds number %d, want %d", first, found.first, readable)
			}
		}
		closeJournal(t, j)
	}
}

func TestRecentAndTailReadManyChunksOfTheLog(t *testing.T) {
	j := openLogged(t, 300)
	remove(t, j, 150)
	want := slices.Delete(names(0, 300), 149, 150)
	recent, err := j.Recent(t.Context(), 250)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range recent {
		got = append(got, e.Event.Output)
	}
	if diff := cmp.Diff(want[50:], got); diff != "" {
		t.Errorf("recent: %s", diff)
	}
	tail, err := j.tail(t.Context(), journal.From{After: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	got = nil
	for _, e := range next(t, tail, len(want)-1) {
		got = append(got, e.Event.Output)
	}
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Errorf("tail: %s", diff)
	}
}

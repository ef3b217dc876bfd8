package report

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testQueue(t *testing.T) (*queue, drops) {
	t.Helper()
	s, d := mustOpen(t, t.TempDir(), testLimit)
	return newQueue(s, 0, d.drop), d
}

func addNumbers(q *queue, from, to int) {
	for n := from; n < to; n++ {
		q.add(fmt.Appendf(nil, "%d", n))
	}
}

// takeNumbers delivers everything that is queued, limit at once.
func takeNumbers(q *queue, limit int) []string {
	var got []string
	for {
		batch := q.front(limit, 1<<20)
		if len(batch) == 0 {
			return got
		}
		got = append(got, texts(batch)...)
		q.ack(batch[len(batch)-1].seq)
	}
}

func numbers(from, to int) []string {
	var all []string
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

func TestAlertsStayInMemoryWhileDeliveryKeepsUp(t *testing.T) {
	q, _ := testQueue(t)
	for n := range 100 {
		addNumbers(q, n*10, n*10+10)
		if diff := cmp.Diff(numbers(n*10, n*10+10), takeNumbers(q, 3)); diff != "" {
			t.Fatal(diff)
		}
	}
	if s := q.stats(); s.spooled != 0 {
		t.Errorf("%d went to disk", s.spooled)
	}
}

func TestAlertsGoToDiskUntilWhatIsThereIsDelivered(t *testing.T) {
	q, d := testQueue(t)
	addNumbers(q, 0, 10)
	inFlight := q.front(4, 1<<20)
	q.fallBehind()
	q.ack(inFlight[3].seq) // delivery works again
	addNumbers(q, 10, 20)
	if s := q.stats(); s.memory != 0 || s.spool != 16 {
		t.Errorf("in memory %d, on disk %d", s.memory, s.spool)
	}
	if diff := cmp.Diff(numbers(4, 20), takeNumbers(q, 3)); diff != "" {
		t.Error(diff)
	}
	addNumbers(q, 20, 30)
	if s := q.stats(); s.memory != 10 || s.spool != 0 || s.spooled != 20 || len(d) > 0 {
		t.Errorf("in memory %d, on disk %d, in all %d, dropped %v", s.memory, s.spool, s.spooled, d)
	}
}

func TestMoreThanMemoryHoldsGoesToDisk(t *testing.T) {
	for name, size := range map[string]int{"many": 1, "large": 1 << 14} {
		t.Run(name, func(t *testing.T) {
			q, d := testQueue(t)
			q.spool.max = 64 << 20
			const many = maxMemoryEntries + 100
			for range many {
				q.add(make([]byte, size))
			}
			if s := q.stats(); s.spool == 0 || s.spool+s.memory != many || q.memBytes > maxMemoryBytes {
				t.Errorf("in memory %d (%d bytes), on disk %d", s.memory, q.memBytes, s.spool)
			}
			if got := len(takeNumbers(q, 10)); got != many || len(d) > 0 {
				t.Errorf("%d come, dropped %v", got, d)
			}
		})
	}
}

func TestADiskThatFailsForATimeLosesNothingThatMemoryHolds(t *testing.T) {
	q, d := testQueue(t)
	dir := q.spool.dir
	q.fallBehind()
	q.spool.dir = "/dev/null" // where no file can be made
	addNumbers(q, 0, maxMemoryEntries+5)
	if s := q.stats(); s.err == nil || s.spool != 0 || s.memory != maxMemoryEntries || d[dropSpoolError] != 5 {
		t.Errorf("got %+v, dropped %v", s, d)
	}
	q.spool.dir = dir
	addNumbers(q, maxMemoryEntries+5, maxMemoryEntries+6)
	if s := q.stats(); s.err != nil || s.memory != 0 || s.spool != maxMemoryEntries+1 {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(numbers(5, maxMemoryEntries+6), takeNumbers(q, 100)); diff != "" {
		t.Error(diff)
	}
}

func TestAQueueClosedLeavesEverythingToTheNext(t *testing.T) {
	q, _ := testQueue(t)
	addNumbers(q, 0, 10)
	q.ack(q.front(3, 1<<20)[2].seq)
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	s, d := mustOpen(t, q.spool.dir, testLimit)
	next := newQueue(s, 0, d.drop)
	addNumbers(next, 10, 20)
	if diff := cmp.Diff(numbers(3, 20), takeNumbers(next, 4)); diff != "" {
		t.Error(diff)
	}
}

func TestAFullDiskIsNoPanic(t *testing.T) {
	q, d := testQueue(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("this system has no /dev/full: %v", err)
	}
	q.fallBehind()
	addNumbers(q, 0, 2)
	_ = q.spool.out.Close()
	q.spool.out = full
	addNumbers(q, 2, 3)
	if s := q.stats(); s.err == nil || s.memory != 1 {
		t.Errorf("got %+v", s)
	}
	addNumbers(q, 3, 4)
	if diff := cmp.Diff(numbers(0, 4), takeNumbers(q, 10)); diff != "" || len(d) > 0 {
		t.Errorf("dropped %v\n%s", d, diff)
	}
}

package report

import (
	"testing"
	"testing/synctest"
	"time"
)

// entriesFrom are n entries from a place on.
func entriesFrom(seq uint64, n int) (all []entry) {
	for i := range n {
		all = append(all, entry{seq + uint64(i), []byte("alert")})
	}
	return all
}

func TestWhatIsTooOldLeavesTheSpool(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := drops{}
		s, err := openSpool(dir, testLimit, 16*time.Hour, d.drop)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		add := func(seq uint64, n int) {
			t.Helper()
			if err := s.append(entriesFrom(seq, n)); err != nil {
				t.Fatal(err)
			}
		}
		add(0, 3)
		time.Sleep(10 * time.Hour)
		add(3, 2) // in a segment of its own, though there is room in the first
		if s.pending() != 5 || len(s.segments) != 2 {
			t.Errorf("%d wait in %d segments", s.pending(), len(s.segments))
		}
		time.Sleep(7 * time.Hour)
		if got := s.read(10, 1<<20); len(got) != 2 || got[0].seq != 3 {
			t.Errorf("after 17 hours %v are left", got)
		}
		if d[dropExpired] != 3 {
			t.Errorf("counted is %v", d)
		}
	})
}

func TestTheFewerRequestsFailedTheSoonerThePaceIsFull(t *testing.T) {
	for outage, most := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: 0, time.Second: 2 * time.Second, time.Hour: 2 * firstPace,
	} {
		var p pacer
		p.after(outage)
		var sum time.Duration
		steps := 0
		for p.next >= lastPace {
			d := p.next
			limit := p.pause()
			if limit >= d {
				t.Errorf("the pause %v is not below %v", limit, d)
			}
			sum += limit
			steps++
		}
		if p.pause() != 0 || sum > most || steps > 10 {
			t.Errorf("after an outage of %v the pauses add up to %v in %d steps", outage, sum, steps)
		}
	}
}

func TestWhatIsSpooledIsForcedToTheDiskInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := openSpool(dir, testLimit, 0, drops{}.drop)
		if err != nil {
			t.Fatal(err)
		}
		q := newQueue(s, time.Second, drops{}.drop)
		q.fallBehind()
		q.add([]byte("one"))
		q.mu.Lock()
		if !q.syncing {
			t.Error("nothing is going to force the alert to the disk")
		}
		q.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		q.mu.Lock()
		if q.syncing || q.err != nil {
			t.Errorf("after the interval: syncing %t, error %v", q.syncing, q.err)
		}
		q.mu.Unlock()
		q.add([]byte("two"))
		if err := q.close(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second) // a timer that is left must find nothing to do
	})
}

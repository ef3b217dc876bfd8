package group_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
)

const (
	mostHeld  = 10_000
	mostBytes = 8 << 20
)

// flood adds n deliveries, 100 at a time and a millisecond apart, and returns the messages
// and the number of settled deliveries.
func flood(t *testing.T, stage *group.Stage, n int, make func(i int) journal.Delivery) (messages []group.Item, settled int) {
	t.Helper()
	now := start
	for i := 0; i < n; i += 100 {
		var ds []journal.Delivery
		for j := i; j < i+100; j++ {
			ds = append(ds, make(j))
		}
		ready, done := stage.Add(now, ds)
		messages, settled = append(messages, ready...), settled+len(done)
		if stage.Held() > mostHeld {
			t.Fatalf("%d deliveries are held", stage.Held())
		}
		now = now.Add(time.Millisecond)
	}
	return messages, settled
}

func TestABigGroupIsToldEarly(t *testing.T) {
	stage := group.New(grouped("rule"), "slack")
	messages, settled := flood(t, stage, 25_000, func(i int) journal.Delivery {
		return shell(i+1, "A", fmt.Sprint(i), start)
	})
	covered := 0
	for _, m := range messages {
		covered += len(m.Covers)
	}
	if len(messages) != 2 || covered+stage.Held() != 25_000 || settled != 0 {
		t.Errorf("%d messages for %d events, %d held, %d settled", len(messages), covered, stage.Held(), settled)
	}
}

func TestBigEventsAreToldEarly(t *testing.T) {
	stage := group.New(grouped("k8s.pod.name"), "slack")
	held := 0
	for i := range 100 {
		d := shell(i+1, "A", fmt.Sprint(i), start)
		d.Size = 1 << 20
		ready, _ := stage.Add(start, []journal.Delivery{d})
		held += 1 - len(ready)
		if held > mostBytes>>20 {
			t.Fatalf("after %d events %d MiB are held", i+1, held)
		}
	}
	if held == 0 {
		t.Error("nothing is held")
	}
}

func TestMoreGroupsThanAreRememberedAreToldEarly(t *testing.T) {
	stage := group.New(grouped("k8s.pod.name"), "slack")
	messages, _ := flood(t, stage, 1500, func(i int) journal.Delivery {
		return shell(i+1, "A", fmt.Sprint(i), start)
	})
	if len(messages) != 500 || stage.Held() != 1000 {
		t.Errorf("%d messages, %d held", len(messages), stage.Held())
	}
}

func TestAGroupThatWasToldGivesWayToANewOne(t *testing.T) {
	stage := group.New(grouped("k8s.pod.name"), "slack")
	pod := func(i int) journal.Delivery { return shell(i+1, "A", fmt.Sprint(i), start) }
	for i := range 1000 {
		stage.Add(start, []journal.Delivery{pod(i)})
	}
	stage.Due(start.Add(10 * time.Second))
	now := start.Add(11 * time.Second)
	if ready, _ := stage.Add(now, []journal.Delivery{pod(5000)}); len(ready) != 0 {
		t.Error("the new group was told early although others have nothing to tell")
	}
	// The oldest group was forgotten, the next is still known.
	_, settled := stage.Add(now, []journal.Delivery{pod(1), pod(1)})
	if len(settled) != 1 {
		t.Error("a group that need not be forgotten is forgotten")
	}
}

// In a flood the limit holds, and the digest counts everything.
func TestAFloodIsOneDigest(t *testing.T) {
	stage := group.New(limited(), "slack")
	messages, settled := flood(t, stage, 50_000, func(i int) journal.Delivery {
		return shell(i+1, "A", fmt.Sprint(i), start)
	})
	if len(messages) != 1 {
		t.Errorf("%d messages within the period", len(messages))
	}
	held := stage.Held()
	digest, _ := stage.Due(start.Add(time.Minute))
	if len(digest) != 1 || len(digest[0].Covers) != held || 1+settled+held != 50_000 {
		t.Fatalf("%d digests, %d settled, %d held", len(digest), settled, held)
	}
	if n, _ := digest[0].Event.Field(event.SummaryCount); n.Text() != "49999" {
		t.Errorf("the digest speaks of %s events", n.Text())
	}
}

func TestWindowsAreBounded(t *testing.T) {
	stage := group.New(settings(func(s *group.Settings) { s.DedupWindow = time.Hour }), "slack")
	messages, settled := flood(t, stage, 40_000, func(i int) journal.Delivery {
		return shell(i+1, "A", fmt.Sprint(i/2), start)
	})
	covered := 0
	for _, m := range messages {
		covered += len(m.Covers)
	}
	if covered+settled+stage.Held() != 40_000 || stage.Held() > 1000 {
		t.Errorf("%d covered, %d settled, %d held of 40000", covered, settled, stage.Held())
	}
}

// pick makes settings and a course of events of what a fuzzer or a generator hands it.
type pick struct{ data []byte }

func (p *pick) n(most int) int {
	if len(p.data) == 0 {
		return 0
	}
	b := p.data[0]
	p.data = p.data[1:]
	return int(b) % most
}

func (p *pick) settings() group.Settings {
	return settings(func(s *group.Settings) {
		s.GroupBy = [][]string{nil, {"rule"}, {"k8s.pod.name", "priority"}, {"..."}}[p.n(4)]
		s.GroupWait = time.Duration(p.n(3)) * 5 * time.Second
		s.RepeatInterval = time.Duration(p.n(3)) * 10 * time.Minute
		s.DedupWindow = time.Duration(p.n(3)) * time.Minute
		s.DedupBy = [][]string{nil, {"rule"}}[p.n(2)]
		s.DedupSummary = p.n(3) > 0
		s.RateLimit.Events = p.n(4)
		s.RateLimit.Except = []event.Priority{event.None, event.Critical}[p.n(2)]
	})
}

// checkBooks lets a Stage run, and checks that each delivery comes out once, in a message
// that counts it.
func checkBooks(t *testing.T, data []byte) {
	p := &pick{data}
	s := p.settings()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	stage := group.New(s, "slack")
	now, in := start, 0
	out := map[uint64]string{}
	leave := func(d journal.Delivery, how string) {
		if before, twice := out[d.Sequence]; twice {
			t.Fatalf("delivery %d is %s and then %s", d.Sequence, before, how)
		}
		out[d.Sequence] = how
	}
	account := func(ready []group.Item, settled []journal.Delivery) {
		for _, it := range ready {
			if err := it.Event.Validate(); err != nil || len(it.Covers) == 0 {
				t.Fatalf("a message for %d deliveries: %v", len(it.Covers), err)
			}
			for _, d := range it.Covers {
				leave(d, "covered")
			}
		}
		for _, d := range settled {
			leave(d, "settled")
		}
		if held := in - len(out); stage.Held() != held {
			t.Fatalf("%d deliveries are held, the stage says %d", held, stage.Held())
		}
		if next := stage.Next(); (stage.Held() > 0) == next.IsZero() {
			t.Fatalf("%d deliveries are held, and the next message is due at %v", stage.Held(), next)
		}
	}
	for len(p.data) > 0 {
		switch p.n(8) {
		case 0:
			now = now.Add(time.Duration(p.n(256)-64) * time.Minute)
		case 1, 2:
			if next := stage.Next(); !next.IsZero() {
				now = next
			}
		case 3:
			for _, d := range stage.Drain() {
				leave(d, "drained")
			}
		default:
			now = now.Add(time.Duration(p.n(64)) * time.Second)
		}
		var ds []journal.Delivery
		for range p.n(6) {
			in++
			d := shell(in, string(rune('A'+p.n(3))), fmt.Sprint(p.n(3)), now)
			d.Event.Priority = event.Priority(1 + p.n(8))
			d.Replayed = p.n(16) == 1
			ds = append(ds, d)
		}
		account(stage.Add(now, ds))
		account(stage.Due(now))
		if next := stage.Next(); !next.IsZero() && !next.After(now) {
			t.Fatalf("the next message was due at %v, and it is %v", next, now)
		}
	}
	for _, d := range stage.Drain() {
		leave(d, "drained")
	}
	if len(out) != in {
		t.Fatalf("%d of %d deliveries came out", len(out), in)
	}
}

func TestEveryDeliveryComesOutOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := make([]byte, random.IntN(2000))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		checkBooks(t, data)
	}
}

func FuzzStage(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1, 0, 2, 1, 0, 5, 1, 5, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			t.Skip("longer courses bring nothing new")
		}
		checkBooks(t, data)
	})
}

func BenchmarkAdd(b *testing.B) {
	for _, bm := range []struct {
		name string
		s    group.Settings
		pods int
	}{
		{"grouped", grouped("k8s.pod.name"), 1000},
		{"deduplicated", settings(func(s *group.Settings) { s.DedupWindow = time.Hour }), 1000},
		{"limited", settings(func(s *group.Settings) { s.RateLimit.Events = 1_000_000 }), 1},
	} {
		b.Run(bm.name, func(b *testing.B) {
			ds := make([]journal.Delivery, 10_000)
			for i := range ds {
				ds[i] = shell(i+1, "A", fmt.Sprint(i%bm.pods), start)
			}
			stage := group.New(bm.s, "slack")
			now, i := start, 0
			b.ReportAllocs()
			for b.Loop() {
				stage.Add(now, ds[i:i+1])
				now = now.Add(time.Millisecond)
				i = (i + 1) % len(ds)
			}
		})
	}
}

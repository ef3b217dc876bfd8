package embedded

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured reports how many events a second there were and what one cost.
func measured(b *testing.B, events int, cpu time.Duration) {
	b.StopTimer()
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/float64(events), "cpu-µs/event")
}

// fresh returns n events that are alike but for their UUIDs.
func fresh(model event.Event, n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = model
		all[i].UUID = uuid.NewString()
	}
	return all
}

// BenchmarkAppend is what one sender gets that waits for each of its requests.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []string{journal.SyncInterval, journal.SyncAlways} {
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprintf("sync=%s/events=%d", sync, size), func(b *testing.B) {
				j := open(b, "", func(c *journal.Config) { c.Sync = sync })
				model := sample(1, event.Warning)
				b.SetBytes(int64(size * len(model.AppendJSON(nil))))
				b.ReportAllocs()
				cpu := cpuTime()
				for b.Loop() {
					mustAppend(b, j, fresh(model, size)...)
				}
				measured(b, b.N*size, cpu)
			})
		}
	}
}

// BenchmarkAppendParallel is what many senders at once get, each waiting for its event.
func BenchmarkAppendParallel(b *testing.B) {
	for _, c := range []struct {
		sync          string
		senders, size int
	}{
		{journal.SyncInterval, 8, 1}, {journal.SyncInterval, 64, 1}, {journal.SyncInterval, 8, 100}, {journal.SyncAlways, 64, 1},
	} {
		b.Run(fmt.Sprintf("sync=%s/senders=%d/events=%d", c.sync, c.senders, c.size), func(b *testing.B) {
			j := open(b, "", func(cfg *journal.Config) { cfg.Sync = c.sync })
			model := sample(1, event.Warning)
			b.ReportAllocs()
			cpu := cpuTime()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range c.senders {
				wg.Go(func() {
					for n := i; n < b.N; n += c.senders {
						mustAppend(b, j, fresh(model, c.size)...)
					}
				})
			}
			wg.Wait()
			measured(b, b.N*c.size, cpu)
		})
	}
}

// BenchmarkDeliver is what an event costs from Append in batches of 100 to the last
// consumer's Ack, a consumer; all of them keep up.
func BenchmarkDeliver(b *testing.B) {
	for _, consumers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			j := open(b, "")
			model := sample(1, event.Warning)
			var all []*Consumer
			for i := range consumers {
				all = append(all, consumer(b, j, fmt.Sprint(i), event.Notice))
			}
			b.ReportAllocs()
			cpu := cpuTime()
			b.ResetTimer()
			for n := 0; n < b.N; n += 100 {
				mustAppend(b, j, fresh(model, min(100, b.N-n))...)
				for _, c := range all {
					ack(b, fetch(b, c, min(100, b.N-n)))
				}
			}
			measured(b, b.N, cpu)
		})
	}
}

// BenchmarkFetchAndAck is what an event costs an output that keeps up (it is in memory) and
// one that lags (it is read from the log, from chunks of 1 or of 100 events).
func BenchmarkFetchAndAck(b *testing.B) {
	for _, c := range []struct {
		name         string
		batch, limit int
		lags         bool
	}{
		{"memory/limit=1", 100, 1, false},
		{"memory/limit=100", 100, 100, false},
		{"log/chunks=100/limit=100", 100, 100, true},
		{"log/chunks=1/limit=100", 1, 100, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			j := open(b, "")
			out := consumer(b, j, "out", event.None)
			model := sample(1, event.Warning)
			b.ReportAllocs()
			var cpu time.Duration
			b.ResetTimer()
			for n := 0; n < b.N; {
				b.StopTimer()
				size := min(ringEvents/2, b.N-n)
				for k := 0; k < size; k += c.batch {
					mustAppend(b, j, fresh(model, min(c.batch, size-k))...)
				}
				if c.lags {
					j.head.mu.Lock()
					j.head.clear(j.head.next)
					j.head.mu.Unlock()
				}
				before := cpuTime()
				b.StartTimer()
				for k := 0; k < size; {
					ds := fetch(b, out, min(c.limit, size-k))
					k += len(ds)
					ack(b, ds)
				}
				cpu += cpuTime() - before
				n += size
			}
			measured(b, b.N, cpuTime()-cpu)
		})
	}
}

// BenchmarkTail is what an event costs a Tail that reads the log from its beginning, from
// chunks of 1 event.
func BenchmarkTail(b *testing.B) {
	const events = 4 * ringEvents
	j := open(b, "")
	model := sample(1, event.Warning)
	for range events {
		mustAppend(b, j, fresh(model, 1)...)
	}
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	for n := 0; n < b.N; {
		tail, err := j.tail(b.Context(), journal.From{After: 1})
		if err != nil {
			b.Fatal(err)
		}
		for range min(events-ringEvents-1, b.N-n) {
			if _, err := tail.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
			n++
		}
		tail.Close()
	}
	measured(b, b.N, cpu)
}

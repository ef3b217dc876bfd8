package journal

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
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
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(events), "cpu-µs/event")
}

func BenchmarkAppend(b *testing.B) {
	for _, sync := range []string{SyncInterval, SyncAlways} {
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprintf("sync=%s/events=%d", sync, size), func(b *testing.B) {
				j := open(b, "", func(c *Config) { c.Sync = sync })
				events := samples(size)
				b.SetBytes(int64(size * len(events[0].AppendJSON(nil))))
				b.ReportAllocs()
				cpu := cpuTime()
				for b.Loop() {
					for i := range events {
						events[i].UUID = uuid.NewString()
					}
					mustAppend(b, j, events...)
				}
				measured(b, b.N*size, cpu)
			})
		}
	}
}

// BenchmarkAppendParallel is what many senders at once get, each waiting for its event.
func BenchmarkAppendParallel(b *testing.B) {
	for _, sync := range []string{SyncInterval, SyncAlways} {
		b.Run("sync="+sync, func(b *testing.B) {
			j := open(b, "", func(c *Config) { c.Sync = sync })
			b.ReportAllocs()
			b.SetParallelism(32)
			cpu := cpuTime()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mustAppend(b, j, sample(1, event.Warning))
				}
			})
			measured(b, b.N, cpu)
		})
	}
}

func BenchmarkFetchAndAck(b *testing.B) {
	for _, minimum := range []event.Priority{event.None, event.Warning} {
		for _, limit := range []int{1, 32, 500} {
			b.Run(fmt.Sprintf("minimum=%s/events=%d", minimum, limit), func(b *testing.B) {
				j := open(b, "")
				c := consumer(b, j, "out", minimum)
				for n := 0; n < b.N; n += 1000 {
					mustAppend(b, j, samples(min(1000, b.N-n))...)
				}
				b.ReportAllocs()
				cpu := cpuTime()
				b.ResetTimer()
				for n := 0; n < b.N; {
					ds := fetch(b, c, min(limit, b.N-n))
					n += len(ds)
					ack(b, ds)
				}
				closeConsumer(b, c)
				measured(b, b.N, cpu)
			})
		}
	}
}

package cluster

import (
	"context"
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

// measured reports how many events a second there were and what one cost this process; the
// servers' share is not in it.
func measured(b *testing.B, events int, cpu time.Duration) {
	b.StopTimer()
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(events), "cpu-µs/event")
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			j := openJournal(b, newPrefix(), three)
			events := samples(size)
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

// BenchmarkAppendParallel is what many senders at once get, each waiting for its event.
func BenchmarkAppendParallel(b *testing.B) {
	j := openJournal(b, newPrefix(), three)
	b.ReportAllocs()
	b.SetParallelism(32)
	cpu := cpuTime()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := j.Append(context.Background(), samples(1)); err != nil {
				b.Error(err)
			}
		}
	})
	measured(b, b.N, cpu)
}

func BenchmarkFetchAndAck(b *testing.B) {
	for _, limit := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", limit), func(b *testing.B) {
			j := openJournal(b, newPrefix(), three)
			c := consumer(b, j, "out", event.None)
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
			measured(b, b.N, cpu)
		})
	}
}

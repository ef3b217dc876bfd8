package probe

import (
	"context"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkOpenClose is the price that a program pays: one open and one close of a file,
// without a probe and under one with more and more to do.
func BenchmarkOpenClose(b *testing.B) {
	openat := Interest{Kinds: []Kind{KindOpenat}}
	writing := Interest{Kinds: []Kind{KindOpenat}, Opens: OpenWriting}
	bare := Interest{Kinds: []Kind{KindOpenat}, OmitOpenPaths: true}
	for _, c := range []struct {
		name     string
		interest *Interest
	}{
		{"no probe", nil},
		{"nothing of interest", &Interest{}},
		{"opens filtered out", &writing},
		{"opens without resolved path", &bare},
		{"opens", &openat},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if c.interest != nil {
				runProbe(b, *c.interest)
			}
			path := must(unix.BytePtrFromString("/usr/include/linux/types.h"))
			b.ResetTimer()
			for b.Loop() {
				fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(path)), 0, 0, 0, 0)
				if errno != 0 {
					b.Fatal(errno)
				}
				_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
			}
		})
	}
}

// BenchmarkOtherCall is what the probe costs a call that is of no interest.
func BenchmarkOtherCall(b *testing.B) {
	for _, c := range []struct {
		name  string
		probe bool
	}{{"no probe", false}, {"probe", true}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if c.probe {
				runProbe(b, Interest{Kinds: []Kind{KindOpenat, KindExecve}})
			}
			b.ResetTimer()
			for b.Loop() {
				_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
		})
	}
}

// runProbe runs a probe that watches this process too until the benchmark ends, and
// reports what it lost.
func runProbe(b *testing.B, i Interest) {
	b.Helper()
	requireProbe(b)
	p, err := Open(Options{Interest: i, WatchSelf: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx, func(*Record) {}) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		s, err := p.Stats()
		if err != nil {
			b.Error(err)
		}
		b.ReportMetric(float64(s.Lost), "lost")
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
}

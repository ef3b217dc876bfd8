package probe

import (
	"context"
	"math"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkOpenClose is the price that a program pays: one open and one close of a file,
// without a probe and under one with more and more to do.
func BenchmarkOpenClose(b *testing.B) {
	openat := Interest{Kinds: []Kind{KindOpenat}}
	of := func(c Clause) *Interest {
		c.Kinds = []Kind{KindOpenat}
		return &Interest{Kinds: c.Kinds, Clauses: []Clause{c}, OmitOpenPaths: true}
	}
	bare := Interest{Kinds: []Kind{KindOpenat}, OmitOpenPaths: true}
	for _, c := range []struct {
		name     string
		interest *Interest
	}{
		{"no probe", nil},
		{"nothing of interest", &Interest{}},
		{"opens filtered by result", of(Clause{Results: Failed})},
		{"opens filtered by access", of(Clause{Opens: OpenWriting})},
		{"opens filtered by path", of(Clause{Paths: benchPaths})},
		{"opens without resolved path", &bare},
		{"opens", &openat},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if c.interest != nil {
				runProbe(b, *c.interest)
			}
			path := must(unix.BytePtrFromString("/usr/include/linux/types.h"))
			measure(b, func() {
				fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(path)), 0, 0, 0, 0)
				_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
			})
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
			measure(b, func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) })
		})
	}
}

// measure calls f again and again. Beside the mean it reports the best of many short runs,
// which other work on the machine disturbs least.
func measure(b *testing.B, f func()) {
	b.Helper()
	const run = 200
	best := time.Duration(math.MaxInt64)
	b.ResetTimer()
	for b.Loop() {
		start := time.Now()
		for range run {
			f()
		}
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best)/run, "best-ns")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/run, "mean-ns")
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

// benchPaths are as many and as long as those of a large set of rules.
var benchPaths = &Paths{
	Equal:       []string{"/etc/shadow", "/etc/sudoers", "/etc/pam.conf", "/etc/security/pwquality.conf", "/proc/self/environ"},
	Prefixes:    []string{"/root/", "/home/", "/etc/pam.d/", "/var/lib/kubelet", "/usr/bin/", "/usr/sbin/", "/dev/shm/"},
	Suffixes:    []string{".bash_history", ".zsh_history", ".so.preload"},
	Parts:       []string{"/.ssh/", "/.aws/", "id_rsa", ".kube/config", "aws/credentials"},
	Directories: []string{"/etc", "/bin", "/sbin", "/usr/local/bin", "/boot"},
	Names:       []string{"authorized_keys", "release_agent", "core_pattern", ".bashrc", ".profile"},
}

package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

// Options are what Open may be told; the zero value is a probe that reports nothing yet.
type Options struct {
	// Interest is the first one; SetInterest changes it.
	Interest Interest
	// RingSize is the size of the ring buffer in bytes, a power of two from the page size
	// to 1 GiB. Default 8 MiB. What does not fit is lost and counted.
	RingSize int
	// Gather is how long records may gather in the ring before Run looks at them, which
	// saves a wake-up for each. Default 5 ms; negative for none.
	Gather time.Duration
	// Ignore are processes whose system calls are not reported, at most 7, by their
	// numbers in the host's pid namespace. Their exec, fork and exit are.
	Ignore []int
	// WatchSelf reports the system calls of this process too, which it otherwise ignores.
	WatchSelf bool

	// helpersOnly makes the programs use what older kernels have, for tests.
	helpersOnly bool
}

const (
	defaultRingSize = 8 << 20
	maxRingSize     = 1 << 30
	defaultGather   = 5 * time.Millisecond
)

var errClosed = errors.New("the probe is closed")

// Probe is a loaded and attached probe. Its methods may be called from several goroutines,
// but only one may be in Run.
type Probe struct {
	objects bpfObjects
	links   []link.Link
	closing sync.Once
	closed  error
	reader  *ringbuf.Reader
	ignored []int
	gather  time.Duration

	received, malformed atomic.Uint64

	setting sync.Mutex
	table   []bpfSyscall
}

// Open loads the programs and attaches them. It needs what Check says; an error of the
// kernel's verifier unwraps to *ebpf.VerifierError, which has its whole log.
func Open(o Options) (*Probe, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	p := &Probe{gather: cmp.Or(o.Gather, defaultGather), ignored: slices.Clone(o.Ignore)}
	o.RingSize = cmp.Or(o.RingSize, defaultRingSize)
	if page := os.Getpagesize(); o.RingSize < page || o.RingSize&(o.RingSize-1) != 0 || o.RingSize > maxRingSize {
		return nil, fmt.Errorf("ring buffer of %d bytes: the size must be a power of two from %d to %d", o.RingSize, page, maxRingSize)
	}
	if err := p.load(o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.attach(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if !o.WatchSelf {
		pid, err := p.ownPID()
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.ignored = append(p.ignored, pid)
	}
	if err := p.SetInterest(o.Interest); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Probe) load(o Options) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("read the probe's object file: %w", err)
	}
	if err := spec.Variables[bpfVarHelpersOnly].Set(o.helpersOnly); err != nil {
		return fmt.Errorf("set up the probe's object file: %w", err)
	}
	spec.Maps[bpfMapRing].MaxEntries = uint32(o.RingSize)
	spec.Maps[bpfMapCounts].MaxEntries = uint32(kindCount)
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		return fmt.Errorf("load the probe: %w", err)
	}
	p.reader, err = ringbuf.NewReader(p.objects.Ring)
	if err != nil {
		return fmt.Errorf("map the ring buffer: %w", err)
	}
	return nil
}

func (p *Probe) attach() error {
	for _, program := range p.programs() {
		l, err := link.AttachTracing(link.TracingOptions{Program: program})
		if err != nil {
			return fmt.Errorf("attach %s: %w", program, err)
		}
		p.links = append(p.links, l)
	}
	return nil
}

// programs are those that are attached, in the order in which they are.
func (p *Probe) programs() []*ebpf.Program {
	return []*ebpf.Program{p.objects.OnFork, p.objects.OnExec, p.objects.OnExit, p.objects.OnSysExit}
}

// Run calls handle with every record until ctx ends, then with those that are still in the
// ring, and returns nil. The record and what it points to are valid until handle returns.
// A probe that is closed meanwhile makes it return an error.
func (p *Probe) Run(ctx context.Context, handle func(*Record)) error {
	stop := context.AfterFunc(ctx, func() { _ = p.reader.Flush() })
	defer stop()
	var (
		d     = newDecoder()
		raw   ringbuf.Record
		timer = time.NewTimer(0)
		// A batch this large does not wait for more.
		limit = p.reader.BufferSize() / 8
		batch int
		// The ring may be filled as fast as it is read: this much is read at the end.
		last = p.reader.BufferSize()
	)
	defer timer.Stop()
	for {
		switch err := p.reader.ReadInto(&raw); {
		case errors.Is(err, ringbuf.ErrFlushed):
			return nil
		case errors.Is(err, ringbuf.ErrClosed):
			return errClosed
		case err != nil:
			return fmt.Errorf("read the ring buffer: %w", err)
		}
		p.received.Add(1)
		if r, err := d.decode(raw.RawSample); err != nil {
			p.malformed.Add(1)
		} else {
			handle(r)
		}
		batch += len(raw.RawSample)
		if ctx.Err() != nil {
			if last -= len(raw.RawSample); last < 0 {
				return nil
			}
		}
		if raw.Remaining > 0 {
			continue
		}
		d.adjustClock()
		if p.gather > 0 && batch < limit && ctx.Err() == nil {
			timer.Reset(p.gather)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		batch = 0
	}
}

// Close detaches the probe and frees what it holds. It may be called more than once, and
// while Run is running.
func (p *Probe) Close() error {
	p.closing.Do(func() {
		var errs []error
		for _, l := range p.links {
			errs = append(errs, l.Close())
		}
		if p.reader != nil {
			errs = append(errs, p.reader.Close())
		}
		p.closed = errors.Join(append(errs, p.objects.Close())...)
	})
	return p.closed
}

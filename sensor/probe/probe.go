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
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
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
	// saves a wake-up for each. Those that come alone are looked at without delay. Default
	// 5 ms; negative for none.
	Gather time.Duration
	// Ignore are processes whose system calls are not reported, at most 7, by their
	// numbers in the host's pid namespace. Their exec, fork and exit are.
	Ignore []int
	// WatchSelf reports the system calls of this process too, which it otherwise ignores.
	WatchSelf bool
	// Tap, if any, is called by Run with the bytes of each record before it is decoded. They
	// are valid until it returns; a Decoder reads them.
	Tap func(raw []byte)

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
	reader  *ring
	ignored []int
	gather  time.Duration
	tap     func(raw []byte)

	received, malformed atomic.Uint64

	ringSize    int
	rows        int // bytes that there are for the automaton's rows
	generation  atomic.Uint32
	pathsJudged atomic.Bool

	setting sync.Mutex
	slot    uint32
	watched [maxSyscalls]uint8
}

// Open loads the programs and attaches them. It needs what Check says; an error of the
// kernel's verifier unwraps to *ebpf.VerifierError, which has its whole log.
func Open(o Options) (*Probe, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	p := &Probe{gather: cmp.Or(o.Gather, defaultGather), ignored: slices.Clone(o.Ignore), tap: o.Tap}
	o.RingSize = cmp.Or(o.RingSize, defaultRingSize)
	if page := os.Getpagesize(); o.RingSize < page || o.RingSize&(o.RingSize-1) != 0 || o.RingSize > maxRingSize {
		return nil, fmt.Errorf("ring buffer of %d bytes: the size must be a power of two from %d to %d", o.RingSize, page, maxRingSize)
	}
	p.ringSize = o.RingSize
	p.rows = roomForRows(o.Interest.automaton().size())
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
	err = errors.Join(
		spec.Variables[bpfVarHelpersOnly].Set(o.helpersOnly),
		spec.Variables[bpfVarRowsSize].Set(uint32(p.rows)),
	)
	if err != nil {
		return fmt.Errorf("set up the probe's object file: %w", err)
	}
	spec.Maps[bpfMapAutomata].ValueSize = uint32(automatonHead + p.rows)
	if saysLastThread() {
		spec.Maps[bpfMapExited].MaxEntries = 1
	}
	spec.Maps[bpfMapRing].MaxEntries = uint32(o.RingSize)
	spec.Maps[bpfMapCounts].MaxEntries = uint32(kindCount)
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		return fmt.Errorf("load the probe: %w", err)
	}
	p.reader, err = openRing(p.objects.Ring, o.RingSize)
	if err != nil {
		return fmt.Errorf("map the ring buffer: %w", err)
	}
	return nil
}

// roomForRows is how many bytes of rows an automaton gets that needs size now, so that the
// next interest's may be larger.
func roomForRows(size int) int {
	const page = 4096
	return min(max(2*size, 16*page)+page-1, maxRows) / page * page
}

// saysLastThread says whether the kernel tells the end of a process from that of a thread,
// so that the programs need not remember.
func saysLastThread() bool {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return false
	}
	var event *btf.Struct
	if err := kernel.TypeByName("trace_event_raw_sched_process_exit", &event); err != nil {
		return false
	}
	return slices.ContainsFunc(event.Members, func(m btf.Member) bool { return m.Name == "group_dead" })
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
	if !p.reader.acquire() {
		return errClosed
	}
	defer p.reader.release()
	stop := context.AfterFunc(ctx, p.reader.interrupt)
	defer stop()
	var (
		d     = newDecoder()
		pace  pace
		timer = time.NewTimer(0)
		// A batch this large does not wait for more.
		limit = p.ringSize / 8
	)
	defer timer.Stop()
	for ctx.Err() == nil {
		switch err := p.reader.wait(); {
		case errors.Is(err, os.ErrClosed):
			return errClosed
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("read the ring buffer: %w", err)
		}
		read := p.drain(ctx, d, limit, handle)
		d.adjustClock()
		if p.gather > 0 && read < limit && !pace.prompt(time.Now()) {
			timer.Reset(p.gather)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	}
	// The ring may be filled as fast as it is read: this much is read at the end.
	p.drain(context.WithoutCancel(ctx), d, p.ringSize, handle)
	if p.reader.isClosed() {
		return errClosed
	}
	return nil
}

// drain hands over what is in the ring, until it has read limit bytes or ctx ends, and
// returns how many it has.
func (p *Probe) drain(ctx context.Context, d *decoder, limit int, handle func(*Record)) int {
	read := 0
	for read < limit && ctx.Err() == nil && !p.reader.isClosed() {
		raw := p.reader.peek()
		if raw == nil {
			break
		}
		p.received.Add(1)
		if p.tap != nil {
			p.tap(raw)
		}
		if r, err := d.decode(raw); err != nil {
			p.malformed.Add(1)
		} else {
			handle(r)
		}
		read += len(raw)
		p.reader.advance(raw)
	}
	return read
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

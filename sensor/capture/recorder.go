package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

// DefaultSize is how large a capture gets unless told otherwise, in bytes.
const DefaultSize = 64 << 20

// Options are what Record may be told.
type Options struct {
	// Interest is what is recorded. Environments are as long as it does not omit them.
	Interest probe.Interest
	// RingSize is the size of the ring buffer in bytes, 0 for the probe's default.
	RingSize int
	// Duration ends the recording, 0 for none. Size is the most bytes that the file gets,
	// at which the recording ends too; 0 for DefaultSize.
	Duration time.Duration
	Size     int64
	// Header begins the file; NewHeader makes one.
	Header Header
	// Containers, if any, is asked for the containers that processes are in. Somebody else
	// fills it.
	Containers *container.Resolver
	// Ready, if any, is called once the kernel is watched.
	Ready func()
}

// Recorded says what Record has done.
type Recorded struct {
	End
	// Bytes is the size of the file.
	Bytes int64
}

// Record records what the probe sees to a new file, until ctx, the duration or the room
// ends. The file must not exist; only its owner may read it.
func Record(ctx context.Context, name string, o Options) (Recorded, error) {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	o.Header.Env = !o.Interest.OmitEnv
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Recorded{}, fmt.Errorf("record: %w", err)
	}
	w, err := NewWriter(f, o.Header, o.Size)
	if err != nil {
		return Recorded{}, errors.Join(err, f.Close(), os.Remove(name))
	}
	r := &recorder{
		Options: o, w: w, known: make(map[int32]*process.Process),
		accounts: make(map[container.ID]int), infos: make(map[string]*container.Info),
		processes: process.NewTable(process.Options{Env: !o.Interest.OmitEnv}),
		users:     process.NewUsers(process.UsersOptions{}),
	}
	done, err := r.run(ctx)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil && !r.began {
		err = errors.Join(err, os.Remove(name))
	}
	return done, err
}

// recorder is one Record.
type recorder struct {
	Options
	w         *Writer
	processes *process.Table
	users     *process.Users
	// raw is the record that is about to be handled.
	raw []byte
	// known are the processes that the file tells of.
	known map[int32]*process.Process
	// accounts counts how often those of a container were looked for, infos are the
	// containers as they were last written.
	accounts map[container.ID]int
	infos    map[string]*container.Info
	boot     time.Time

	// began says that the kernel was watched, reason why that has ended.
	began  bool
	stop   context.CancelFunc
	reason string
}

// run records until something ends it.
func (r *recorder) run(ctx context.Context) (Recorded, error) {
	p, err := probe.Open(probe.Options{Interest: r.Interest, RingSize: r.RingSize, Tap: r.tap})
	if err != nil {
		return Recorded{}, fmt.Errorf("watch the kernel: %w", err)
	}
	defer p.Close()
	r.boot = r.Header.Boot
	ctx, r.stop = context.WithCancel(ctx)
	defer r.stop()
	if err := r.seed(); err != nil {
		if errors.Is(err, ErrFull) {
			err = fmt.Errorf("record: %d bytes are not enough for what is known of the running processes", r.Size)
		}
		return Recorded{}, err
	}
	r.began = true
	if r.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Duration)
		defer cancel()
	}
	var flusher sync.WaitGroup
	flusher.Go(func() { r.flush(ctx) })
	if r.Ready != nil {
		r.Ready()
	}
	err = p.Run(ctx, r.handle)
	timeout := errors.Is(ctx.Err(), context.DeadlineExceeded)
	r.stop()
	flusher.Wait()
	r.end(r.w.Flush())
	switch {
	case r.reason != "":
	case timeout:
		r.reason = "its time was over"
	default:
		r.reason = "it was stopped"
	}
	var lost uint64
	if seen, statsErr := p.Stats(); statsErr == nil {
		lost = seen.Lost + seen.Shed
	}
	err = errors.Join(err, r.w.Close(lost, r.reason))
	return Recorded{End{r.w.Records(), lost, r.reason}, r.w.Size()}, err
}

// seed writes what is there before the first record.
func (r *recorder) seed() error {
	if err := r.processes.Seed(); err != nil {
		return err
	}
	if err := r.w.Accounts(container.ID{}, r.users.Accounts(nil)); err != nil {
		return err
	}
	r.accounts[container.ID{}] = accountTries
	for p := range r.processes.All() {
		r.tell(p)
		if err := r.w.Process(p.Snapshot()); err != nil {
			return err
		}
		r.known[p.PID] = p
	}
	return nil
}

func (r *recorder) tap(raw []byte) { r.raw = append(r.raw[:0], raw...) }

// handle writes a record, and before it what it refers to.
func (r *recorder) handle(rec *probe.Record) {
	if r.reason != "" {
		return
	}
	p := r.processes.Apply(rec)
	r.tell(p)
	switch {
	case rec.Fork != nil:
		r.learn(p)
		if child := r.processes.Lookup(rec.Fork.ChildPID); child != nil {
			r.known[rec.Fork.ChildPID] = child
		}
	case rec.Exec != nil && rec.Ret >= 0:
		r.known[rec.PID] = p // the record tells all
	default:
		r.learn(p)
	}
	r.end(r.w.Record(r.raw))
	r.prune()
}

// learn writes a process that was read from /proc because no record told of it.
func (r *recorder) learn(p *process.Process) {
	if r.known[p.PID] == p || p.Partial() {
		return
	}
	r.known[p.PID] = p
	r.end(r.w.Process(p.Snapshot()))
}

// Limits of what a recording remembers.
const (
	maxContainers = 4096
	// accountTries is how often the accounts of a container are looked for: its first
	// processes may be gone too soon.
	accountTries = 5
	// spare is how many processes more than the table has may be remembered.
	spare = 4096
)

// tell writes what is known of the process's container.
func (r *recorder) tell(p *process.Process) {
	id := p.Container
	if id.Host() || len(r.infos) >= maxContainers || len(r.accounts) >= maxContainers {
		return
	}
	if r.accounts[id] < accountTries {
		r.accounts[id]++
		if a := r.users.Accounts(p); len(a.Users) > 0 {
			r.accounts[id] = accountTries
			r.end(r.w.Accounts(id, a))
		}
	}
	if r.Containers == nil {
		return
	}
	switch info := r.Containers.Info(id); {
	case info == nil:
		r.Containers.Want(id)
	case r.infos[id.Full] != info:
		r.infos[id.Full] = info
		r.end(r.w.Container(info))
	}
}

// prune forgets processes that the table has forgotten.
func (r *recorder) prune() {
	if len(r.known) <= int(r.processes.Stats().Processes)+spare {
		return
	}
	for pid, p := range r.known {
		if r.processes.Lookup(pid) != p {
			delete(r.known, pid)
		}
	}
}

// end ends the recording at a write that was not possible.
func (r *recorder) end(err error) {
	if err == nil || r.reason != "" {
		return
	}
	r.reason = err.Error()
	if errors.Is(err, ErrFull) {
		r.reason = "the file has reached its size"
	}
	r.stop()
}

// clockSlack is how far the clock may drift before the file says so.
const clockSlack = 20 * time.Millisecond

// flush writes a chunk each second, so that no more than that is missing from a file whose
// writer was killed, and notes when the clock is set.
func (r *recorder) flush(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if boot := probe.BootTime(); boot.Sub(r.boot).Abs() > clockSlack {
			r.boot = boot
			_ = r.w.Boot(boot) // an error comes again with the next record
		}
		if err := r.w.Flush(); err != nil {
			r.stop()
			return
		}
	}
}

package probe

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Interest is what the rules can match and the process table needs: the kernel drops the
// rest before it is copied.
type Interest struct {
	// Kinds are reported. Execve and Execveat stand for each other's successful calls,
	// which the kernel does not tell apart.
	Kinds []Kind
	// Clauses say which calls of Kinds matter, at most MaxClauses. Their places are what
	// Probe.Judge speaks of. They do not concern successful execs, Fork and Procexit,
	// which are always reported.
	Clauses []Clause
	// Threads reports a Fork for every new thread, not only for processes.
	Threads bool
	// OmitEnv leaves Exec.Env empty, OmitData Record.Data of what is sent and received,
	// OmitOpenPaths File.Path of opens, which is the path with symlinks resolved.
	OmitEnv, OmitData, OmitOpenPaths bool
}

// OpenClass is a set of kinds of access that an open asks for; zero is all of them.
type OpenClass uint8

// The classes, which overlap: O_RDWR is both of the first two.
const (
	// OpenReading is O_RDONLY or O_RDWR.
	OpenReading OpenClass = OpenClass(bpfOpenClassOPEN_READING)
	// OpenWriting is O_WRONLY, O_RDWR or O_TRUNC.
	OpenWriting OpenClass = OpenClass(bpfOpenClassOPEN_WRITING)
	// OpenCreating is O_CREAT or O_TMPFILE.
	OpenCreating OpenClass = OpenClass(bpfOpenClassOPEN_CREATING)
)

// dataMax is how much of what is sent and received a record holds, in bytes.
const dataMax = 80

const (
	maxIgnored     = len(bpfConfig{}.Ignored)
	maxSyscalls    = 512
	compatBase     = maxSyscalls
	socketCallBase = 2 * maxSyscalls
	maxSocketCalls = 32
	tableSize      = socketCallBase + maxSocketCalls
)

// config is what the programs are told besides the table of calls.
func (i Interest) config(ignored []int) (bpfConfig, error) {
	c := bpfConfig{DataMax: dataMax, Env: 1}
	if len(ignored) > maxIgnored {
		return c, fmt.Errorf("at most %d processes can be ignored, not %d", maxIgnored, len(ignored))
	}
	for n, pid := range ignored {
		c.Ignored[n] = uint32(pid)
	}
	if i.Threads {
		c.Threads = 1
	}
	if i.OmitEnv {
		c.Env = 0
	}
	if i.OmitData {
		c.DataMax = 0
	}
	for _, k := range i.Kinds {
		switch k {
		case KindExecve, KindExecveat:
			c.ExecKind = uint16(KindExecve)
		case KindFork:
			c.ForkKind = uint16(k)
		case KindProcexit:
			c.ExitKind = uint16(k)
		}
	}
	return c, nil
}

// table is the programs' table of system calls.
func (i Interest) table() ([tableSize]bpfSyscall, error) {
	var table [tableSize]bpfSyscall
	for _, k := range i.Kinds {
		if k == KindFork || k == KindProcexit {
			continue
		}
		if k >= kindCount || calls[k].kind == KindUnknown {
			return table, fmt.Errorf("kind of record %d is not known", k)
		}
		c := calls[k]
		if c.Clauses = i.clausesOf(k); c.Clauses != 0 {
			c = c.with(bpfSyscallFlagFILTERED)
		}
		if i.OmitOpenPaths && c.Group == uint8(bpfGroupGROUP_OPEN) {
			c.Flags &^= uint16(bpfSyscallFlagFILE_PATH)
		}
		for _, of := range i.standsFor(k) {
			c.place(&table, of)
		}
	}
	return table, nil
}

// standsFor returns the kinds whose calls are reported as k. An fchmodat2 is an fchmodat to
// rules that know only the older one.
func (i Interest) standsFor(k Kind) []Kind {
	if k == KindFchmodat && !slices.Contains(i.Kinds, KindFchmodat2) {
		return []Kind{k, KindFchmodat2}
	}
	return []Kind{k}
}

// place writes c to where the calls of kind k are.
func (c call) place(table *[tableSize]bpfSyscall, k Kind) {
	for _, nr := range numbers[k] {
		table[nr] = c.bpfSyscall
	}
	for _, nr := range compatNumbers[k] {
		table[compatBase+nr] = c.bpfSyscall
	}
	if nr, ok := socketCalls[k]; ok {
		table[socketCallBase+nr] = c.bpfSyscall
		table[compatBase+compatSocketcall] = in(bpfGroupGROUP_SOCKETCALL, KindUnknown).bpfSyscall
	}
}

// watched says which numbers of calls are of interest in which kind of program.
func watched(table *[tableSize]bpfSyscall) [maxSyscalls]uint8 {
	var w [maxSyscalls]uint8
	for nr := range w {
		if table[nr].Group != uint8(bpfGroupGROUP_NONE) {
			w[nr] |= 1
		}
		if table[compatBase+nr].Group != uint8(bpfGroupGROUP_NONE) {
			w[nr] |= 2
		}
	}
	return w
}

// SetInterest changes what is reported. Calls that are under way meanwhile are reported by
// the old interest or the new one, never by a mixture. All verdicts of Judge are forgotten.
// It may be called while Run is running.
func (p *Probe) SetInterest(i Interest) error {
	c, err := i.config(p.ignored)
	if err != nil {
		return err
	}
	in := bpfInterest{}
	if in.Clauses, err = i.clauses(); err != nil {
		return err
	}
	if in.Calls, err = i.table(); err != nil {
		return err
	}
	paths := i.automaton()
	p.setting.Lock()
	defer p.setting.Unlock()
	// A program that is still running may use the slot that is to be written.
	p.waitForPrograms()
	for worth := range c.Full {
		c.Full[worth] = p.full(bpfWorth(worth))
	}
	c.Generation = p.generation.Load() + 1
	in.Config = c
	slot := 1 - p.slot
	if err := p.objects.Interests.Update(slot, &in, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write the probe's interest: %w", err)
	}
	if err := p.objects.Automata.Update(slot, paths.encode(p.rows), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write the probe's paths: %w", err)
	}
	now := watched(&in.Calls)
	either := now
	for nr := range either {
		either[nr] |= p.watched[nr]
	}
	for _, set := range []struct {
		variable *ebpf.Variable
		value    any
	}{
		{p.objects.Watched, either},
		{p.objects.ActiveSlot, slot},
		{p.objects.Watched, now},
	} {
		if err := set.variable.Set(set.value); err != nil {
			return fmt.Errorf("switch the probe's interest: %w", err)
		}
	}
	p.slot, p.watched = slot, now
	p.generation.Store(c.Generation)
	p.pathsJudged.Store(paths.usable(p.rows))
	return nil
}

// waitForPrograms returns when no program runs that began before.
func (p *Probe) waitForPrograms() {
	if p.generation.Load() == 0 {
		return
	}
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		// Without the call, as where some CPUs have no timer tick: a program runs for
		// microseconds.
		time.Sleep(programTime)
	}
}

const (
	// membarrierGlobal is MEMBARRIER_CMD_GLOBAL, which waits for a grace period of RCU.
	membarrierGlobal = 1
	programTime      = 100 * time.Millisecond
)

// full is how many bytes are in the ring when records of a worth are no longer put into it.
func (p *Probe) full(w bpfWorth) uint64 {
	size := uint64(p.ringSize)
	switch w {
	case bpfWorthFIRST:
		return size / 2
	case bpfWorthLONGER:
		return size / 4 * 3
	case bpfWorthLONGEST:
		return size / 8 * 7
	}
	return math.MaxUint64
}

// Judge says that the clauses of the bits in cannot, as far as they are Judged, cannot hold
// for a process: pid, start and execID are Record.PID, Start and ExecID of one of its
// records. It counts until the process executes another program or ends, or the interest
// changes; the kernel may forget it earlier, for it keeps the 4096 that were asked for last.
// Bits of an earlier interest must not be given once SetInterest has returned.
func (p *Probe) Judge(pid int32, start, execID, cannot uint64) error {
	v := bpfVerdict{Start: start, ExecId: execID, Cannot: cannot, Generation: p.generation.Load()}
	if err := p.objects.Verdicts.Update(uint32(pid), &v, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write the verdict on process %d: %w", pid, err)
	}
	return nil
}

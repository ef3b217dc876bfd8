package probe

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
)

// Interest is what the rules can match and the process table needs: the kernel drops the
// rest before it is copied. The zero value of every filter keeps everything.
//
// A filter may be set only if no rule can match what it drops: Opens, when every condition
// on an open implies one of its classes; Families, when every condition on the filtered
// calls implies a family; Successful, when every condition on the kind implies success.
type Interest struct {
	// Kinds are reported. Execve and Execveat stand for each other's successful calls,
	// which the kernel does not tell apart.
	Kinds []Kind
	// Successful are those of Kinds whose failed calls are dropped; a connect that is in
	// progress (EINPROGRESS) counts as failed. It does not concern Fork and Procexit.
	Successful []Kind
	// Opens are the kinds of access of Open, Openat, Openat2 and Creat that are reported.
	Opens OpenClass
	// Families are the address families below 64 whose sockets are reported by Connect,
	// Accept, Bind, Listen, Socket, Sendto, Recvfrom and the like. A failed call without
	// a socket is always reported.
	Families []uint16
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
	c := bpfConfig{Opens: uint8(i.Opens), DataMax: dataMax, Env: 1, Families: ^uint64(0)}
	if len(ignored) > maxIgnored {
		return c, fmt.Errorf("at most %d processes can be ignored, not %d", maxIgnored, len(ignored))
	}
	for n, pid := range ignored {
		c.Ignored[n] = uint32(pid)
	}
	if i.Opens == 0 {
		c.Opens = uint8(OpenReading | OpenWriting | OpenCreating)
	}
	if i.Families != nil {
		c.Families = 0
	}
	for _, f := range i.Families {
		if f >= 64 {
			return c, fmt.Errorf("address family %d cannot be selected, only those below 64", f)
		}
		c.Families |= 1 << f
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
func (i Interest) table() ([]bpfSyscall, error) {
	table := make([]bpfSyscall, tableSize)
	for _, k := range i.Kinds {
		if k == KindFork || k == KindProcexit {
			continue
		}
		at := slices.IndexFunc(calls, func(c call) bool { return c.kind == k })
		if at < 0 {
			return nil, fmt.Errorf("kind of record %d is not known", k)
		}
		c := calls[at]
		if slices.Contains(i.Successful, k) {
			c = c.with(bpfSyscallFlagDROP_FAILED)
		}
		if i.OmitOpenPaths && c.Group == uint8(bpfGroupGROUP_OPEN) {
			c.Flags &^= uint16(bpfSyscallFlagFILE_PATH)
		}
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
	return table, nil
}

// SetInterest changes what is reported. Calls that are under way meanwhile are reported by
// the old interest or the new one. It may be called while Run is running.
func (p *Probe) SetInterest(i Interest) error {
	c, err := i.config(p.ignored)
	if err != nil {
		return err
	}
	table, err := i.table()
	if err != nil {
		return err
	}
	p.setting.Lock()
	defer p.setting.Unlock()
	if err := p.objects.Configs.Update(uint32(0), &c, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write probe's configuration: %w", err)
	}
	for nr := range table {
		if p.table != nil && p.table[nr] == table[nr] {
			continue
		}
		if err := p.objects.Syscalls.Update(uint32(nr), &table[nr], ebpf.UpdateAny); err != nil {
			p.table = nil
			return fmt.Errorf("write probe's table of system calls: %w", err)
		}
	}
	p.table = table
	return nil
}

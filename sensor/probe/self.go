package probe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// hostPidns is what /proc/self/ns/pid refers to in the host's pid namespace.
	hostPidns = "pid:[4026531836]"
	// selfOption is a prctl that does not exist.
	selfOption = 0x53414b52
	// selfTimeout is how long the probe may take to see its own process.
	selfTimeout = 10 * time.Second
)

// ownPID is this process's number in the host's pid namespace, by which the programs know
// it. In another namespace os.Getpid would be some other process's.
func (p *Probe) ownPID() (int, error) {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && ns == hostPidns {
		return os.Getpid(), nil
	}
	return p.askOwnPID()
}

// askOwnPID makes a call that the probe recognises and takes the number from its record.
// It must be called before Run.
func (p *Probe) askOwnPID() (int, error) {
	if err := p.SetInterest(Interest{Kinds: []Kind{KindPrctl}}); err != nil {
		return 0, err
	}
	token := rand.Uint32()
	_ = unix.Prctl(selfOption, uintptr(token), 0, 0, 0)
	if err := p.reader.file.SetReadDeadline(time.Now().Add(selfTimeout)); err != nil {
		return 0, fmt.Errorf("look for own process in the ring buffer: %w", err)
	}
	defer func() { _ = p.reader.file.SetReadDeadline(time.Time{}) }()
	d := newDecoder()
	for {
		if err := p.reader.wait(); err != nil {
			return 0, fmt.Errorf("look for own process in the ring buffer: %w", err)
		}
		raw := p.reader.peek()
		r, err := d.decode(raw)
		p.reader.advance(raw)
		if err == nil && r.Args[0] == selfOption && r.Args[1] == uint64(token) {
			return int(r.PID), nil
		}
	}
}

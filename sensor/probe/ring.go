package probe

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// ringHead is the size of what stands before each record in the ring.
	ringHead = 8
	// ringBusy and ringDiscarded are bits of a record's length.
	ringBusy      = 1 << 31
	ringDiscarded = 1 << 30
)

// ring reads a BPF ring buffer in place. The kernel offers to map the data twice in a row so
// that no record is cut where the buffer ends; it is mapped once, for each mapping counts as
// memory of this process, and such a record is copied.
//
// The kernel wakes the reader up only for a record that lies where the reader stands, so one
// that is busy, or asleep on its own, costs the programs nothing.
type ring struct {
	file *os.File
	conn syscall.RawConn
	size uint64
	// control has the reader's position in its first bytes, status the writers' in its own.
	control, status, data []byte
	next                  uint64
	cut                   []byte

	mu            sync.Mutex
	inUse, closed bool
}

// openRing maps a ring buffer of size bytes.
func openRing(m *ebpf.Map, size int) (*ring, error) {
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate its descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set its descriptor to wait: %w", err)
	}
	r := &ring{file: os.NewFile(uintptr(fd), "bpf ring"), size: uint64(size)}
	if err := r.open(fd); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *ring) open(fd int) error {
	// It fails where the runtime cannot wait for the file.
	if err := r.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("wait for it: %w", err)
	}
	var err error
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return fmt.Errorf("wait for it: %w", err)
	}
	page := os.Getpagesize()
	for _, part := range []struct {
		memory   *[]byte
		at, size int
		access   int
	}{
		{&r.control, 0, page, unix.PROT_READ | unix.PROT_WRITE},
		{&r.status, page, page, unix.PROT_READ},
		{&r.data, 2 * page, int(r.size), unix.PROT_READ},
	} {
		if *part.memory, err = unix.Mmap(fd, int64(part.at), part.size, part.access, unix.MAP_SHARED); err != nil {
			return fmt.Errorf("map its memory: %w", err)
		}
	}
	r.next = atomic.LoadUint64(position(r.control))
	return nil
}

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(&page[0])) }

// acquire keeps the memory mapped until release; false if the ring is closed.
func (r *ring) acquire() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.inUse = true
	return true
}

func (r *ring) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inUse = false
	if r.closed {
		_ = r.unmap()
	}
}

func (r *ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// peek returns the next record, nil if there is none. Its bytes are valid until advance.
func (r *ring) peek() []byte {
	for {
		if atomic.LoadUint64(position(r.status)) == r.next {
			return nil
		}
		at := r.next & (r.size - 1)
		length := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if length&ringBusy != 0 {
			return nil
		}
		n := uint64(length &^ (ringBusy | ringDiscarded))
		if length&ringDiscarded == 0 {
			return r.bytes(at+ringHead, n)
		}
		r.skip(n)
	}
}

func (r *ring) bytes(at, n uint64) []byte {
	if at &= r.size - 1; at+n <= r.size {
		return r.data[at : at+n]
	}
	r.cut = append(append(r.cut[:0], r.data[at:]...), r.data[:at+n-r.size]...)
	return r.cut
}

// advance frees the room of a record that peek returned.
func (r *ring) advance(raw []byte) { r.skip(uint64(len(raw))) }

func (r *ring) skip(n uint64) {
	r.next += (ringHead + n + 7) &^ 7
	atomic.StoreUint64(position(r.control), r.next)
}

// wait returns nil when there is a record, os.ErrDeadlineExceeded after interrupt or at the
// deadline, os.ErrClosed after Close.
func (r *ring) wait() error {
	err := r.conn.Read(func(uintptr) bool { return r.peek() != nil })
	if err != nil && r.isClosed() {
		return os.ErrClosed
	}
	return err
}

// interrupt ends the present wait and all that follow.
func (r *ring) interrupt() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) }

// Close ends a wait. The memory stays as long as it is in use.
func (r *ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.file.Close()
	if r.inUse {
		return err
	}
	return errors.Join(err, r.unmap())
}

func (r *ring) unmap() error {
	var errs []error
	for _, memory := range []*[]byte{&r.control, &r.status, &r.data} {
		if *memory != nil {
			errs = append(errs, unix.Munmap(*memory))
			*memory = nil
		}
	}
	return errors.Join(errs...)
}

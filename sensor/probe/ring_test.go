package probe

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// pretend makes a ring of ordinary memory, and what a kernel does to it.
type pretend struct {
	*ring
	written uint64
}

func newPretend(size int) *pretend {
	page := os.Getpagesize()
	r := &ring{size: uint64(size), control: make([]byte, page), status: make([]byte, page), data: make([]byte, size)}
	return &pretend{ring: r}
}

func (p *pretend) write(text string, flags uint32) {
	at := p.written & (p.size - 1)
	*(*uint32)(unsafe.Pointer(&p.data[at])) = uint32(len(text)) | flags
	for i := range text {
		p.data[(at+ringHead+uint64(i))&(p.size-1)] = text[i]
	}
	p.written += (ringHead + uint64(len(text)) + 7) &^ 7
	atomic.StoreUint64(position(p.status), p.written)
}

func TestRecordsAreReadInOrderAcrossTheEnd(t *testing.T) {
	p := newPretend(64)
	check(t, "an empty ring has none", p.peek() == nil, true)
	for _, text := range []string{"first", "a second one", "x", "around the end of it", "the last record here", "", "12345678"} {
		p.write(text, 0)
		check(t, "record", string(p.peek()), text)
		check(t, "the same again", string(p.peek()), text)
		p.advance(p.peek())
		check(t, "the reader's position", atomic.LoadUint64(position(p.control)), p.written)
		check(t, "nothing is left", p.peek() == nil, true)
	}
}

func TestADiscardedRecordIsSkipped(t *testing.T) {
	p := newPretend(64)
	p.write("gone", ringDiscarded)
	p.write("here", 0)
	check(t, "record", string(p.peek()), "here")
}

func TestABusyRecordIsWaitedFor(t *testing.T) {
	p := newPretend(64)
	p.write("busy", ringBusy)
	check(t, "nothing to read", p.peek() == nil, true)
}

func TestWaitingForTheRingEnds(t *testing.T) {
	requireProbe(t)
	p, err := Open(Options{RingSize: os.Getpagesize()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := p.reader
	for _, c := range []struct {
		name string
		end  func()
		want error
	}{
		{"at the deadline", func() { _ = r.file.SetReadDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"when interrupted", r.interrupt, os.ErrDeadlineExceeded},
		{"when closed", func() { _ = r.Close() }, os.ErrClosed},
	} {
		_ = r.file.SetReadDeadline(time.Time{})
		if !r.acquire() {
			t.Fatalf("%s: the ring is closed", c.name)
		}
		done := make(chan error)
		go func() {
			defer r.release() // as whoever reads the ring does: it keeps the memory mapped
			done <- r.wait()
		}()
		c.end()
		if err := <-done; !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	check(t, "a closed ring can be used", r.acquire(), false)
}

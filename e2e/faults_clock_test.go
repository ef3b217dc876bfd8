package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The clock is set forward and back, by minutes and by days, in the middle of a stream of
// events and across restarts. Nothing is lost and nothing waits for the clock to come back.
func TestNothingIsLostWhenTheClockJumps(t *testing.T) {
	fast, down := newEndpoint(t, "fast", nil), newEndpoint(t, "down", nil)
	s := newSite(t, `
journal: {maxage: 720h}
outputs:
  fast: {type: webhook, address: %q, maxconcurrentrequests: 1}
  down: {type: webhook, address: %q, retry: {initial: 100ms, max: 1s, max_age: 720h}}
`, fast.url, down.url)
	s.run()
	source := newSender(s)
	clock := newClock(s)
	for _, jump := range []time.Duration{
		time.Hour, -time.Hour, 3 * 24 * time.Hour, -3 * 24 * time.Hour, 2 * time.Second, -20 * 24 * time.Hour,
	} {
		down.answers(status(http.StatusServiceUnavailable))
		source.mustSend(50)
		clock.set(jump)
		source.mustSend(50)
		// The fast one must have got it while the clock is wrong, and the other once it is
		// back, whatever the time is then.
		source.waitArrived(fast)
		down.answers(nil)
		source.waitArrived(down)

		// What waits at a restart, whose clock differs, waits no longer than that.
		down.answers(status(http.StatusServiceUnavailable))
		source.mustSend(50)
		s.kill()
		s.run()
		clock = newClock(s)
		down.answers(nil)
		source.waitArrived(fast, down)
	}
	letters, lost := s.count("saker_journal_dead_letters{"), s.mustMetric("saker_output_lost_events_total{")
	s.stop()
	t.Logf("%d events, none lost, %d and %d came again", source.sum(), fast.duplicates(), down.duplicates())
	if letters != 0 || lost != 0 {
		t.Errorf("there are %v dead letters and %v lost events", letters, lost)
	}
	if n := fast.disorder(); n != 0 {
		t.Errorf("event %d came after one that was sent later", n)
	}
	if fast.duplicates() > 64*6 || down.duplicates() > 64*6 {
		t.Errorf("%d and %d events came again", fast.duplicates(), down.duplicates())
	}
}

// clock is the clock of a running process, and of no other. The kernel's own code for
// reading it, which is mapped into each process, is replaced in that process by code that
// adds what the test wants.
type clock struct {
	*site
	memory *os.File
	offset int64 // where the seconds to add are
}

// newClock takes hold of the clock of the site's forwarder.
func newClock(s *site) *clock {
	s.Helper()
	if runtime.GOARCH != "amd64" {
		missing(s.T, "changing the clock of a process is written for amd64")
	}
	pid := s.cmd.Process.Pid
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		missing(s.T, fmt.Sprintf("changing the clock of a process needs its memory: %v", err))
	}
	s.Cleanup(func() { memory.Close() })
	start, end := vdso(s, pid)
	image := make([]byte, end-start)
	if _, err := memory.ReadAt(image, start); err != nil {
		s.Fatal(err)
	}
	object, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		s.Fatal(err)
	}
	symbols, err := object.DynamicSymbols()
	if err != nil {
		s.Fatal(err)
	}
	read := int64(-1)
	for _, symbol := range symbols {
		if symbol.Name == "__vdso_clock_gettime" {
			read = int64(symbol.Value)
		}
	}
	room := int64(len(image)) - 64 // behind the code
	if read < 0 || len(bytes.Trim(image[room:], "\x00")) > 0 {
		missing(s.T, "the kernel's code for reading the clock is not as expected")
	}
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov  eax, clock_gettime
		0x0f, 0x05, //          syscall
		0x85, 0xff, //          test edi, edi: CLOCK_REALTIME?
		0x75, 0x0a, //          jne  done
		0x48, 0x8b, 0x0d, 4, 0, 0, 0, // mov rcx, [seconds]
		0x48, 0x01, 0x0e, //    add  [rsi], rcx
		0xc3,                   //                done: ret
		0, 0, 0, 0, 0, 0, 0, 0, // seconds
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(room-read-5))
	// No thread may be in the code while it changes.
	s.signal(syscall.SIGSTOP)
	s.eventually("the forwarder is stopped", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !bytes.Contains(stat, []byte(") T ")) {
			err = errNotYet
		}
		return err
	})
	for at, what := range map[int64][]byte{start + room: code, start + read: jump} {
		if _, err := memory.WriteAt(what, at); err != nil {
			s.Fatal(err)
		}
	}
	s.signal(syscall.SIGCONT)
	return &clock{site: s, memory: memory, offset: start + room + int64(len(code)) - 8}
}

// set makes the clock differ from the real one.
func (c *clock) set(difference time.Duration) {
	c.Helper()
	seconds := binary.LittleEndian.AppendUint64(nil, uint64(difference/time.Second))
	if _, err := c.memory.WriteAt(seconds, c.offset); err != nil {
		c.Fatal(err)
	}
	// Its answers show whether the forwarder sees it.
	c.eventually("the forwarder has the other time", func() error {
		resp, err := client.Get(c.ingest("ping"))
		if err != nil {
			return err
		}
		resp.Body.Close()
		date, err := time.Parse(time.RFC1123, resp.Header.Get("Date"))
		if off := time.Until(date) - difference; err == nil && off.Abs() > patience {
			err = fmt.Errorf("it differs by %v", off)
		}
		return err
	})
}

// vdso returns where the kernel's code is in a process.
func vdso(s *site, pid int) (start, end int64) {
	s.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err == nil {
				return start, end
			}
		}
	}
	missing(s.T, "the process has no code of the kernel's for reading the clock")
	return 0, 0
}

package probe

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clockPeriod is how often the two clocks are compared.
	clockPeriod = 10 * time.Second
	// clockSlack is how far they may drift apart before the offset follows, in
	// nanoseconds. Less than that, and the same start of a process would be another
	// number each time it is seen.
	clockSlack = int64(20 * time.Millisecond)
)

// clock turns times since boot, suspended time included, into times since the epoch.
type clock struct {
	offset int64
	next   time.Time
}

func (c *clock) epoch(sinceBoot uint64) uint64 {
	return sinceBoot + uint64(c.offset)
}

func (c *clock) adjustSometimes(now time.Time) {
	if now.Before(c.next) {
		return
	}
	c.adjust()
	c.next = now.Add(clockPeriod)
}

// adjust takes over the present offset if it has changed: the wall clock was set.
func (c *clock) adjust() {
	offset := bootOffset()
	if diff := offset - c.offset; diff > clockSlack || diff < -clockSlack {
		c.offset = offset
	}
}

// bootOffset is when the machine was booted, in nanoseconds since the epoch. The reading
// between the two closest readings of the boot clock is the best of a few.
func bootOffset() int64 {
	var best, offset int64
	for i := range 5 {
		before, wall, after := readClock(unix.CLOCK_BOOTTIME), readClock(unix.CLOCK_REALTIME), readClock(unix.CLOCK_BOOTTIME)
		if gap := after - before; i == 0 || gap < best {
			best, offset = gap, wall-before-gap/2
		}
	}
	return offset
}

func readClock(id int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0
	}
	return t.Nano()
}

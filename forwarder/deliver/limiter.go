package deliver

import "time"

const (
	// firstLimit is how many attempts may run at once before anything is known.
	firstLimit = 4
	// slowdown is what the limit is multiplied by when the destination fails, and congestion
	// when it only gets slower.
	slowdown   = 0.7
	congestion = 0.9
	// window is the least time over which latency and throughput are measured, and
	// windowCount the fewest attempts.
	window      = 200 * time.Millisecond
	windowCount = 16
	// noise is the latency below which nothing is concluded from it: that short a time says
	// more about this machine than about the destination.
	noise = 5 * time.Millisecond
	// recall is how long the least latency is remembered, at least; at most twice as long.
	recall = 30 * time.Second
)

// limiter adapts how many attempts run at once to what the destination takes: it adds one
// for each limit's worth of successes while the limit is what holds delivery back, and
// multiplies by less than one when attempts fail, or when they take much longer than they
// did without more of them being done. It stays between 1 and most.
type limiter struct {
	limit, most float64
	cutAt       time.Time // failures of attempts begun before that are the same trouble

	began time.Time // of the present window
	count int
	sum   time.Duration
	tight bool    // the limit held delivery back in this window
	rate  float64 // attempts a second of the window before
	slow  bool    // the window before has shown that there is no use in more at once
	mark  mark    // what was when the limit was last compared with its effect

	fastest [2]time.Duration // least mean of a window, in this period and the one before
	turned  time.Time        // when this period began
}

// mark remembers the limit and the attempts a second that went with it.
type mark struct{ limit, rate float64 }

func newLimiter(most int) limiter {
	return limiter{limit: float64(min(firstLimit, most)), most: float64(most)}
}

// succeeded notes an attempt that the destination has answered. Pressed says that more
// would have been under way if the limit had let them.
func (l *limiter) succeeded(now time.Time, took time.Duration, pressed bool) {
	l.tight = l.tight || pressed
	l.measure(now, took)
	if pressed && !l.slow {
		l.limit = min(l.limit+1/l.limit, l.most)
	}
}

// failed notes an attempt that failed.
func (l *limiter) failed(now, began time.Time) {
	if began.Before(l.cutAt) {
		return
	}
	l.cutAt = now
	l.limit = max(l.limit*slowdown, 1)
}

// measure counts an attempt in the present window, and concludes from it when it is over.
func (l *limiter) measure(now time.Time, took time.Duration) {
	if l.count == 0 {
		l.began = now.Add(-took)
	}
	l.count++
	l.sum += took
	elapsed := now.Sub(l.began)
	if elapsed < window || l.count < windowCount {
		return
	}
	l.conclude(now, l.sum/time.Duration(l.count), float64(l.count)/elapsed.Seconds())
	l.count, l.sum, l.tight = 0, 0, false
}

// conclude compares a window's mean latency with the least that was seen lately.
func (l *limiter) conclude(now time.Time, latency time.Duration, rate float64) {
	grew := rate > 1.1*l.rate
	l.rate = rate
	fastest := l.least(now, latency)
	l.slow = latency > 2*fastest && latency > noise
	switch {
	case !l.slow:
		l.mark = mark{}
	case grew || !l.tight:
	case l.mark.limit > 0 && l.limit <= slowdown*l.mark.limit && rate < 0.85*l.mark.rate:
		// Fewer at once only did less: it is slower for a reason that isn't ours.
		l.limit, l.mark, l.slow = l.mark.limit, mark{}, false
		l.fastest, l.turned = [2]time.Duration{latency, latency}, now
	default:
		if l.mark.limit == 0 || l.limit <= slowdown*l.mark.limit {
			l.mark = mark{l.limit, rate}
		}
		// As many as keep up this rate at the least latency are no burden: going below half
		// more than that would only follow a machine that is busy with something else.
		enough := 1.5 * rate * fastest.Seconds()
		l.limit = max(min(l.limit, enough), l.limit*congestion, 1)
	}
}

// least takes up a window's mean latency and returns the least that is remembered.
func (l *limiter) least(now time.Time, latency time.Duration) time.Duration {
	if l.fastest[0] == 0 || now.Sub(l.turned) >= recall {
		l.fastest, l.turned = [2]time.Duration{latency, l.fastest[0]}, now
	}
	l.fastest[0] = min(l.fastest[0], latency)
	if before := l.fastest[1]; before > 0 {
		return min(l.fastest[0], before)
	}
	return l.fastest[0]
}

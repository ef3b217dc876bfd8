package ingest

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxSenders is the number of senders whose rates are known; the one that has been
	// quiet for the longest is forgotten for a new one.
	maxSenders = 10_000
	// burstTime is what a sender may send at once, counted in time at its rate.
	burstTime = 10 * time.Second
	// tellEvery is how often the log says that senders are limited.
	tellEvery = time.Minute
	// maxRetryAfter bounds the pause that a sender is asked for.
	maxRetryAfter = 10 * time.Minute
)

// rates knows how much each sender has sent lately. A nil rates limits nobody.
type rates struct {
	events, bytes allowance
	senders       *lru.Cache[string, *rate]

	// refused counts requests since the log last told of them, at told.
	mu      sync.Mutex
	refused int
	told    time.Time
}

// allowance is what a sender may send: perSecond in the long run, burst after a pause. The
// zero allowance is no limit.
type allowance struct{ perSecond, burst float64 }

func newRates(c PerSender) *rates {
	if c.Events == 0 && c.Bytes == 0 {
		return nil
	}
	// The only error is a size that is not positive.
	senders, _ := lru.New[string, *rate](maxSenders)
	r := &rates{senders: senders}
	r.events = allowance{c.Events, max(c.Events*burstTime.Seconds(), 1)}
	if c.Burst > 0 {
		r.events.burst = float64(c.Burst)
	}
	r.bytes = allowance{float64(c.Bytes), float64(c.Bytes) * burstTime.Seconds()}
	return r
}

// of returns the rate of a request's sender, nil if it has no limit.
func (r *rates) of(from sender, req *http.Request) *rate {
	if r == nil || from.own {
		return nil
	}
	key := from.rateKey(req)
	if known, ok := r.senders.Get(key); ok {
		return known
	}
	fresh := &rate{limits: r, sender: key, events: r.events.burst, bytes: r.bytes.burst}
	if known, ok, _ := r.senders.PeekOrAdd(key, fresh); ok {
		return known
	}
	return fresh
}

// rate is what one sender may still send. It may go into debt by one request, which is
// taken whole or not at all, and nothing more is taken before the debt is paid: so a
// request larger than the burst is not refused for ever.
type rate struct {
	limits *rates
	sender string

	mu            sync.Mutex
	events, bytes float64
	at            time.Time
}

// wait returns how long the sender has to wait before its next request; 0 is not at all.
func (r *rate) wait(now time.Time) time.Duration {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pause(now)
}

// charge takes what a request has, unless the sender has to wait; then it returns how long.
func (r *rate) charge(now time.Time, events, bytes int) time.Duration {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait := r.pause(now); wait > 0 {
		return wait
	}
	r.events -= float64(events)
	r.bytes -= float64(bytes)
	return 0
}

// pause pays in what has become free until now and returns the time until both are out of
// debt.
func (r *rate) pause(now time.Time) time.Duration {
	passed := 0.0
	if !r.at.IsZero() {
		passed = max(now.Sub(r.at).Seconds(), 0)
	}
	r.at = now
	r.events = min(r.events+passed*r.limits.events.perSecond, r.limits.events.burst)
	r.bytes = min(r.bytes+passed*r.limits.bytes.perSecond, r.limits.bytes.burst)
	return max(r.limits.events.debt(r.events), r.limits.bytes.debt(r.bytes))
}

// tell notes that a request of this sender was refused, and logs it once in a while.
func (r *rate) tell(log *slog.Logger, now time.Time) {
	all := r.limits
	all.mu.Lock()
	defer all.mu.Unlock()
	all.refused++
	if !all.told.IsZero() && now.Sub(all.told) < tellEvery {
		return
	}
	log.Warn("requests were refused because their sender is beyond its rate", "requests", all.refused, "latest", r.sender)
	all.refused, all.told = 0, now
}

// debt returns how long it takes until left is positive.
func (a allowance) debt(left float64) time.Duration {
	if a.perSecond == 0 || left > 0 {
		return 0
	}
	seconds := min((1-left)/a.perSecond, maxRetryAfter.Seconds())
	return max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
}

// seconds writes a Retry-After, which has no fractions.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}

package report

import (
	"math/rand/v2"
	"time"
)

const (
	// firstPace is the longest pause between the first requests after an outage.
	firstPace = 2 * time.Second
	// lastPace is the pause that is no longer worth waiting for.
	lastPace = 10 * time.Millisecond
)

// A pacer spaces requests out when there is a backlog after an outage. The forwarder that
// is back meets every node's backlog at once: each begins slowly, at a moment of its own,
// and doubles its pace with each request that is accepted.
type pacer struct{ next time.Duration }

// after says that requests have failed for as long. The shorter that was, the shorter the
// pauses: a single failure hardly counts.
func (p *pacer) after(outage time.Duration) { p.next = min(outage, firstPace) }

// pause is how long to wait before the next request; 0 once the pace is full.
func (p *pacer) pause() time.Duration {
	if p.next < lastPace {
		return 0
	}
	d := p.next
	p.next /= 2
	return rand.N(d)
}

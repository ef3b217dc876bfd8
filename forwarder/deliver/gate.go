package deliver

import "time"

// gate decides when an attempt may begin. Whoever enters it leaves it again.
type gate struct {
	limiter
	breaker
	inside int
	// waiting are lanes that want to repeat an attempt, in the order in which they came.
	// They go before those with a new batch.
	waiting []chan struct{}
}

func newGate(slots int, retry Retry) gate {
	return gate{limiter: newLimiter(slots), breaker: breaker{retry: retry, state: BreakerClosed}}
}

// enter lets one attempt in, if it may begin now.
func (g *gate) enter(now time.Time) bool {
	switch g.state {
	case BreakerClosed:
		if g.inside >= int(g.limit) {
			return false
		}
	case BreakerOpen:
		if now.Before(g.until) {
			return false
		}
		g.state = BreakerProbing
	default:
		return false
	}
	g.inside++
	return true
}

// leave ends what enter began.
func (g *gate) leave() { g.inside-- }

// busy reports whether the limit keeps attempts from beginning.
func (g *gate) busy() bool { return g.state == BreakerClosed && g.inside >= int(g.limit) }

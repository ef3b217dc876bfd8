package e2e

import (
	"context"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"
)

// silent is where servers of the tests tell of the faults that the tests make.
var silent = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// 50 times, at a random moment of a burst, the forwarder is killed or told to stop, and
// started again on the same data.
func TestNothingIsLostByFiftyKillsAndStopsInABurst(t *testing.T) {
	const (
		rounds   = 50
		inFlight = 64
		// recent is before a kill: what was accepted so shortly before it may come again,
		// because the output's place was not yet written.
		recent = 100 * time.Millisecond
	)
	hook := newEndpoint(t, "hook", nil)
	hook.answers(slow(time.Millisecond))
	s := newSite(t, "webhook: {address: %q}\n", hook.url)
	source := newSender(s)
	t.Logf("SAKER_E2E_SEED=%d", s.seed)

	kills, duplicates, most := 0, 0, 0
	for round := range rounds {
		s.run()
		before := source.sum()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		source.flood(ctx, 8, &wg)
		s.eventually("the burst has begun", func() error {
			if source.sum() == before {
				return errNotYet
			}
			return nil
		})
		rest(t.Context(), time.Duration(s.random.Int64N(int64(300*time.Millisecond))))
		killed := s.random.IntN(2) == 0
		allowed := 0
		if killed {
			kills++
			s.kill()
			allowed = inFlight + hook.since(time.Now().Add(-recent))
		} else {
			s.stop()
		}
		cancel()
		wg.Wait()

		// What was accepted until now may come again only after this.
		s.run()
		source.settle()
		source.waitArrived(hook)
		s.signal(syscall.SIGTERM)
		s.waitEnd()
		now := hook.duplicates()
		if now-duplicates > allowed {
			t.Errorf("round %d (killed: %t): %d events came again, more than %d", round, killed, now-duplicates, allowed)
		}
		most = max(most, now-duplicates)
		duplicates = now
	}
	if got, sent := hook.has(), source.sum(); got != sent {
		t.Errorf("the endpoint has %d events, %d were sent", got, sent)
	}
	t.Logf("%d kills and %d stops: %d events acknowledged, none lost, %d came again, at most %d after one kill",
		kills, rounds-kills, source.sum(), duplicates, most)
}

// since counts the events accepted after a moment.
func (e *endpoint) since(t time.Time) (sum int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, times := range e.accepted {
		if times[len(times)-1].After(t) {
			sum++
		}
	}
	return sum
}

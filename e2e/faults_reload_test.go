package e2e

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
)

// The configuration is read anew, thirty times, in the middle of a burst: an output moves to
// another address, comes and goes, and one stays as it is.
func TestReloadsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	const reloads = 30
	stays, moves, comes := newEndpoint(t, "stays", nil), []*endpoint{newEndpoint(t, "east", nil), newEndpoint(t, "west", nil)}, newEndpoint(t, "comes", nil)
	config := func(n int) string {
		text := fmt.Sprintf("outputs:\n  stays: {type: webhook, address: %q}\n  moves: {type: webhook, address: %q}\n", stays.url, moves[n%2].url)
		if n%4 < 2 {
			text += fmt.Sprintf("  comes: {type: webhook, address: %q, maxconcurrentrequests: %d}\n", comes.url, 1+n%4)
		}
		return text
	}
	s := newSite(t, "%s", config(0))
	s.run()
	source := newSender(s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	source.flood(ctx, 4, &wg)
	for n := range reloads {
		before := source.sum()
		s.configure("%s", config(n+1))
		s.signal(syscall.SIGHUP)
		s.eventually("the new configuration is in force", func() error {
			// The watch of the file may be quicker than the signal.
			if s.said("the new configuration is in force") <= n || source.sum() < before+100 {
				return errNotYet
			}
			return nil
		})
	}
	s.configure("outputs: {stays: {type: webhook, adress: %q}}\n", stays.url)
	s.signal(syscall.SIGHUP)
	s.eventually("the mistake is reported", func() error {
		if v := s.mustMetric("saker_config_last_reload_successful"); v != 0 {
			return errNotYet
		}
		return nil
	})
	cancel()
	wg.Wait()
	source.settle()
	source.waitArrived(stays)
	s.eventually("what moves arrives on either side", func() error {
		return source.between(moves[0], moves[1])
	})
	s.configure("%s", config(0))
	s.signal(syscall.SIGHUP)
	source.waitArrived(comes)
	s.stop()
	both := moves[0].duplicates() + moves[1].duplicates() + moves[0].has() + moves[1].has() - source.sum()
	t.Logf("%d events, none lost; came again: %d, %d to the one that moved, %d to the one that came and went",
		source.sum(), stays.duplicates(), both, comes.duplicates())
	if stays.duplicates()+both+comes.duplicates() != 0 {
		t.Error("events came again")
	}
}

// between reports what neither endpoint has.
func (s *sender) between(a, b *endpoint) error {
	has := map[int]bool{}
	for _, n := range s.missing(a) {
		has[n] = true
	}
	lost := 0
	for _, n := range s.missing(b) {
		if has[n] {
			lost++
		}
	}
	if lost > 0 {
		return fmt.Errorf("neither %s nor %s has %d of the events", a.name, b.name, lost)
	}
	return nil
}

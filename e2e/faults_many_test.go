package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Of twenty outputs ten are dead, each in its way: the others don't notice, and the dead
// ones cost a fixed amount of memory, however much waits for them.
func TestDeadOutputsDisturbNoOther(t *testing.T) {
	const rate, flowing = 200, 10 * time.Second
	var live, dead []*endpoint
	var config strings.Builder
	config.WriteString("outputs:\n")
	for i := range 10 {
		e := newEndpoint(t, fmt.Sprintf("live-%d", i), nil)
		e.answers(slow(time.Millisecond))
		live = append(live, e)
		fmt.Fprintf(&config, "  %s: {type: webhook, address: %q}\n", e.name, e.url)
	}
	alone := config.String()
	for i := range 10 {
		e := newEndpoint(t, fmt.Sprintf("dead-%d", i), nil)
		switch i % 3 {
		case 0:
			e.down()
		case 1:
			e.answers(hang)
		case 2:
			e.answers(status(http.StatusInternalServerError))
		}
		dead = append(dead, e)
		fmt.Fprintf(&config, "  %s: {type: webhook, address: %q, timeout: 5s, retry: {initial: 100ms, max: 1s}}\n", e.name, e.url)
	}

	// measured sends for a while and returns how late the last hundredth arrives.
	measured := func(s *site, source *sender) time.Duration {
		from := source.sum()
		stop := source.flow(rate)
		rest(t.Context(), flowing) // the flow lasts that long
		stop()
		source.waitArrived(live...)
		var late []time.Duration
		for _, e := range live {
			late = append(late, source.latencies(e, from)...)
		}
		slices.Sort(late)
		t.Logf("%d deliveries: half within %v, 99%% within %v; %d MiB, %v goroutines", len(late), late[len(late)/2],
			late[len(late)*99/100], s.memory(), s.mustMetric("go_goroutines"))
		return late[len(late)*99/100]
	}

	s := newSite(t, "%s", alone)
	s.run()
	source := newSender(s)
	undisturbed := measured(s, source)
	s.stop()
	first := source.sum() + 1 // an output begins with what comes once it is configured
	s.configure("%s", config.String())
	s.run()
	disturbed := measured(s, source)
	if most := max(20*undisturbed, time.Second); disturbed > most {
		t.Errorf("with dead outputs 99%% of the deliveries take up to %v, without them %v", disturbed, undisturbed)
	}

	memory, goroutines := s.memory(), s.mustMetric("go_goroutines")
	source.mustSend(5000)
	source.waitArrived(live...)
	t.Logf("with 5000 events more: %d MiB, %v goroutines", s.memory(), s.mustMetric("go_goroutines"))
	if now := s.memory(); now > memory+64 || now > 256 {
		t.Errorf("the forwarder takes %d MiB, and %d before", now, memory)
	}
	// An output has at most so many requests under way, and a connection takes two goroutines.
	if now := s.mustMetric("go_goroutines"); now > goroutines+20*64 {
		t.Errorf("the forwarder has %v goroutines, and %v before", now, goroutines)
	}
	for _, e := range dead {
		e.down()
		e.answers(nil)
		if err := e.up(); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range dead {
		s.eventually("nothing is lost", func() error {
			for _, n := range source.missing(e) {
				if n >= first {
					return fmt.Errorf("%s lacks event %d", e.name, n)
				}
			}
			return nil
		})
	}
	s.stop()
	for _, e := range append(live, dead...) {
		if n := e.duplicates(); n > 64 {
			t.Errorf("%d events came to %s again", n, e.name)
		}
	}
}

// latencies returns how long after they were sent events arrived, of those after the given
// number.
func (s *sender) latencies(e *endpoint, after int) (all []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, times := range e.accepted {
		if n > after {
			all = append(all, times[0].Sub(s.began[n]))
		}
	}
	return all
}

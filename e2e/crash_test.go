package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// 10 000 events, a webhook that takes its time, and a kill -9 in the middle: every event
// arrives in the end. Those that the forwarder never acknowledged are sent again by the
// test, as a sensor does.
func TestNothingIsLostWhenTheForwarderIsKilled(t *testing.T) {
	const events, senders = 10_000, 8
	var delivered atomic.Int64
	hook := newReceiver(t, func() {
		delivered.Add(1)
		time.Sleep(200 * time.Microsecond) // the slow endpoint is the scenario
	})
	port := freePort(t)
	config := writeFile(t, "saker.yaml", fmt.Sprintf(`
listenaddress: 127.0.0.1
listenport: %d
ui:
  listenport: %d
webhook:
  address: %s
  maxconcurrentrequests: 4
`, port, freePort(t), hook.URL))
	data := t.TempDir()
	ingest := fmt.Sprintf("http://127.0.0.1:%d/", port)
	run := func() *process {
		p := start(t, "saker", "forwarder", "-c", config, "--data-dir", data)
		waitReady(t, p, port)
		return p
	}

	p := run()
	var refused sync.Map // numbers that were not acknowledged
	var acknowledged atomic.Int64
	burst := func(numbers <-chan int) {
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for n := range numbers {
					if post(ingest, n) {
						acknowledged.Add(1)
						refused.Delete(n)
					} else {
						refused.Store(n, true)
					}
				}
			})
		}
		wg.Wait()
	}
	numbers := make(chan int)
	var killed sync.WaitGroup
	killed.Go(func() {
		for n := range events {
			numbers <- n
			if n == events/2 {
				p.kill(t)
			}
		}
		close(numbers)
	})
	burst(numbers)
	killed.Wait()
	before := acknowledged.Load()
	if before == 0 || before == events {
		t.Fatalf("%d of %d events were acknowledged before the kill: the test did not kill in mid-burst", before, events)
	}
	atKill := delivered.Load()

	p = run()
	again := make(chan int)
	go func() {
		defer close(again)
		refused.Range(func(n, _ any) bool { again <- n.(int); return true })
	}()
	burst(again)
	if n := acknowledged.Load(); n != events {
		t.Fatalf("%d of %d events were acknowledged in the end", n, events)
	}

	seen := map[string]int{}
	expect(t, hook.alerts, "for each of the events", func(a alert) bool {
		seen[a.Output]++
		return len(seen) == events
	})
	duplicates := 0
	for _, n := range seen {
		duplicates += n - 1
	}
	t.Logf("%d events acknowledged and %d delivered before the kill, all %d after it, %d of them twice", before, atKill, len(seen), duplicates)
	p.stop()
}

// post sends event n and reports whether it was acknowledged.
func post(url string, n int) bool {
	body, err := json.Marshal(map[string]any{
		"output": fmt.Sprintf("event %d", n), "priority": "Warning", "rule": "Burst", "source": "syscall",
		"time": "2026-01-02T03:04:05.000000006Z", "output_fields": map[string]any{"n": n},
	})
	if err != nil {
		return false
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// waitReady polls /readyz until it answers 200.
func waitReady(t *testing.T, p *process, port int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port)); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("the forwarder ended:\n%s", p.all.String())
		case <-deadline:
			t.Fatalf("the forwarder was not ready within %v", patience)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// deliveryCase is one row of the table of deliveries.
type deliveryCase struct {
	outputs int
	delay   time.Duration
	// events for Saker, and for the peer, which takes longer.
	events, peerEvents int
}

var deliveryCases = []deliveryCase{
	{1, time.Millisecond, 60_000, 3_000},
	{1, 20 * time.Millisecond, 20_000, 300},
	{10, time.Millisecond, 20_000, 2_000},
	{10, 20 * time.Millisecond, 15_000, 300},
}

// maxAhead is how many events the senders may be ahead of the slowest output: enough to
// keep it busy, and little enough that the rate measured is that of the outputs.
const maxAhead = 2_000

func measureDelivery(ctx context.Context, m machine) error {
	head("program", "outputs", "answer after", "events delivered a second", "CPU s for 1000 events", "most memory")
	for _, c := range deliveryCases {
		for _, p := range m.programs() {
			if err := c.measure(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c deliveryCase) measure(ctx context.Context, p program) error {
	events := c.events
	if !p.saker {
		events = c.peerEvents
	}
	var receivers []*receiver
	var urls []string
	for range c.outputs {
		r, err := receive(c.delay)
		if err != nil {
			return err
		}
		defer r.close()
		receivers, urls = append(receivers, r), append(urls, r.url())
	}
	slowest := func() int64 {
		least := receivers[0].got.Load()
		for _, r := range receivers {
			least = min(least, r.got.Load())
		}
		return least
	}
	run, err := p.start(ctx, urls)
	if err != nil {
		return err
	}
	defer run.stop()
	before, start := run.cpu(), time.Now()
	_, err = load{
		address: run.address, clients: 8, events: events, batch: 1,
		ahead: func() int64 { return slowest() + maxAhead },
	}.send(ctx)
	if err != nil {
		return err
	}
	if err := until(ctx, func() bool { return slowest() >= int64(events) }); err != nil {
		return fmt.Errorf("%s: %d of %d events arrived: %w", p.name, slowest(), events, err)
	}
	took, used := time.Since(start), run.cpu()-before
	row(p.name, c.outputs, c.delay, fmt.Sprintf("%.0f", float64(events)/took.Seconds()),
		fmt.Sprintf("%.3f", used.Seconds()*1000/float64(events)), fmt.Sprintf("%.0f MB", run.memory("VmHWM")))
	return nil
}

// until waits until ok is true, for two minutes at most.
func until(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func measureLatency(ctx context.Context, m machine) error {
	head("program", "answer after", "p50", "p99", "most")
	for _, p := range m.programs() {
		const events = 5_000
		times := make([]time.Duration, events)
		sent := make([]time.Time, events)
		var mu sync.Mutex
		r, err := receive(time.Millisecond, func(r *receiver) {
			r.arrived = func(body []byte) {
				now := time.Now()
				if n, ok := numberOf(body); ok {
					mu.Lock()
					if times[n] == 0 {
						times[n] = now.Sub(sent[n])
					}
					mu.Unlock()
				}
			}
		})
		if err != nil {
			return err
		}
		defer r.close()
		run, err := p.start(ctx, []string{r.url()})
		if err != nil {
			return err
		}
		defer run.stop()
		if _, err := (load{
			address: run.address, clients: 8, events: events, batch: 1, rate: 500,
			sent: func(n int) { mu.Lock(); sent[n] = time.Now(); mu.Unlock() },
		}).send(ctx); err != nil {
			return err
		}
		if err := until(ctx, func() bool { return r.got.Load() >= events }); err != nil {
			return err
		}
		run.stop()
		slices.Sort(times)
		row(p.name, r.delay, ms(times[events/2]), ms(times[events*99/100]), ms(times[events-1]))
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func measureMemory(ctx context.Context, m machine) error {
	head("program", "idle", "waiting for an endpoint that hangs", "events waiting")
	for _, p := range m.programs() {
		r, err := receive(0, func(r *receiver) { r.hang = true })
		if err != nil {
			return err
		}
		defer r.close()
		run, err := p.start(ctx, []string{r.url()})
		if err != nil {
			return err
		}
		defer run.stop()
		time.Sleep(3 * time.Second)
		idle := run.memory("VmRSS")
		events := 100_000
		if !p.saker {
			events = 50_000
		}
		if _, err := (load{address: run.address, clients: 8, events: events, batch: 1}).send(ctx); err != nil {
			return err
		}
		row(p.name, fmt.Sprintf("%.0f MB", idle), fmt.Sprintf("%.0f MB", run.memory("VmHWM")), events)
		run.stop()
	}
	return nil
}

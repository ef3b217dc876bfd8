package embedded

import (
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

// Under load the log's figure of pending events trails behind what is stored; an output
// that keeps up has lost nothing all the same.
func TestNothingIsCountedAsLostUnderLoad(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "busy", event.None)
	const senders, batches, size = 4, 25, 200
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range batches {
				if err := j.Append(t.Context(), unnamed(size)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 0; n < senders*batches*size && !t.Failed(); {
		got, err := c.Fetch(t.Context(), 100, 1<<20, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ack(t, got)
		n += len(got)
		if lag, err := c.Lag(t.Context()); err != nil || lag.Lost != 0 {
			t.Fatalf("lag is %+v, %v", lag, err)
		}
	}
	wg.Wait()
	if lag, err := c.Lag(t.Context()); err != nil || lag.Lost != 0 {
		t.Errorf("lag is %+v, %v", lag, err)
	}
}

// unnamed are n events that have no UUID, so that none is taken for another.
func unnamed(n int) []event.Event {
	all := samples(n)
	for i := range all {
		all[i].UUID = ""
	}
	return all
}

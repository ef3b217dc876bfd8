package deliver

import (
	"slices"
	"sync"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// held are the events in a worker's hand, by their places in the journal.
type held struct {
	mu  sync.Mutex
	all map[uint64]journal.Delivery
}

// add takes ds in hand and returns them without those that were in hand already. Such a
// one comes when the journal couldn't be told in time that it is in progress; whoever deals
// with it acknowledges it for both.
func (h *held) add(ds []journal.Delivery) []journal.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(ds, func(d journal.Delivery) bool {
		_, twice := h.all[d.Sequence]
		h.all[d.Sequence] = d
		return twice
	})
}

func (h *held) remove(ds []journal.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		delete(h.all, d.Sequence)
	}
}

func (h *held) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// inProgress tells the journal that all of them are being dealt with.
func (h *held) inProgress() (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.all {
		if e := d.InProgress(); e != nil {
			err = e
		}
	}
	return err
}

// keepAlive tells the journal of the events in hand, again and again, until the function
// that it returns is called.
func (r *run) keepAlive() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(keepAlive)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				r.finish(r.held.inProgress())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

package deliver

import (
	"slices"

	"github.com/saker-security/saker/forwarder/journal"
)

// keepAlive is how often the journal is told that an event is still in hand.
const keepAlive = journal.AckWait / 3

// held are the deliveries in a worker's hand, by their places in the journal.
type held struct {
	all   map[uint64]holding
	round uint32 // grows with each keepAlive
}

// holding is what keeping a delivery alive takes.
type holding struct {
	journal.Receipt
	round uint32 // when it was taken in hand
}

func newHeld() held { return held{all: map[uint64]holding{}} }

// add takes ds in hand and returns them without those that were in hand already. Such a
// one comes when the journal couldn't be told in time that it is in progress; whoever deals
// with it acknowledges it for both.
func (h *held) add(ds []journal.Delivery) []journal.Delivery {
	return slices.DeleteFunc(ds, func(d journal.Delivery) bool {
		_, twice := h.all[d.Sequence]
		h.all[d.Sequence] = holding{d.Receipt, h.round}
		return twice
	})
}

func (h *held) remove(ds []journal.Delivery) {
	for i := range ds {
		delete(h.all, ds[i].Sequence)
	}
}

// keepAlive tells the journal of the deliveries in hand, but for those that have come since
// it was told last: most are dealt with long before it must hear of them.
func (r *run) keepAlive() {
	r.mu.Lock()
	var old []journal.Receipt
	for _, h := range r.held.all {
		if h.round != r.held.round {
			old = append(old, h.Receipt)
		}
	}
	r.held.round++
	r.mu.Unlock()
	var err error
	for _, receipt := range old {
		if e := receipt.InProgress(); e != nil {
			err = e
		}
	}
	r.finish(err)
}

package api

import (
	"context"
	"strconv"
	"sync"

	"github.com/saker-security/saker/event"
)

const (
	// ringEvents and ringBytes bound what a Ring remembers.
	ringEvents = 1000
	ringBytes  = 16 << 20
)

// Ring remembers the newest events of the journal, at most 1000 and at most 16 MiB of
// them. It is safe for concurrent use.
type Ring struct {
	mu    sync.Mutex
	items []item
	bytes int
	// changed is closed and replaced when an event is added.
	changed chan struct{}
}

// item is an event as the API sends it. It is never changed.
type item struct {
	sequence uint64
	json     []byte
}

// NewRing returns an empty Ring.
func NewRing() *Ring { return &Ring{changed: make(chan struct{})} }

// Add remembers e, which has the given place in the journal. Places only ever grow; an
// event at a place already passed is left out.
func (r *Ring) Add(sequence uint64, e event.Event) {
	text := strconv.AppendUint([]byte(`{"sequence":`), sequence, 10)
	text = e.AppendJSON(append(text, `,"event":`...))
	it := item{sequence, append(text, '}')}

	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.items); n > 0 && r.items[n-1].sequence >= sequence {
		return
	}
	r.items = append(r.items, it)
	r.bytes += len(it.json)
	drop := 0
	for len(r.items)-drop > ringEvents || r.bytes > ringBytes && len(r.items)-drop > 1 {
		r.bytes -= len(r.items[drop].json)
		r.items[drop] = item{}
		drop++
	}
	r.items = r.items[drop:]
	close(r.changed)
	r.changed = make(chan struct{})
}

// newest returns the last n events, oldest first, and the place of the very last.
func (r *Ring) newest(n int) ([]item, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.items) == 0 {
		return nil, 0
	}
	from := max(len(r.items)-n, 0)
	return append([]item(nil), r.items[from:]...), r.items[len(r.items)-1].sequence
}

// after returns at most n of the events after the given place, the newest of them if there
// are more, how many were left out before them, and a channel that is closed when there
// are new ones. Place 0 is the start, before which nothing can be missed.
func (r *Ring) after(sequence uint64, n int) (found []item, skipped uint64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := len(r.items)
	for from > 0 && r.items[from-1].sequence > sequence {
		from--
	}
	from = max(from, len(r.items)-n)
	found = append(found, r.items[from:]...)
	if sequence > 0 && len(found) > 0 && found[0].sequence > sequence+1 {
		skipped = found[0].sequence - sequence - 1
	}
	return found, skipped, r.changed
}

// await waits until the Ring has the event at the given place or a later one, or ctx ends.
func (r *Ring) await(ctx context.Context, sequence uint64) {
	for {
		r.mu.Lock()
		n, changed := len(r.items), r.changed
		reached := sequence == 0 || n > 0 && r.items[n-1].sequence >= sequence
		r.mu.Unlock()
		if reached {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

package silence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Run follows the bucket until ctx ends, and returns nil then. A bucket that cannot be
// followed is tried again and again, with growing pauses; what is known keeps counting
// meanwhile. Silences that expired longer ago than Retention are deleted. Call it once.
func (b *Book) Run(ctx context.Context) error {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { b.sweep(ctx) })
	pause := firstPause
	for failed := false; ; {
		synced, err := b.follow(ctx, failed)
		if ctx.Err() != nil {
			return nil
		}
		if synced {
			pause, failed = firstPause, false
		}
		if !failed {
			b.log.Warn("the silences cannot be followed: those known keep counting, changes are seen later", "error", err)
			failed = true
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, lastPause)
	}
}

// follow reads the bucket and what changes in it, until that fails or ctx ends. It reports
// whether it had read all there was.
func (b *Book) follow(ctx context.Context, failedBefore bool) (synced bool, err error) {
	seen := map[string]bool{}
	err = b.bucket.Watch(ctx,
		func(id string, record []byte) {
			if !synced {
				seen[id] = true
			}
			b.change(id, record, synced)
		},
		func() {
			synced = true
			b.sync(seen)
			seen = nil
			if failedBefore {
				b.log.Info("the silences are followed again")
			}
		})
	return synced, err
}

// sync ends the reading of what there is: what was not among it has been deleted.
func (b *Book) sync(seen map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.all, func(id string, _ *entry) bool { return !seen[id] })
	b.publish()
	if !b.ready {
		b.ready = true
		close(b.synced)
	}
}

// change takes over one record, nil for a deleted one. While the bucket is read for the
// first time the snapshot is made once, at its end.
func (b *Book) change(id string, record []byte, publish bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if record == nil {
		delete(b.all, id)
	} else if s, err := decode(id, record); err != nil {
		b.log.Warn("a stored silence cannot be understood and does not count", "id", id, "error", err)
		delete(b.all, id)
	} else if old, ok := b.all[id]; ok {
		s.heldBack = old.heldBack
		b.all[id] = s
	} else if len(b.all) < maxHeld {
		b.all[id] = s
	} else {
		b.log.Warn("there are too many silences: one does not count", "id", id, "limit", maxHeld)
	}
	if publish {
		b.publish()
	}
}

// publish makes what is known count, and wakes who waits for a change. The lock is held.
func (b *Book) publish() {
	b.live.Store(newSnapshot(b.all, time.Now()))
	close(b.changed)
	b.changed = make(chan struct{})
}

// decode reads a stored silence.
func decode(id string, record []byte) (*entry, error) {
	s := &entry{heldBack: new(atomic.Uint64)}
	if err := json.Unmarshal(record, &s.Silence); err != nil {
		return nil, err
	}
	if s.ID != id {
		return nil, fmt.Errorf("it is stored under %q but calls itself %q", id, s.ID)
	}
	if len(s.Matchers) == 0 || len(s.Matchers) > MaxMatchers {
		return nil, fmt.Errorf("it must have 1 to %d matchers, not %d", MaxMatchers, len(s.Matchers))
	}
	for _, m := range s.Matchers {
		c, err := compile(m)
		if err != nil {
			return nil, fmt.Errorf("matcher %s: %w", m, err)
		}
		s.matchers = append(s.matchers, c)
	}
	return s, nil
}

// sweep deletes, now and then, what is past its retention.
func (b *Book) sweep(ctx context.Context) {
	for {
		select {
		case <-time.After(sweepEvery):
		case <-ctx.Done():
			return
		}
		for _, id := range b.outlived(time.Now()) {
			if err := b.bucket.Delete(ctx, id); err != nil && ctx.Err() == nil {
				b.log.Warn("old silences cannot be deleted: it is tried again within the hour", "error", err)
				break
			}
		}
	}
}

// outlived returns the ids of the silences that are past their retention.
func (b *Book) outlived(now time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for id, s := range b.all {
		if now.Sub(s.EndsAt) > Retention {
			ids = append(ids, id)
		}
	}
	return ids
}

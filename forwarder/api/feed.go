package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/saker-security/saker/event"
)

// Source is the journal as the page reads it.
type Source interface {
	// Follow calls add with the last n events and then with every new one, in order, until
	// ctx ends or reading fails. It always returns an error.
	Follow(ctx context.Context, n int, add func(sequence uint64, e event.Event)) error
	// Last returns the place of the newest event, 0 if there is none.
	Last(ctx context.Context) (uint64, error)
}

const (
	// feedIdle is how long the journal is read on after the last reader has gone.
	feedIdle = time.Minute
	// feedPause is the pause before reading again after an error.
	feedPause = 2 * time.Second
	// freshWait is how long an answer waits for the ring to have the newest events.
	freshWait = 2 * time.Second
)

// Feed fills a Ring from the journal while somebody reads the Ring. Reading the journal
// costs CPU for every event, which nobody should pay for a page that is not open.
type Feed struct {
	ring   *Ring
	source Source
	log    *slog.Logger

	mu      sync.Mutex
	readers int
	left    time.Time // when the last reader went
	wanted  chan struct{}
}

// NewFeed makes a Feed of ring.
func NewFeed(ring *Ring, source Source, log *slog.Logger) *Feed {
	return &Feed{ring: ring, source: source, log: log, wanted: make(chan struct{}, 1)}
}

// Run follows the journal whenever there are readers, until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	for {
		select {
		case <-f.wanted:
		case <-ctx.Done():
			return
		}
		for f.inUse() && ctx.Err() == nil {
			if !f.follow(ctx) {
				break
			}
		}
	}
}

// follow reads until nobody does any more, which is true, or an error comes.
func (f *Feed) follow(ctx context.Context) (again bool) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		defer stop()
		f.waitUntilIdle(reading)
	})
	err := f.source.Follow(reading, ringEvents, f.ring.Add)
	if reading.Err() != nil {
		return false
	}
	f.log.Warn("the page's view of the journal broke off and starts again", "error", err)
	stop()
	select {
	case <-time.After(feedPause):
	case <-ctx.Done():
	}
	return true
}

// waitUntilIdle returns when there has been no reader for a while, or ctx ends.
func (f *Feed) waitUntilIdle(ctx context.Context) {
	tick := time.NewTicker(feedIdle / 4)
	defer tick.Stop()
	for f.inUse() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Feed) inUse() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readers > 0 || time.Since(f.left) < feedIdle
}

// enter counts a reader and waits, not for long, until the Ring has what the journal had
// at that moment. The function returned says that the reader has gone.
func (f *Feed) enter(ctx context.Context) (leave func()) {
	f.mu.Lock()
	f.readers++
	f.mu.Unlock()
	select {
	case f.wanted <- struct{}{}:
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	if last, err := f.source.Last(ctx); err == nil {
		f.ring.await(ctx, last)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.readers--
		f.left = time.Now()
	}
}

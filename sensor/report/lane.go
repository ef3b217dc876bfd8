package report

import (
	"context"
	"log/slog"
	"time"

	"github.com/saker-security/saker/event"
)

const (
	// laneCapacity is how many alerts wait for a way out that is busy.
	laneCapacity = 4096
	// defaultTimeout is how long a sink may take before that is logged.
	defaultTimeout = 2 * time.Second
	// laneBatch is how many alerts a sink is given at once.
	laneBatch = 256
)

// A lane carries alerts to one sink.
type lane struct {
	name   string
	sink   Sink
	log    *slog.Logger
	counts *counts
	in     chan event.Event
	reopen chan struct{}
	slow   time.Duration

	failing bool
	lagging bool // the last write took too long, which has been said
	lost    int  // alerts since the sink began to fail
}

// run carries alerts until stop is closed and those that came before it are out.
func (l *lane) run(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case e := <-l.in:
			l.write(ctx, e)
		case <-l.reopen:
			if f, ok := l.sink.(interface{ Reopen() error }); ok {
				l.note(0, f.Reopen())
			}
		case <-stop:
			l.drain(ctx)
			return
		}
	}
}

func (l *lane) drain(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case e := <-l.in:
			l.write(ctx, e)
		default:
			return
		}
	}
	l.counts.drop(l.name, dropShutdown, uint64(len(l.in)))
}

// write writes e and what else is waiting.
func (l *lane) write(ctx context.Context, e event.Event) {
	batch := append(make([]event.Event, 0, 1+min(len(l.in), laneBatch-1)), e)
	for len(batch) < cap(batch) {
		batch = append(batch, <-l.in)
	}
	told := l.lagging
	late := time.AfterFunc(l.slow, func() {
		if !told {
			l.log.Warn("a way out for alerts takes long", "sink", l.name, "longer_than", l.slow, "waiting", len(l.in))
		}
	})
	err := l.sink.Write(ctx, batch)
	l.lagging = !late.Stop()
	l.note(len(batch), err)
}

// note counts n alerts as out or lost, and logs when the sink begins and ceases to fail.
func (l *lane) note(n int, err error) {
	if err != nil {
		if n > 0 {
			l.counts.drop(l.name, dropWrite, uint64(n))
		}
		l.lost += n
		if !l.failing {
			l.failing = true
			l.log.Warn("alerts are lost on one way out", "sink", l.name, "error", err)
		}
		return
	}
	if l.name != SinkHTTP { // those are only queued
		l.counts.addSent(l.name, n)
	}
	if l.failing {
		l.log.Info("alerts go out again", "sink", l.name, "lost", l.lost)
		l.failing, l.lost = false, 0
	}
}

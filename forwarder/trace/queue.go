package trace

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// queueSpans is the most spans that wait, about 1 KiB each.
	queueSpans = 8192
	// batchSpans is the most spans of one request, fillTime how long one waits to fill up.
	batchSpans = 512
	fillTime   = 2 * time.Second
	// maxProblem is how many bytes of a collector's answer are logged.
	maxProblem = 300
)

// queue takes spans without waiting and exports them one batch after the other. It is an
// sdk.SpanProcessor that, unlike the SDK's own, counts what it drops.
type queue struct {
	exporter sdk.SpanExporter
	hide     *strings.Replacer // takes secrets out of what is logged
	log      *slog.Logger

	spans             chan sdk.ReadOnlySpan
	exported, dropped atomic.Uint64

	// stop is closed when no more spans come, done when all have been dealt with.
	stop, done chan struct{}
	stopped    sync.Once
	// exports ends when the batches under way must end.
	exports    context.Context
	endExports context.CancelFunc
}

func newQueue(exporter sdk.SpanExporter, hide *strings.Replacer, log *slog.Logger) *queue {
	q := &queue{
		exporter: exporter, hide: hide, log: log, spans: make(chan sdk.ReadOnlySpan, queueSpans),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	q.exports, q.endExports = context.WithCancel(context.Background())
	go q.run()
	return q
}

// hide returns what takes the values of the headers out of a text: a collector may answer
// with what it was sent.
func (c Config) hide() *strings.Replacer {
	var pairs []string
	for _, value := range c.Headers {
		for _, secret := range append(strings.Fields(value.Reveal()), value.Reveal()) {
			if len(secret) >= 4 {
				pairs = append(pairs, secret, value.String())
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// OnStart implements sdk.SpanProcessor.
func (*queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	select {
	case <-q.stop:
		q.dropped.Add(1)
		return
	default:
	}
	select {
	case q.spans <- s:
	default:
		q.dropped.Add(1)
	}
}

// ForceFlush implements sdk.SpanProcessor. Nothing here asks for it.
func (*queue) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.SpanProcessor.
func (q *queue) Shutdown(ctx context.Context) error {
	q.stopped.Do(func() { close(q.stop) })
	defer context.AfterFunc(ctx, q.endExports)()
	<-q.done
	q.endExports()
	q.dropped.Add(uint64(len(q.spans))) // what came in the moment of the stop
	return q.exporter.Shutdown(ctx)
}

// run exports until it is told to stop, and then what still waits.
func (q *queue) run() {
	defer close(q.done)
	for {
		batch, more := q.next()
		if len(batch) > 0 {
			q.export(batch)
		}
		if !more {
			return
		}
	}
}

// next gathers a batch. After the stop it takes what there is; false with the last of it.
func (q *queue) next() (batch []sdk.ReadOnlySpan, more bool) {
	select {
	case s := <-q.spans:
		batch = append(batch, s)
	case <-q.stop:
	}
	full := time.NewTimer(fillTime)
	defer full.Stop()
	for len(batch) < batchSpans {
		select {
		case s := <-q.spans:
			batch = append(batch, s)
			continue
		default:
		}
		select {
		case s := <-q.spans:
			batch = append(batch, s)
		case <-full.C:
			return batch, true
		case <-q.stop:
			return batch, len(q.spans) > 0
		}
	}
	return batch, true
}

func (q *queue) export(batch []sdk.ReadOnlySpan) {
	ctx, cancel := context.WithTimeout(q.exports, retryTime)
	defer cancel()
	err := q.exporter.ExportSpans(ctx, batch)
	if err == nil {
		q.exported.Add(uint64(len(batch)))
		return
	}
	q.dropped.Add(uint64(len(batch)))
	text := q.hide.Replace(err.Error())
	q.log.Warn("the collector of traces does not take them: they are dropped", "spans", len(batch),
		"error", strings.ToValidUTF8(text[:min(len(text), maxProblem)], ""))
}

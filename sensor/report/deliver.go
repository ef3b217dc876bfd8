package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
)

// How long deliveries wait for one another.
const (
	// The pause after a failure doubles from the first to the last of these.
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
	// maxRetryAfter limits what the receiver may ask for.
	maxRetryAfter = 5 * time.Minute
	// slowAttempt is how long an attempt may take before the alerts behind it go to disk.
	slowAttempt = time.Second
	// noticeEvery is the least time between two internal events about dropped alerts.
	noticeEvery = time.Minute
)

// internalSource is the source of events about the sensor itself.
const internalSource = "internal"

// ruleDropped is the rule of the internal event about dropped alerts.
const ruleDropped = "Saker internal: alerts dropped"

// An httpSink queues alerts and posts them, one request at a time and in order, until the
// receiver has accepted or rejected them.
type httpSink struct {
	poster   *poster
	queue    *queue
	format   Format
	hostname string
	log      *slog.Logger
	counts   *counts
	minPause time.Duration
	// stopping is closed when nothing more is written; run then returns once all is
	// delivered or delivery fails.
	stopping chan struct{}

	failures   int       // attempts in a row
	failing    time.Time // since when
	pace       pacer
	lastNotice time.Time
	notice     uint64 // place of the last internal event, from 1 on
	rejected   uint64 // alerts since the last log line about one
}

func newHTTPSink(cfg Config, hostname string, log *slog.Logger, c *counts) (*httpSink, error) {
	// Who takes alerts by HTTP needs the fields: an event without any is refused.
	cfg.IncludeOutputFields = true
	s := &httpSink{
		format: cfg.Format, hostname: hostname, log: log, counts: c,
		minPause: minPause, stopping: make(chan struct{}),
	}
	var err error
	if s.poster, err = newPoster(cfg.HTTP); err != nil {
		return nil, err
	}
	var sp *spool
	if cfg.Spool.Dir != "" {
		if sp, err = openSpool(cfg.Spool.Dir, int64(cfg.Spool.MaxBytes), cfg.Spool.MaxAge, s.drop); err != nil {
			return nil, err
		}
	}
	s.queue = newQueue(sp, cfg.Spool.Sync, s.drop)
	if s.queue.backlog() {
		s.pace.after(firstPace)
	}
	return s, nil
}

func (s *httpSink) drop(reason string, n uint64) { s.counts.drop(SinkHTTP, reason, n) }

// Write queues the alerts.
func (s *httpSink) Write(_ context.Context, alerts []event.Event) error {
	encoded := make([][]byte, 0, len(alerts))
	for i := range alerts {
		data := AppendFalcoJSON(make([]byte, 0, 1024), &alerts[i], s.format)
		if len(data) > event.MaxEventBytes {
			s.drop(dropTooLarge, 1)
			continue
		}
		encoded = append(encoded, data)
	}
	s.queue.add(encoded...)
	return nil
}

// run delivers until ctx is done.
func (s *httpSink) run(ctx context.Context) {
	for ctx.Err() == nil {
		if s.pace.next > 0 && s.queue.backlog() && !s.wait(ctx, s.pace.pause()) {
			return
		}
		batch := s.queue.front(s.poster.Batch, maxPostBytes)
		if len(batch) > 0 {
			if !s.deliver(ctx, batch) {
				return
			}
			continue
		}
		if s.tellDropped() {
			continue
		}
		if !s.idle(ctx) {
			return
		}
	}
}

// idle waits until there may be something to do, and reports whether there may.
func (s *httpSink) idle(ctx context.Context) bool {
	var due <-chan time.Time
	if s.counts.anyUntold() {
		timer := time.NewTimer(time.Until(s.lastNotice.Add(noticeEvery)))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s.queue.changed:
	case <-due:
	case <-ctx.Done():
	case <-s.stopping:
		select {
		case <-s.queue.changed:
		default:
			return false
		}
	}
	return true
}

// deliver posts the batch until it is accepted or rejected, and reports false when it has
// given up because of the end.
func (s *httpSink) deliver(ctx context.Context, batch []entry) bool {
	for {
		err := s.attempt(ctx, batch)
		if _, rejected := errors.AsType[*rejectedError](err); rejected && len(batch) > 1 {
			// Find the bad one; what the receiver takes twice it knows by its uuid.
			half := len(batch) / 2
			return s.deliver(ctx, batch[:half]) && s.deliver(ctx, batch[half:])
		} else if err == nil || rejected {
			s.settle(batch, err)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.fail(err, len(batch))
		if !s.pause(ctx, err) {
			return false
		}
	}
}

// attempt makes one request. While it takes long, alerts behind it go to the spool.
func (s *httpSink) attempt(ctx context.Context, batch []entry) error {
	done := make(chan struct{})
	slow := time.AfterFunc(slowAttempt, func() {
		defer close(done)
		s.queue.fallBehind()
	})
	err := s.poster.post(ctx, batch)
	if !slow.Stop() {
		<-done
	}
	return err
}

// settle removes a batch that was accepted, or one alert that was rejected.
func (s *httpSink) settle(batch []entry, rejection error) {
	if s.failures > 0 {
		s.pace.after(time.Since(s.failing))
		s.log.Info("alerts are posted again", "failures", s.failures)
		s.failures = 0
	}
	s.counts.setHTTPError("")
	if rejection == nil {
		s.counts.addSent(SinkHTTP, len(batch))
	} else {
		s.reject(batch[0], rejection)
	}
	s.queue.ack(batch[len(batch)-1].seq)
}

// reject counts an alert that can never be accepted. Every power of two is logged.
func (s *httpSink) reject(e entry, err error) {
	if e.seq+1 == s.notice {
		// To tell of this one as well would go on for ever.
		s.counts.dropQuietly(SinkHTTP, dropRejected, 1)
	} else {
		s.drop(dropRejected, 1)
	}
	s.rejected++
	if s.rejected&(s.rejected-1) == 0 {
		s.log.Warn("the receiver rejects alerts; they are dropped", "error", err, "rejected", s.rejected)
	}
}

// fail notes a failure. The first of a row is logged.
func (s *httpSink) fail(err error, waiting int) {
	s.queue.fallBehind()
	s.counts.failed(err)
	if s.failures++; s.failures == 1 {
		s.failing = time.Now()
		s.log.Warn("alerts can't be posted; they are kept and tried again", "error", err, "waiting", waiting)
	}
}

// pause waits before the next attempt, as wait does. No two sensors wait the same time, so
// that they do not come back all at once.
func (s *httpSink) pause(ctx context.Context, err error) bool {
	d := min(maxPause, s.minPause<<min(s.failures-1, 16))
	d = d/2 + rand.N(d/2+1)
	if busy, ok := errors.AsType[*busyError](err); ok {
		d = max(d, min(busy.after, maxRetryAfter))
	}
	return s.wait(ctx, d)
}

// wait waits for d. It returns false when ctx is done, and also at the end of the sensor if
// the spool keeps the alerts for the next start.
func (s *httpSink) wait(ctx context.Context, d time.Duration) bool {
	stopping := s.stopping
	if s.queue.spool == nil {
		stopping = nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-stopping:
	}
	return false
}

// tellDropped queues an internal event if alerts were dropped that no earlier one tells of,
// and it is time for another. It is called when everything before is delivered.
func (s *httpSink) tellDropped() bool {
	if !s.counts.anyUntold() || !s.lastNotice.IsZero() && time.Since(s.lastNotice) < noticeEvery {
		return false
	}
	s.lastNotice = time.Now()
	s.queueNotice()
	return true
}

func (s *httpSink) queueNotice() {
	if untold := s.counts.tell(); len(untold) > 0 {
		e := droppedEvent(untold, time.Now(), s.hostname, s.format.ISOTime)
		s.notice = s.queue.add(AppendFalcoJSON(nil, &e, s.format))
	}
}

// droppedEvent tells how many alerts were dropped for which reason.
func droppedEvent(dropped map[string]uint64, now time.Time, hostname string, iso bool) event.Event {
	e := event.Event{
		UUID: uuid.NewString(), Priority: event.Warning, Rule: ruleDropped, Time: now,
		Source: internalSource, Hostname: hostname,
	}
	var total uint64
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(dropped)) {
		n := dropped[reason]
		total += n
		parts = append(parts, fmt.Sprintf("%s=%d", reason, n))
		e.Fields = append(e.Fields, event.Field{Name: "dropped." + reason, Value: event.NumberValue(strconv.FormatUint(n, 10))})
	}
	e.Fields = event.SortFields(append(e.Fields,
		event.Field{Name: "dropped.total", Value: event.NumberValue(strconv.FormatUint(total, 10))},
		event.Field{Name: "evt.time", Value: event.NumberValue(strconv.FormatInt(now.UnixNano(), 10))}))
	text := AppendPrefix(nil, now, e.Priority, iso)
	text = fmt.Appendf(text, "%s | total=%d %s", ruleDropped, total, strings.Join(parts, " "))
	e.Output = string(text)
	return e
}

// Close leaves what is queued, and what the forwarder still has to be told, in the spool.
func (s *httpSink) Close() error {
	s.poster.client.CloseIdleConnections()
	if s.queue.spool != nil {
		s.queueNotice()
	}
	return s.queue.close()
}

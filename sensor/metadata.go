package sensor

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/runtimes"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/rules"
)

// Containers are the settings about containers and pods.
type Containers struct {
	Engines runtimes.Config `key:"container_engines"`
	// A local runtime answers within some milliseconds; a second also covers one that is busy
	// starting containers, and delays an alert by less than anybody notices.
	MetadataTimeout time.Duration `key:"container_metadata_timeout" default:"1s" unit:"ms" doc:"How long an event of a container may wait until the container's runtime has told its name, image and pod. 0 means that it never waits."`
}

// maxMetadataTimeout keeps somebody's hours from making alerts useless.
const maxMetadataTimeout = time.Minute

// Validate reports what cannot work.
func (c Containers) Validate() error {
	if err := c.Engines.Validate(); err != nil {
		return config.At("container_engines", err)
	}
	if c.MetadataTimeout < 0 || c.MetadataTimeout > maxMetadataTimeout {
		return config.At("container_metadata_timeout", fmt.Errorf("must be from 0 to %v, not %v", maxMetadataTimeout, c.MetadataTimeout))
	}
	return nil
}

// Limits on the events that wait for their container's metadata.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 8 << 20
)

// absence says why an alert has no metadata of its container.
type absence string

// The absences. They are the values of the output field metadataField.
const (
	// present: it has, or there is no container.
	present absence = ""
	// timedOut: no runtime answered in time.
	timedOut absence = "timeout"
	// noRuntime: no runtime knows the container.
	noRuntime absence = "unknown"
	// tooMany: too many containers were asked for, or too many events waited.
	tooMany absence = "busy"
)

// metadataField is the output field of an alert that goes without what it should have said of
// its container. Falco has no such field; an alert that is whole does not have it either.
const metadataField = "container.metadata"

// mark adds to an alert why it lacks the metadata of its container.
func (a absence) mark(alert *event.Event) {
	if a != present {
		alert.Fields = event.SortFields(append(alert.Fields, event.Field{Name: metadataField, Value: event.StringValue(string(a))}))
	}
}

// metadata holds events of containers against the rules: at once where the container is
// known, otherwise as soon as its runtime has told of it, or has not told in time.
type metadata struct {
	resolver *container.Resolver
	watcher  *runtimes.Watcher
	source   *syscalls.Source
	timeout  time.Duration
	log      *slog.Logger
	// alert is called for each rule that an event matches, by one goroutine at a time.
	alert    func(m rules.Match, at time.Time, missing absence)
	alerting sync.Mutex

	mu sync.Mutex
	// queue has what waits, the oldest first; byContainer has it by the container's whole id.
	queue       list.List
	byContainer map[string][]*list.Element
	bytes       int
	closed      bool
	// wake tells Run that the queue is not empty any more.
	wake chan struct{}

	held, late, unknown, busy atomic.Uint64
}

// waiting is an event that waits.
type waiting struct {
	*rules.Suspended
	id       container.ID
	at       time.Time
	deadline time.Time
}

// metadataStats says how events fared that came before their container's metadata.
type metadataStats struct {
	// Waiting is how many events wait now.
	Waiting int
	// Held counts those that had to wait. TimedOut counts the alerts that went without for
	// lack of an answer in time, Unknown those of containers that no runtime knows, Busy those
	// that could not wait because too many did.
	Held, TimedOut, Unknown, Busy uint64
}

// newMetadata returns the metadata of the sensor's containers. resolver is also the source's.
func newMetadata(c Containers, log *slog.Logger, resolver *container.Resolver, source *syscalls.Source,
	alert func(rules.Match, time.Time, absence),
) *metadata {
	m := &metadata{
		resolver: resolver, source: source, timeout: c.MetadataTimeout, log: log, alert: alert,
		byContainer: make(map[string][]*list.Element), wake: make(chan struct{}, 1),
	}
	m.watcher = runtimes.New(c.Engines, runtimes.Options{Resolver: resolver, Log: log, Resolved: m.resolved})
	return m
}

// stats may be called while the sensor runs.
func (m *metadata) stats() metadataStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return metadataStats{m.queue.Len(), m.held.Load(), m.late.Load(), m.unknown.Load(), m.busy.Load()}
}

// evaluate holds an event that happened at the given time against the rules, now or in a
// moment. It never waits, and keeps nothing of the event.
func (m *metadata) evaluate(e *rules.Evaluator, ev *syscalls.Event, at time.Time) {
	id := ev.Proc.Container
	missing := present
	if m.resolver.Info(id) == nil {
		var done bool
		if done, missing = m.hold(e, ev, at); done {
			return
		}
	}
	for _, match := range e.Evaluate(ev) {
		m.emit(match, at, missing)
	}
}

// hold lets the event wait if it can; otherwise it says what the event has to go without.
func (m *metadata) hold(e *rules.Evaluator, ev *syscalls.Event, at time.Time) (done bool, missing absence) {
	id := ev.Proc.Container
	switch m.resolver.Want(id) {
	case container.Known, container.NobodyToAsk:
		return false, present
	case container.Refused:
		return false, noRuntime
	case container.Overloaded:
		return false, tooMany
	}
	if m.timeout <= 0 {
		return false, timedOut
	}
	s := e.Suspend(ev)
	if s == nil {
		return true, present
	}
	m.mu.Lock()
	if m.closed || m.queue.Len() >= maxWaiting || m.bytes+s.Size() > maxWaitingBytes {
		m.mu.Unlock()
		m.resume(&waiting{Suspended: s, id: id, at: at}, tooMany)
		return true, present
	}
	w := &waiting{Suspended: s, id: id, at: at, deadline: time.Now().Add(m.timeout)}
	m.byContainer[id.Full] = append(m.byContainer[id.Full], m.queue.PushBack(w))
	m.bytes += s.Size()
	m.held.Add(1)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	// The answer may have come while the event was put aside.
	if m.resolver.Info(id) != nil {
		m.resolved(id)
	}
	return true, present
}

// resolved lets go what has waited for a container.
func (m *metadata) resolved(id container.ID) {
	m.mu.Lock()
	elements := m.byContainer[id.Full]
	delete(m.byContainer, id.Full)
	ready := make([]*waiting, 0, len(elements))
	for _, el := range elements {
		w := m.queue.Remove(el).(*waiting)
		m.bytes -= w.Size()
		ready = append(ready, w)
	}
	m.mu.Unlock()
	for _, w := range ready {
		m.resume(w, noRuntime)
	}
}

// resume decides on an event; without is why it has no metadata in case it has none.
func (m *metadata) resume(w *waiting, without absence) {
	if m.resolver.Info(w.id) != nil {
		without = present
	}
	w.Resume(m.source.Late(w.id), func(match rules.Match) { m.emit(match, w.at, without) })
}

func (m *metadata) emit(match rules.Match, at time.Time, missing absence) {
	switch missing {
	case timedOut:
		m.late.Add(1)
	case noRuntime:
		m.unknown.Add(1)
	case tooMany:
		m.busy.Add(1)
	}
	m.alerting.Lock()
	defer m.alerting.Unlock()
	m.alert(match, at, missing)
}

// sayEvery is how often is logged that alerts went without metadata.
const sayEvery = time.Minute

// Run asks the runtimes and lets go what has waited too long, until ctx ends. Then nothing
// waits any more, and nothing will.
func (m *metadata) Run(ctx context.Context) error {
	var watcher sync.WaitGroup
	watcher.Go(func() { _ = m.watcher.Run(ctx) }) // ends with ctx, and fails in no other way
	defer watcher.Wait()
	m.letGo(ctx)
	return nil
}

// letGo lets go what has waited too long, until ctx ends.
func (m *metadata) letGo(ctx context.Context) {
	say := time.NewTicker(sayEvery)
	defer say.Stop()
	deadline := time.NewTimer(0)
	defer deadline.Stop()
	var said metadataStats
	for {
		select {
		case <-m.wake:
		case <-deadline.C:
		case <-say.C:
			said = m.say(said)
			continue
		case <-ctx.Done():
			m.expire(time.Time{})
			m.say(said)
			return
		}
		if next, ok := m.expire(time.Now()); ok {
			deadline.Reset(time.Until(next))
		}
	}
}

// expire lets go what has waited until now, everything for good when now is zero, and returns
// when the next is due.
func (m *metadata) expire(now time.Time) (next time.Time, more bool) {
	var due []*waiting
	m.mu.Lock()
	m.closed = m.closed || now.IsZero()
	for el := m.queue.Front(); el != nil; el = m.queue.Front() {
		w := el.Value.(*waiting)
		if !m.closed && w.deadline.After(now) {
			next, more = w.deadline, true
			break
		}
		m.queue.Remove(el)
		m.bytes -= w.Size()
		// What waits for a container is in the same order, so this is its first.
		if rest := m.byContainer[w.id.Full][1:]; len(rest) > 0 {
			m.byContainer[w.id.Full] = rest
		} else {
			delete(m.byContainer, w.id.Full)
		}
		due = append(due, w)
	}
	m.mu.Unlock()
	for _, w := range due {
		m.resume(w, timedOut)
	}
	return next, more
}

// say logs how many alerts went without since it last did.
func (m *metadata) say(before metadataStats) metadataStats {
	now := m.stats()
	lost := metadataStats{
		TimedOut: now.TimedOut - before.TimedOut, Unknown: now.Unknown - before.Unknown, Busy: now.Busy - before.Busy,
	}
	if cmp.Or(lost.TimedOut, lost.Unknown, lost.Busy) > 0 {
		m.log.Warn("alerts went without what is known of their container",
			"no_answer_in_time", lost.TimedOut, "no_runtime_knows_it", lost.Unknown, "too_many_at_once", lost.Busy)
	}
	return now
}

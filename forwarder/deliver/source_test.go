package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// memory is a Source in memory with the journal's rules: an event handed out and neither
// acknowledged nor given back comes again after AckWait, unless it is kept alive.
type memory struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	entries []*entry
	buried  []journal.DeadLetter
	fail    func() error // asked before each Fetch and Bury
	fetched int          // most events out at once
	deaf    bool         // words of progress don't get through
	flood   bool         // there are always more events, like the last
}

type entry struct {
	event    event.Event
	sequence uint64
	stored   time.Time
	replayed bool
	attempts int
	out      bool
	done     bool
	deadline time.Time
	wrong    []string // what the worker did that it must not do
}

func newMemory() *memory { return &memory{changed: make(chan struct{})} }

func (m *memory) append(events ...event.Event) { m.appendOld(0, events...) }

func (m *memory) appendOld(age time.Duration, events ...event.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		m.entries = append(m.entries, &entry{event: e, sequence: uint64(len(m.entries) + 1), stored: time.Now().Add(-age)})
	}
	m.signal()
}

// replay appends events that somebody asked for.
func (m *memory) replay(events ...event.Event) {
	m.append(events...)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries[len(m.entries)-len(events):] {
		e.replayed = true
	}
}

// flow makes the events never end.
func (m *memory) flow() {
	m.append(named(1, 1)...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flood = true
}

// mostOut returns how many events were handed out at once at most.
func (m *memory) mostOut() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fetched
}

func (m *memory) failWith(fail func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) signal() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) Fetch(ctx context.Context, limit, _ int, wait time.Duration) ([]journal.Delivery, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		m.mu.Lock()
		if m.fail != nil {
			if err := m.fail(); err != nil {
				m.mu.Unlock()
				return nil, err
			}
		}
		if m.flood {
			m.refill(limit)
		}
		ds, changed := m.next(limit), m.changed
		m.mu.Unlock()
		if len(ds) > 0 {
			return ds, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// refill appends as many events as are asked for, and forgets those that are done.
func (m *memory) refill(n int) {
	last := m.entries[len(m.entries)-1]
	m.entries = slices.DeleteFunc(m.entries, func(e *entry) bool { return e.done })
	for i := range n {
		m.entries = append(m.entries, &entry{event: last.event, sequence: last.sequence + uint64(i) + 1, stored: time.Now()})
	}
}

func (m *memory) next(limit int) (ds []journal.Delivery) {
	out := 0
	for _, e := range m.entries {
		if e.out && !e.done && time.Now().After(e.deadline) {
			e.out = false
			if !m.deaf {
				e.wrong = append(e.wrong, "was not kept alive")
			}
		}
		if e.out {
			out++
		}
		if e.done || e.out || len(ds) == limit {
			continue
		}
		e.out, e.deadline = true, time.Now().Add(journal.AckWait)
		e.attempts++
		ds = append(ds, journal.Delivery{
			Event: e.event, Sequence: e.sequence, Stored: e.stored, Attempt: e.attempts, Size: 1000, Replayed: e.replayed,
			Receipt: receipt{m, e},
		})
	}
	m.fetched = max(m.fetched, out+len(ds))
	return ds
}

func (m *memory) Bury(_ context.Context, d journal.DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return err
		}
	}
	m.buried = append(m.buried, d)
	return nil
}

type receipt struct {
	m *memory
	e *entry
}

func (r receipt) end(done bool) error {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.e.done || !r.e.out {
		r.e.wrong = append(r.e.wrong, "ended twice")
	}
	r.e.out, r.e.done = false, done
	r.m.signal()
	return nil
}

func (r receipt) Ack() error              { return r.end(true) }
func (r receipt) Nak(time.Duration) error { return r.end(false) }

func (r receipt) InProgress() error {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.m.deaf {
		return errDown
	}
	r.e.deadline = time.Now().Add(journal.AckWait)
	return nil
}

// check fails the test when the worker has broken a rule, or left an event out.
func (m *memory) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if len(e.wrong) > 0 {
			t.Errorf("event %d %s", e.sequence, e.wrong)
		}
		if e.out {
			t.Errorf("event %d was neither acknowledged nor given back", e.sequence)
		}
	}
}

// open lists the events that are not acknowledged.
func (m *memory) open() (sequences []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if !e.done {
			sequences = append(sequences, e.sequence)
		}
	}
	return sequences
}

// letters returns the texts of the buried events.
func (m *memory) letters() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.buried {
		all = append(all, d.Event.Output)
	}
	return all
}

// scripted is a Sender whose answers the test decides.
type scripted struct {
	answer func(ctx context.Context, call int, batch []event.Event) error

	mu       sync.Mutex
	calls    []call
	accepted []string
	running  int
	most     int
}

type call struct {
	at     time.Time
	events []string
}

var errDown = errors.New("connection refused")

func (s *scripted) Send(ctx context.Context, batch []event.Event) error {
	names := make([]string, len(batch))
	for i, e := range batch {
		names[i] = e.Output
	}
	s.mu.Lock()
	n := len(s.calls)
	s.calls = append(s.calls, call{time.Now(), names})
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	var err error
	if s.answer != nil {
		err = s.answer(ctx, n, batch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := failures(err, len(batch))
	for i, name := range names {
		if !failed[i] {
			s.accepted = append(s.accepted, name)
		}
	}
	return err
}

// made returns the calls there were.
func (s *scripted) made() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// mostAtOnce returns how many calls ran at once at most.
func (s *scripted) mostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// batches returns what each call carried.
func (s *scripted) batches() (all [][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		all = append(all, c.events)
	}
	return all
}

func (s *scripted) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted)
}

func named(from, to int) (events []event.Event) {
	for i := from; i <= to; i++ {
		events = append(events, event.Event{Output: fmt.Sprint("e", i), Rule: "r", Priority: event.Warning})
	}
	return events
}

func names(from, to int) (all []string) {
	for _, e := range named(from, to) {
		all = append(all, e.Output)
	}
	return all
}

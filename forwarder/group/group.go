// Package group keeps an output from waking anyone for nothing: it leaves out repetitions,
// gathers events that belong together into one message, and holds an output to a rate, with
// a digest of what it held back.
//
// It stands in deliver between the route and the attempts. A Stage is a plain state machine
// without goroutines or a clock of its own, used by one goroutine.
//
//	Add ─▶ de-duplicate ─▶ group ─▶ limit ─▶ ready
//	           │             │        │
//	           └─ repetition └─ group └─ digest: one Item for many deliveries
//
// Every delivery that is added leaves once: as a message of its own, covered by a summary,
// settled because only its count is still needed, or given back by Drain. What waits is not
// acknowledged, so that a crash brings it back; what is settled has been counted in a
// message to come, so that a crash costs that count and nothing else. The first event of a
// kind is never settled before somebody was told of it.
//
// Memory is bounded: an output holds at most 10 000 deliveries with 8 MiB of events, 1000
// groups, and 10 000 windows of de-duplication of which 1000 have repetitions. A window
// takes about 200 bytes, what is known of a message to come usually 3 KiB and never more
// than 16, and a group remembers up to 256 events in 8 KiB. Beyond a limit something is
// told early.
package group

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

const (
	// maxHeld is the most deliveries that wait, maxHeldBytes the most bytes of their events
	// as the journal stores them. One Add may go beyond it until it returns.
	maxHeld      = 10_000
	maxHeldBytes = 8 << 20
	// maxGroups and maxWindows are the most groups and windows of de-duplication,
	// maxRepeating the most windows that have something to tell.
	maxGroups    = 1000
	maxWindows   = 10_000
	maxRepeating = 1000
	// digestHeld is how many deliveries a digest keeps when there are too many; of the
	// others it keeps the count.
	digestHeld = 1000
	// maxStep is more than any of the settings' durations.
	maxStep = 2 * maxInterval
)

// Item is one message for an output.
type Item struct {
	// Event is what is sent: a delivery's own event, or the summary of several.
	Event event.Event
	// Covers are the deliveries that are dealt with once Event has been delivered, at least
	// one.
	Covers []journal.Delivery
}

// Stats are a Stage's figures.
type Stats struct {
	// Suppressed counts the events that got no message of their own, since the start.
	Suppressed uint64
	// Summaries counts the messages that stood for several events, since the start.
	Summaries uint64
	// Held is the number of deliveries that wait now.
	Held int
}

// Stage is the state of one output's grouping. Make one with New.
type Stage struct {
	output   string
	settings Settings
	seed     maphash.Seed
	dedup    *table // nil when off
	groups   *table // nil when off
	limit    limiter

	// clock is the time that has passed for the Stage. It stands still where the clock on
	// the wall goes back, so that no wait grows longer by it.
	clock time.Duration
	wall  time.Time // of the last call

	held, bytes int
	ready       []Item // of the call under way
	settled     []journal.Delivery

	suppressed, summaries atomic.Uint64
	heldNow               atomic.Int64
}

// New makes the Stage of the output called output.
func New(s Settings, output string) *Stage {
	stage := &Stage{output: output, settings: s, seed: maphash.MakeSeed()}
	stage.reset()
	return stage
}

func (s *Stage) reset() {
	s.held, s.bytes = 0, 0
	s.dedup, s.groups = nil, nil
	if w := s.settings.DedupWindow; w > 0 {
		s.dedup = newTable(maxWindows, w)
	}
	if len(s.settings.GroupBy) > 0 {
		s.groups = newTable(maxGroups, max(s.settings.GroupInterval, s.settings.RepeatInterval))
	}
	s.limit = limiter{RateLimit: s.settings.RateLimit}
}

// Add takes deliveries in hand. It returns the messages to send now, and the deliveries
// that need no message any more and are to be acknowledged. Replayed deliveries and test
// events come back at once.
func (s *Stage) Add(now time.Time, ds []journal.Delivery) (ready []Item, settled []journal.Delivery) {
	s.advance(now)
	s.fireDue()
	for _, d := range ds {
		s.take(d)
	}
	s.fireDue()
	s.relieve()
	return s.result()
}

// Due returns the messages whose time has come.
func (s *Stage) Due(now time.Time) (ready []Item, settled []journal.Delivery) {
	s.advance(now)
	s.fireDue()
	return s.result()
}

// Next returns when Due will have something; zero when only Add can bring anything.
func (s *Stage) Next() time.Time {
	next, found := s.limit.due()
	for _, t := range []*table{s.dedup, s.groups} {
		if at, ok := t.due(); ok && (!found || at < next) {
			next, found = at, true
		}
	}
	if !found {
		return time.Time{}
	}
	return s.wall.Add(max(next-s.clock, 0))
}

// Held returns how many deliveries wait in the Stage. It may be called at any time.
func (s *Stage) Held() int { return int(s.heldNow.Load()) }

// Stats returns the figures. It may be called at any time.
func (s *Stage) Stats() Stats {
	return Stats{Suppressed: s.suppressed.Load(), Summaries: s.summaries.Load(), Held: s.Held()}
}

// Drain gives back all deliveries that wait, in the journal's order, because the output
// stops; the Stage is empty afterwards and knows nothing of what it has told.
func (s *Stage) Drain() []journal.Delivery {
	var all []journal.Delivery
	for _, t := range []*table{s.dedup, s.groups} {
		if t == nil {
			continue
		}
		for _, e := range t.agenda {
			all = append(all, e.fresh.deliveries()...)
			all = append(all, e.again.deliveries()...)
		}
	}
	all = append(all, s.limit.digest.deliveries()...)
	s.reset()
	s.heldNow.Store(0)
	slices.SortFunc(all, func(a, b journal.Delivery) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all
}

// advance lets the time pass up to now.
func (s *Stage) advance(now time.Time) {
	if !s.wall.IsZero() {
		s.clock += min(max(now.Sub(s.wall), 0), maxStep)
	}
	s.wall = now
}

// result returns what the call under way has brought about.
func (s *Stage) result() (ready []Item, settled []journal.Delivery) {
	ready, settled = s.ready, s.settled
	s.ready, s.settled = nil, nil
	s.heldNow.Store(int64(s.held))
	return ready, settled
}

// take decides what becomes of d.
func (s *Stage) take(d journal.Delivery) {
	if d.Replayed || route.IsTest(&d.Event) {
		s.ready = append(s.ready, Item{d.Event, []journal.Delivery{d}})
		return
	}
	if s.dedup != nil && s.repeats(d) {
		return
	}
	if s.groups != nil {
		s.gather(d)
		return
	}
	if s.limit.admits(s.clock, d.Event.Priority) {
		s.ready = append(s.ready, Item{d.Event, []journal.Delivery{d}})
		return
	}
	s.limit.digest = s.join(s.limit.digest, kindDigest, d)
}

// repeats reports whether d says again what was told within the window, and deals with it
// then.
func (s *Stage) repeats(d journal.Delivery) bool {
	t := s.dedup
	id := s.identity(s.settings.DedupBy, &d.Event)
	e := t.find(id, s.clock)
	if e == nil {
		e = s.enter(t, id)
		e.messages, e.sent = 1, s.clock
		t.rest(e)
		return false
	}
	if !s.settings.DedupSummary {
		s.settle(d)
		return true
	}
	if e.again == nil {
		e.key = keyOf(&d.Event, s.settings.DedupBy)
	}
	s.again(e, d)
	t.schedule(e, e.sent+s.settings.DedupWindow)
	if len(t.agenda) > maxRepeating {
		s.fire(t, t.agenda[0])
	}
	return true
}

// gather puts d into its group.
func (s *Stage) gather(d journal.Delivery) {
	t := s.groups
	hash := s.identity(s.settings.GroupBy, &d.Event)
	e := t.find(hash, s.clock)
	if e == nil {
		e = s.enter(t, hash)
		e.key = keyOf(&d.Event, s.settings.GroupBy)
	}
	if s.settings.RepeatInterval > 0 && e.told(s.identity(s.settings.DedupBy, &d.Event)) {
		s.again(e, d)
	} else {
		if e.fresh == nil {
			e.freshAt = s.clock
		}
		e.fresh = s.join(e.fresh, kindGroup, d)
	}
	t.schedule(e, s.groupDue(e))
}

// groupDue returns when a group with something to tell tells it.
func (s *Stage) groupDue(e *entry) time.Duration {
	repeat := e.sent + s.settings.RepeatInterval
	if e.fresh == nil {
		return repeat
	}
	fresh := e.freshAt + s.settings.GroupWait
	if e.messages > 0 {
		fresh = max(fresh, e.sent+s.settings.GroupInterval)
	}
	if e.again == nil {
		return fresh
	}
	return min(fresh, repeat)
}

// enter makes room in t for a new entry and adds it. Something that has nothing to tell is
// forgotten before something is told early.
func (s *Stage) enter(t *table, hash uint64) *entry {
	for len(t.entries) >= t.most && !t.forgetOldest() {
		s.fire(t, t.agenda[0])
	}
	t.made++
	e := &entry{hash: hash, number: t.made, place: -1}
	t.entries[hash] = e
	return e
}

// fireDue tells what is due.
func (s *Stage) fireDue() {
	for _, t := range []*table{s.dedup, s.groups} {
		for {
			if at, ok := t.due(); !ok || at > s.clock {
				break
			}
			s.fire(t, t.agenda[0])
		}
	}
	if digest := s.limit.roll(s.clock); digest != nil {
		s.emit(digest)
	}
}

// fire tells all that e has to tell, and lets it rest.
func (s *Stage) fire(t *table, e *entry) {
	b := e.fresh
	switch {
	case b == nil:
		b = e.again
	case e.again != nil:
		b.repeats = e.again.count
		b.absorb(e.again)
	}
	b.key = e.key
	e.fresh, e.again = nil, nil
	e.messages++
	e.sent = s.clock
	t.rest(e)
	if digest := s.limit.roll(s.clock); digest != nil {
		s.emit(digest)
	}
	if s.limit.admits(s.clock, b.priority()) {
		s.emit(b)
		return
	}
	if s.limit.digest == nil {
		s.limit.digest = &bundle{kind: kindDigest}
	}
	s.limit.digest.absorb(b)
}

// join puts d into b, which it makes if need be.
func (s *Stage) join(b *bundle, kind string, d journal.Delivery) *bundle {
	if b == nil {
		b = &bundle{kind: kind}
	}
	b.add(d)
	s.held++
	s.bytes += weight(&d)
	return b
}

// again counts a repetition. One delivery stands for all repetitions until they are told;
// it is the newest, so that the output doesn't look as if it were far behind.
func (s *Stage) again(e *entry, d journal.Delivery) {
	e.again = s.join(e.again, kindRepetition, d)
	if last := len(e.again.covers) - 1; last > 0 {
		covers := e.again.covers
		covers[0], covers[last] = covers[last], covers[0]
		s.shorten(e.again, 1)
	}
}

// shorten settles all but the first n deliveries of b, which still counts them.
func (s *Stage) shorten(b *bundle, n int) {
	for _, d := range b.covers[n:] {
		s.held--
		s.bytes -= weight(&d)
		b.bytes -= weight(&d)
		s.settle(d)
	}
	clear(b.covers[n:])
	b.covers = b.covers[:n]
}

// settle has d acknowledged without a message of its own.
func (s *Stage) settle(d journal.Delivery) {
	s.settled = append(s.settled, d)
	s.suppressed.Add(1)
}

// emit hands b over to be sent.
func (s *Stage) emit(b *bundle) {
	s.held -= len(b.covers)
	s.bytes -= b.bytes
	if b.facts != nil {
		s.summaries.Add(1)
		s.suppressed.Add(uint64(len(b.covers)))
	}
	s.ready = append(s.ready, Item{b.event(s.output), b.covers})
}

// relieve tells early what waits until it is within the limits again. What the rate limit
// holds back isn't told early, or it would be no limit; it gives up deliveries and keeps
// their count.
func (s *Stage) relieve() {
	for s.held > maxHeld || s.bytes > maxHeldBytes {
		digest := s.limit.digest.deliveries()
		switch {
		case len(digest) > digestHeld:
			s.shorten(s.limit.digest, digestHeld)
		case s.fireLargest(s.groups), s.fireFirst(s.dedup):
		case len(digest) > 1:
			s.shorten(s.limit.digest, 1)
		default:
			return
		}
	}
}

// fireLargest tells what takes most, and reports whether there was anything.
func (s *Stage) fireLargest(t *table) bool {
	if t == nil || len(t.agenda) == 0 {
		return false
	}
	s.fire(t, slices.MaxFunc(t.agenda, func(a, b *entry) int { return cmp.Compare(a.bytes(), b.bytes()) }))
	return true
}

// fireFirst tells what would be told next, and reports whether there was anything.
func (s *Stage) fireFirst(t *table) bool {
	if t == nil || len(t.agenda) == 0 {
		return false
	}
	s.fire(t, t.agenda[0])
	return true
}

// weight is about what a delivery takes while it waits. The journal may not know its size.
func weight(d *journal.Delivery) int { return max(d.Size, 256) }

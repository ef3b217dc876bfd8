package silence

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/saker-security/saker/event"
)

// An entry is a silence as the Book keeps it.
type entry struct {
	Silence
	matchers []matcher
	// heldBack counts the notifications that it held back; it outlives changes of the
	// silence.
	heldBack *atomic.Uint64
}

func (s *entry) matches(e *event.Event, now time.Time) bool {
	if now.Before(s.StartsAt) || !now.Before(s.EndsAt) {
		return false
	}
	for i := range s.matchers {
		if !s.matchers[i].matches(e) {
			return false
		}
	}
	return true
}

// A snapshot is a set of silences that doesn't change any more, arranged so that an event
// is compared with few of them: one that asks a part of the event to equal a value is found
// by that value.
type snapshot struct {
	// indexes are sorted by part and name.
	indexes []index
	// others have no matcher with = and a value.
	others []*entry
}

// An index finds silences by the value of one part of the event.
type index struct {
	by     matcher
	values map[string][]*entry
}

// newSnapshot arranges the silences that have not expired at the time now; nil if there are
// none. Of several that match, the one that ends last is found first.
func newSnapshot(all map[string]*entry, now time.Time) *snapshot {
	var live []*entry
	for _, s := range all {
		if s.State(now) != Expired {
			live = append(live, s)
		}
	}
	if len(live) == 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b *entry) int {
		return cmp.Or(b.EndsAt.Compare(a.EndsAt), cmp.Compare(a.ID, b.ID))
	})
	n := &snapshot{}
	for _, s := range live {
		by, ok := s.selective()
		if !ok {
			n.others = append(n.others, s)
			continue
		}
		i := slices.IndexFunc(n.indexes, func(x index) bool { return x.by.part == by.part && x.by.name == by.name })
		if i < 0 {
			i = len(n.indexes)
			n.indexes = append(n.indexes, index{by, map[string][]*entry{}})
		}
		n.indexes[i].values[by.value] = append(n.indexes[i].values[by.value], s)
	}
	slices.SortFunc(n.indexes, func(a, b index) int {
		return cmp.Or(cmp.Compare(a.by.part, b.by.part), cmp.Compare(a.by.name, b.by.name))
	})
	return n
}

// selective returns the matcher with = that most likely tells events apart.
func (s *entry) selective() (matcher, bool) {
	var best matcher
	found := false
	for _, m := range s.matchers {
		if m.pattern == nil && !m.negated && m.value != "" && (!found || m.part < best.part) {
			best, found = m, true
		}
	}
	return best, found
}

// find returns the silence that holds e back at the time now, nil if there is none.
func (n *snapshot) find(e *event.Event, now time.Time) *entry {
	if n == nil {
		return nil
	}
	for i := range n.indexes {
		x := &n.indexes[i]
		if x.by.part != tagPart {
			if s := first(x.values[x.by.of(e)], e, now); s != nil {
				return s
			}
			continue
		}
		for _, tag := range e.Tags {
			if s := first(x.values[tag], e, now); s != nil {
				return s
			}
		}
	}
	return first(n.others, e, now)
}

func first(candidates []*entry, e *event.Event, now time.Time) *entry {
	for _, s := range candidates {
		if s.matches(e, now) {
			return s
		}
	}
	return nil
}

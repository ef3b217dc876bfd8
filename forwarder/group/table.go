package group

import (
	"container/heap"
	"container/list"
	"time"
)

// maxKnown is how many of the events it has told a group remembers. Beyond it the group
// begins anew, and tells once more what it has told.
const maxKnown = 256

// entry is a group, or a window of de-duplication: a group whose first event was told at
// once, so that all others repeat it.
type entry struct {
	hash   uint64
	number uint64 // of all entries of the table, in their order
	key    key
	// fresh waits to be told, since freshAt; again has been told before.
	fresh, again *bundle
	freshAt      time.Duration
	// messages counts what was told; sent is when the last of it was.
	messages int
	sent     time.Duration
	// known are the identities of what was gathered, each with the number of messages there
	// were then.
	known map[uint64]int

	// An entry that has something to tell is in the agenda, at place; another one rests.
	due   time.Duration
	place int // -1 outside the agenda
	rests *list.Element
}

// told reports whether the group has told an event of this identity, and remembers it
// otherwise.
func (e *entry) told(id uint64) bool {
	message, known := e.known[id]
	switch {
	case known:
		return message < e.messages
	case e.known == nil:
		e.known = map[uint64]int{}
	case len(e.known) >= maxKnown:
		clear(e.known)
	}
	e.known[id] = e.messages
	return false
}

// bytes is about what the deliveries take that wait in e.
func (e *entry) bytes() (n int) {
	for _, b := range []*bundle{e.fresh, e.again} {
		if b != nil {
			n += b.bytes
		}
	}
	return n
}

// table holds entries by their hashes. A nil table has nothing due.
type table struct {
	most    int
	made    uint64
	keep    time.Duration // how long an entry that rests is remembered after its last message
	entries map[uint64]*entry
	agenda  agenda
	resting list.List // the one whose last message is the oldest first
}

func newTable(most int, keep time.Duration) *table {
	return &table{most: most, keep: keep, entries: map[uint64]*entry{}}
}

// find returns the entry of hash; nil if there is none or its time is over.
func (t *table) find(hash uint64, clock time.Duration) *entry {
	for front := t.resting.Front(); front != nil; front = t.resting.Front() {
		if e := front.Value.(*entry); clock < e.sent+t.keep {
			break
		}
		t.forgetOldest()
	}
	return t.entries[hash]
}

// due returns when the first entry of the agenda is due.
func (t *table) due() (time.Duration, bool) {
	if t == nil || len(t.agenda) == 0 {
		return 0, false
	}
	return t.agenda[0].due, true
}

// schedule puts e, which has something to tell, at its place of the agenda.
func (t *table) schedule(e *entry, due time.Duration) {
	if e.rests != nil {
		t.resting.Remove(e.rests)
		e.rests = nil
	}
	switch {
	case e.place < 0:
		e.due = due
		heap.Push(&t.agenda, e)
	case e.due != due:
		e.due = due
		heap.Fix(&t.agenda, e.place)
	}
}

// rest takes e, whose last message is the newest of all, out of the agenda.
func (t *table) rest(e *entry) {
	if e.place >= 0 {
		heap.Remove(&t.agenda, e.place)
	}
	e.rests = t.resting.PushBack(e)
}

// forgetOldest forgets the entry that has rested longest, and reports whether there was one.
func (t *table) forgetOldest() bool {
	front := t.resting.Front()
	if front == nil {
		return false
	}
	e := t.resting.Remove(front).(*entry)
	delete(t.entries, e.hash)
	return true
}

// agenda is a heap of the entries that have something to tell.
type agenda []*entry

func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	if a[i].due == a[j].due {
		return a[i].number < a[j].number
	}
	return a[i].due < a[j].due
}

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push implements heap.Interface.
func (a *agenda) Push(x any) {
	e := x.(*entry)
	e.place = len(*a)
	*a = append(*a, e)
}

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	e.place = -1
	return e
}

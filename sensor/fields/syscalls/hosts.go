package syscalls

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of Hosts.
const (
	hostLimit    = 1024 // names
	addressLimit = 256  // addresses of a name
	lookupLimit  = 8    // lookups at once
)

// When a name is looked up again: after a time that doubles from the first to the second,
// and no more once nobody asked for the third.
const (
	refreshFirst = 10 * time.Second
	refreshLast  = 320 * time.Second
	idleAfter    = time.Hour
	lookupTime   = 10 * time.Second
)

// Hosts knows the addresses of the host names that conditions hold. It looks them up in the
// background, and does nothing while no rule names a host or no event asks.
type Hosts struct {
	// Lookup returns a name's addresses. Default: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu     sync.RWMutex
	byName map[string]*hostEntry
	wake   chan struct{}
	once   sync.Once
}

// hostEntry is one name. Its addresses are replaced, never changed.
type hostEntry struct {
	name      string
	addresses atomic.Pointer[[]netip.Addr]
	asked     atomic.Int64 // when an event last asked, in nanoseconds since the epoch

	// Run's alone:
	next  time.Time
	pause time.Duration
	idle  bool
}

func (h *Hosts) init() {
	h.once.Do(func() {
		h.byName = make(map[string]*hostEntry)
		h.wake = make(chan struct{}, 1)
		if h.Lookup == nil {
			h.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
				return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			}
		}
	})
}

// Watch has host looked up from now on and returns the test whether an address is one of its
// own. The test is false until the first answer, and for names beyond the first 1024. A
// literal address is its own name.
func (h *Hosts) Watch(host string) func(netip.Addr) bool {
	if literal, err := netip.ParseAddr(host); err == nil {
		literal = literal.Unmap()
		return func(a netip.Addr) bool { return a.Unmap() == literal }
	}
	h.init()
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byName[host]
	if e == nil {
		if len(h.byName) >= hostLimit {
			return func(netip.Addr) bool { return false }
		}
		e = &hostEntry{name: host}
		e.asked.Store(time.Now().UnixNano())
		h.byName[host] = e
		h.rouse()
	}
	return func(a netip.Addr) bool { return h.has(e, a.Unmap()) }
}

func (h *Hosts) has(e *hostEntry, a netip.Addr) bool {
	now := time.Now().UnixNano()
	if last := e.asked.Swap(now); now-last > int64(idleAfter) {
		h.rouse()
	}
	addresses := e.addresses.Load()
	return addresses != nil && slices.Contains(*addresses, a)
}

// NameOf returns the first name in alphabetical order that has the address, empty if none
// has. A nil Hosts knows none.
func (h *Hosts) NameOf(a netip.Addr) string {
	if h == nil {
		return ""
	}
	h.init()
	a = a.Unmap()
	h.mu.RLock()
	defer h.mu.RUnlock()
	found := ""
	for name, e := range h.byName {
		if found != "" && name > found {
			continue
		}
		if addresses := e.addresses.Load(); addresses != nil && slices.Contains(*addresses, a) {
			found = name
		}
	}
	return found
}

func (h *Hosts) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run looks names up until ctx ends.
func (h *Hosts) Run(ctx context.Context) error {
	h.init()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-h.wake:
		}
		timer.Reset(h.refresh(ctx))
	}
}

// refresh looks up all names whose time has come and returns when the next one's comes.
func (h *Hosts) refresh(ctx context.Context) time.Duration {
	now := time.Now()
	var due []*hostEntry
	h.mu.RLock()
	for _, e := range h.byName {
		if e.due(now) {
			due = append(due, e)
		}
	}
	h.mu.RUnlock()

	var wg sync.WaitGroup
	slots := make(chan struct{}, lookupLimit)
	for _, e := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			h.lookup(ctx, e)
		})
	}
	wg.Wait()

	next := idleAfter
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, e := range h.byName {
		if !e.idle {
			next = min(next, max(0, time.Until(e.next)))
		}
	}
	return next
}

// due says whether the name is to be looked up now. One that nobody asks for is forgotten
// until somebody does.
func (e *hostEntry) due(now time.Time) bool {
	if now.Sub(time.Unix(0, e.asked.Load())) > idleAfter {
		e.idle, e.pause, e.next = true, 0, time.Time{}
		e.addresses.Store(nil)
		return false
	}
	e.idle = false
	return !now.Before(e.next)
}

// lookup replaces the addresses; after an error the last ones stay.
func (h *Hosts) lookup(ctx context.Context, e *hostEntry) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addresses, err := h.Lookup(ctx, e.name)
	e.pause = max(refreshFirst, min(e.pause*2, refreshLast))
	if known := e.addresses.Load(); err == nil && (known == nil || !same(*known, addresses)) {
		e.pause = refreshFirst
		list := make([]netip.Addr, 0, min(len(addresses), addressLimit))
		for _, a := range addresses[:cap(list)] {
			list = append(list, a.Unmap())
		}
		e.addresses.Store(&list)
	}
	e.next = time.Now().Add(e.pause)
}

func same(known, found []netip.Addr) bool {
	if len(known) != min(len(found), addressLimit) {
		return false
	}
	for _, a := range found {
		if !slices.Contains(known, a.Unmap()) {
			return false
		}
	}
	return true
}

package container

import (
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Limits on what a Resolver keeps.
const (
	// DefaultLimit is the number of containers a Resolver remembers unless told otherwise. A
	// node runs at most a few hundred pods; the rest is room for containers that come and go.
	DefaultLimit = 4096
	// MaxBytes is how much memory what is known of containers may take.
	MaxBytes = 16 << 20
	// MaxPending is how many containers can be asked for at once.
	MaxPending = 1024
	// unknownFor is how long a container that no runtime knows is not asked for again.
	unknownFor = 10 * time.Second
)

// Resolver keeps what is known of the containers seen last, and a queue of those to ask for.
// Its methods may be called from several goroutines and never block: rules read it while
// whoever talks to the runtimes fills it.
type Resolver struct {
	cache   *lru.Cache[string, *Info]
	evicted atomic.Uint64
	bytes   atomic.Int64
	storing sync.Mutex

	mu sync.Mutex
	// asked says that somebody takes what is wanted.
	asked   bool
	wanted  chan ID
	pending map[string]struct{}
	// unknown are the containers that no runtime knew, with the end of that verdict.
	unknown *lru.Cache[string, time.Time]
	notify  func(ID)
}

// NewResolver returns a Resolver that remembers at most limit containers, DefaultLimit when
// limit is not positive.
func NewResolver(limit int) *Resolver {
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := &Resolver{wanted: make(chan ID, MaxPending), pending: make(map[string]struct{})}
	var err error
	r.cache, err = lru.NewWithEvict(limit, func(_ string, i *Info) {
		r.evicted.Add(1)
		r.bytes.Add(-int64(i.size()))
	})
	if err == nil {
		r.unknown, err = lru.New[string, time.Time](limit)
	}
	if err != nil {
		panic(err) // only a limit that is not positive is refused
	}
	return r
}

// Info returns what is known of id, nil while nothing is. For the host it is always known.
// A nil Resolver knows the host only.
func (r *Resolver) Info(id ID) *Info {
	if id.Host() {
		return &host
	}
	if r == nil {
		return nil
	}
	info, _ := r.cache.Get(id.Full)
	return info
}

// Asked says what came of asking for a container.
type Asked uint8

// What may come of it.
const (
	// Known: there is nothing to ask.
	Known Asked = iota
	// Pending: a Store or a Fail of the container will follow.
	Pending
	// NobodyToAsk: no runtime is asked about containers of that engine.
	NobodyToAsk
	// Refused: no runtime knew the container moments ago.
	Refused
	// Overloaded: too many containers are asked for at once.
	Overloaded
)

// Want asks for a container that is not known, unless it is asked for already.
func (r *Resolver) Want(id ID) Asked {
	switch {
	case id.Host():
		return Known
	case r == nil || !id.Engine.hasRuntime():
		return NobodyToAsk
	case r.cache.Contains(id.Full):
		return Known
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		return NobodyToAsk
	}
	if _, waiting := r.pending[id.Full]; waiting {
		return Pending
	}
	if until, failed := r.unknown.Get(id.Full); failed && time.Now().Before(until) {
		return Refused
	}
	if len(r.pending) >= MaxPending {
		return Overloaded
	}
	select {
	case r.wanted <- id:
		r.pending[id.Full] = struct{}{}
		return Pending
	default:
		// Some were answered by an event of their runtime and have not been taken yet.
		return Overloaded
	}
}

// hasRuntime says that somebody can be asked about the engine's containers.
func (e Engine) hasRuntime() bool {
	switch e {
	case Podman, Docker, CRI, CRIO, Containerd:
		return true
	}
	return false
}

// Serve begins to collect what is wanted and returns where it comes out. Everything that is
// taken from there is answered with Store or Fail. notify, if any, is called after each Store
// and Fail of a container that was wanted. Close ends it.
func (r *Resolver) Serve(notify func(ID)) <-chan ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.notify = true, notify
	return r.wanted
}

// Close gives up on everything that is wanted: nobody answers any more.
func (r *Resolver) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.notify = false, nil
	for len(r.wanted) > 0 {
		<-r.wanted
	}
	clear(r.pending)
}

// Store remembers info under its id, in place of what was known before. The host's is not
// replaced.
func (r *Resolver) Store(info *Info) {
	if info.ID.Host() {
		return
	}
	r.put(info)
	r.answered(info.ID, false)
}

func (r *Resolver) put(info *Info) {
	r.storing.Lock()
	defer r.storing.Unlock()
	if before, ok := r.cache.Peek(info.ID.Full); ok {
		// Adding over an entry evicts nothing, so its size is taken off here.
		r.bytes.Add(-int64(before.size()))
	}
	r.bytes.Add(int64(info.size()))
	r.cache.Add(info.ID.Full, info)
	for r.bytes.Load() > MaxBytes && r.cache.Len() > 1 {
		r.cache.RemoveOldest()
	}
}

// Fail says that no runtime knows the container.
func (r *Resolver) Fail(id ID) { r.answered(id, true) }

func (r *Resolver) answered(id ID, failed bool) {
	r.mu.Lock()
	_, waiting := r.pending[id.Full]
	delete(r.pending, id.Full)
	if failed {
		r.unknown.Add(id.Full, time.Now().Add(unknownFor))
	} else {
		r.unknown.Remove(id.Full)
	}
	notify := r.notify
	r.mu.Unlock()
	if waiting && notify != nil {
		notify(id)
	}
}

// Forget drops the container with the given whole id, which has been removed.
func (r *Resolver) Forget(id string) {
	r.storing.Lock()
	defer r.storing.Unlock()
	r.cache.Remove(id)
}

// Len returns how many containers are known.
func (r *Resolver) Len() int { return r.cache.Len() }

// Bytes returns how much memory what is known takes.
func (r *Resolver) Bytes() int { return int(r.bytes.Load()) }

// Evicted returns how many containers had to make room for others or were removed.
func (r *Resolver) Evicted() uint64 { return r.evicted.Load() }

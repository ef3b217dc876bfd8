package embedded

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/forwarder/journal"
)

// diskCheckInterval is how long the answer about free space holds. In that time even a
// fast disk takes far less than the default reserve.
const diskCheckInterval = 100 * time.Millisecond

// diskGuard refuses appends while the disk has less than reserve bytes free. The log's own
// answer to a full disk is to stop for good, and cursors couldn't move any more either.
type diskGuard struct {
	dir     string
	reserve int64
	log     *slog.Logger

	mu     sync.Mutex
	last   time.Time
	err    error
	told   bool // that appends are refused
	toldAt time.Time
}

// diskLogInterval is how often at most a full disk is logged, so that one on the brink
// doesn't fill the log.
const diskLogInterval = time.Minute

// check returns nil, or an error that is journal.ErrFull or journal.ErrUnavailable.
func (g *diskGuard) check(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.last.IsZero() && now.Sub(g.last) < diskCheckInterval {
		return g.err
	}
	g.last, g.err = now, nil
	free, err := freeBytes(g.dir)
	switch {
	case err != nil:
		g.err = journal.Unavailable(err)
	case free < g.reserve:
		g.err = fmt.Errorf("%w: %d MiB are free and %d MiB are reserved", journal.ErrFull, free>>20, g.reserve>>20)
	}
	g.tell(now)
	return g.err
}

// tell logs that appends are refused, and that they no longer are.
func (g *diskGuard) tell(now time.Time) {
	switch {
	case g.err != nil && !g.told && (g.toldAt.IsZero() || now.Sub(g.toldAt) >= diskLogInterval):
		g.told, g.toldAt = true, now
		g.log.Error("senders are asked to come back later", "error", g.err)
	case g.err == nil && g.told:
		g.told = false
		g.log.Info("the journal's disk has room again")
	}
}

// freeBytes returns how much the disk that dir is on can still take.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask for the free space of %q: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

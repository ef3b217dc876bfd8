package group

import (
	"time"

	"github.com/saker-security/saker/event"
)

// limiter counts an output's messages in periods of a fixed length. The digest of what it
// held back counts as the first message of the next period, so that no period has more than
// the limit.
type limiter struct {
	RateLimit
	end    time.Duration // of the period
	used   int
	digest *bundle // nil when nothing was held back
}

// admits reports whether a message of priority p may go now, and counts it then.
func (l *limiter) admits(clock time.Duration, p event.Priority) bool {
	if l.Events == 0 || l.Except != event.None && p >= l.Except {
		return true
	}
	if clock >= l.end && l.digest == nil {
		l.end, l.used = clock+l.Per, 0
	}
	if l.used >= l.Events {
		return false
	}
	l.used++
	return true
}

// roll returns the digest of a period that is over, if there is one, and begins the next.
func (l *limiter) roll(clock time.Duration) *bundle {
	digest := l.digest
	if digest == nil || clock < l.end {
		return nil
	}
	l.digest, l.end, l.used = nil, clock+l.Per, 1
	return digest
}

// due returns when the digest is due.
func (l *limiter) due() (time.Duration, bool) { return l.end, l.digest != nil }

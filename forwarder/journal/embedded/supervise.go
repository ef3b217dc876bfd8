package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// The pauses between attempts to open failed storage again.
const (
	minReopenPause = time.Second
	maxReopenPause = 30 * time.Second
	// reconnectTimeout is how long the connection may take until it has found the server
	// that was started.
	reconnectTimeout = 3 * time.Second
)

// suspect tells the supervisor that the storage failed with err. Nothing is written from
// then on until it works again.
func (j *Journal) suspect(err error) {
	j.link.Store(nil)
	j.setFault(err)
	select {
	case j.broken <- err:
	default: // it already knows
	}
}

func (j *Journal) setFault(err error) { j.fault.Store(&err) }

// unavailable is why nothing can be stored now.
func (j *Journal) unavailable() error {
	if err := j.fault.Load(); err != nil {
		return *err
	}
	return journal.ErrUnavailable
}

// supervise opens the storage again after it has failed. The log stops writing for good at
// the first error of the disk, even when that error passes, so only a restart of the
// server inside helps.
func (j *Journal) supervise() {
	var told time.Time
	for {
		select {
		case <-j.closing:
			return
		case err := <-j.broken:
			news := time.Since(told) >= diskLogInterval
			if news {
				told = time.Now()
				j.log.Error("the journal's storage fails: senders are asked to come back later", "error", err)
			}
			if !j.reopen() {
				return
			}
			if news {
				j.log.Info("the journal's storage works again")
			}
		}
	}
}

// reopen restarts the server until it works; false if the journal is closed before.
func (j *Journal) reopen() bool {
	var told time.Time
	for pause := minReopenPause; ; pause = min(2*pause, maxReopenPause) {
		err := j.disk.check(time.Now())
		if err == nil {
			err = j.restart()
		}
		if err == nil {
			return true
		}
		j.setFault(err)
		if time.Since(told) >= diskLogInterval {
			told = time.Now()
			j.log.Warn("the journal's storage doesn't open", "error", err, "again_in", pause)
		}
		select {
		case <-j.closing:
			return false
		case <-time.After(pause):
		}
	}
}

// restart starts the server anew and finds out what is in the log.
func (j *Journal) restart() error {
	j.broker.stop() // ends a write that is under way
	j.storing.Lock()
	defer j.storing.Unlock()
	if err := j.broker.start(); err != nil {
		return journal.Unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	if err := j.reconnect(ctx); err != nil {
		return journal.Unavailable(fmt.Errorf("ask the restarted log: %w", err))
	}
	l, err := newLink(j.broker)
	if err != nil {
		return journal.Unavailable(err)
	}
	if err := j.catchUp(ctx, l); err != nil {
		l.close()
		return journal.Unavailable(fmt.Errorf("ask the restarted log: %w", err))
	}
	select {
	case <-j.broken: //nolint:errcheck // what failed before the restart is over
	default:
	}
	j.fault.Store(nil)
	j.link.Store(l)
	return nil
}

// reconnect waits until the connection for all but the log has found the new server, and
// asks for the streams over it. What is asked before is lost with the old server.
func (j *Journal) reconnect(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, reconnectTimeout)
	defer cancel()
	for j.conn.FlushTimeout(4*reconnectWait) != nil {
		select {
		case <-time.After(reconnectWait):
		case <-waiting.Done():
			return waiting.Err()
		case <-j.closing:
			return journal.ErrClosed
		}
	}
	return j.createStreams(ctx)
}

// catchUp makes known what the log holds behind the last chunk we know of. Where it holds
// less, because its end was damaged, what is in memory is still delivered, and the numbers
// go on where they were.
func (j *Journal) catchUp(ctx context.Context, l *link) error {
	last, err := l.getLast(ctx)
	if errors.Is(err, errNothing) {
		j.head.goOn(0)
		return nil
	}
	if err != nil {
		return err
	}
	_, message, _ := j.head.state()
	if last.message < message {
		j.head.goOn(last.message)
		return nil
	}
	for next := message + 1; next <= last.message; next++ {
		c, err := l.get(ctx, next)
		if errors.Is(err, errNothing) {
			return nil
		}
		if err != nil {
			return err
		}
		j.found(c)
		next = c.message
	}
	return nil
}

package journal

import (
	"context"
	"fmt"
	"time"
)

// The pauses between attempts to open failed storage again.
const (
	minReopenPause = time.Second
	maxReopenPause = 30 * time.Second
)

// suspect tells the supervisor that an append went unanswered or was refused for err.
func (j *Journal) suspect(err error) {
	j.setFault(err)
	select {
	case j.broken <- err:
	default: // it already knows
	}
}

func (j *Journal) setFault(err error) { j.fault.Store(&err) }

// supervise opens the storage again after it has failed. The log stops writing for good at
// the first error of the disk, even when that error passes, so only a restart of the
// server inside helps. Consumers and appends come back with the connection.
func (j *Journal) supervise() {
	for {
		select {
		case <-j.closing:
			return
		case err := <-j.broken:
			j.log.Error("the journal's storage fails: senders are asked to come back later", "error", err)
			if !j.reopen() {
				return
			}
			j.log.Info("the journal's storage works again")
		}
	}
}

// reopen restarts the server until it works; false if the journal is closed before.
func (j *Journal) reopen() bool {
	for pause := minReopenPause; ; pause = min(2*pause, maxReopenPause) {
		err := j.disk.check(time.Now())
		if err == nil {
			j.broker.stop()
			if err = j.broker.start(); err == nil {
				err = j.probe()
			}
		}
		if err == nil {
			select {
			case <-j.broken: //nolint:errcheck // what failed before the restart is over
			default:
			}
			j.fault.Store(nil)
			return true
		}
		j.setFault(err)
		j.log.Warn("the journal's storage doesn't open", "error", err, "again_in", pause)
		select {
		case <-j.closing:
			return false
		case <-time.After(pause):
		}
	}
}

// probe asks the restarted server whether the events are there.
func (j *Journal) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if err := j.createStreams(ctx); err != nil {
		return unavailable(fmt.Errorf("ask the restarted log: %w", err))
	}
	return nil
}

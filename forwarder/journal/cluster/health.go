package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal"
)

const (
	// healthInterval is how often the cluster is examined while all is well, and
	// faultInterval while it isn't.
	healthInterval = 5 * time.Second
	faultInterval  = 500 * time.Millisecond
	// examineTimeout bounds one examination.
	examineTimeout = 3 * time.Second
	// silentReplica is after how long without a word a replica doesn't count.
	silentReplica = 10 * time.Second
	// faultLogInterval is how often at most a fault is logged.
	faultLogInterval = time.Minute
)

// health is what is known of the cluster.
type health struct {
	fault     atomic.Pointer[error]
	check     chan struct{} // told to examine the cluster at once; holds one
	unreached error         // why the first connection did not come about

	// Of watchHealth's goroutine.
	ready    bool // the streams are what the configuration says
	logged   time.Time
	wasFault bool
}

// Ready returns nil when an Append can be expected to succeed, and the reason when not.
func (j *Journal) Ready() error {
	select {
	case <-j.closing:
		return journal.ErrClosed
	default:
	}
	if err := j.health.fault.Load(); err != nil {
		return *err
	}
	if !j.conn.IsConnected() {
		return journal.Unavailable(errDisconnected)
	}
	return nil
}

// examineSoon has the cluster examined without delay.
func (j *Journal) examineSoon() {
	select {
	case j.health.check <- struct{}{}:
	default:
	}
}

// watchHealth examines the cluster from time to time, and makes the streams where they are
// missing.
func (j *Journal) watchHealth() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j.wait.Go(func() { <-j.closing; cancel() })
	timer := time.NewTimer(faultInterval)
	defer timer.Stop()
	for {
		select {
		case <-j.closing:
			return
		case <-j.health.check:
		case <-timer.C:
		}
		err := j.examine(ctx)
		if ctx.Err() != nil {
			return
		}
		j.setFault(err)
		next := healthInterval
		if err != nil {
			next = faultInterval
		}
		timer.Reset(next)
	}
}

// examine returns why the cluster cannot store events now.
func (j *Journal) examine(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	if !j.conn.IsConnected() {
		if err := j.conn.LastError(); err != nil {
			return fmt.Errorf("connect to the NATS cluster: %w", err)
		}
		if j.health.unreached != nil {
			return fmt.Errorf("connect to the NATS cluster: %w", j.health.unreached)
		}
		return errDisconnected
	}
	j.health.unreached = nil
	if !j.health.ready {
		if err := j.setUp(ctx); err != nil {
			return err
		}
		j.health.ready = true
	}
	info, err := j.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		j.health.ready = false // made again at the next examination
		j.log.Error("the journal's stream has been deleted from the NATS cluster: it is made anew, empty", "stream", j.names.stream)
	}
	if err != nil {
		return fmt.Errorf("ask the NATS cluster for stream %s: %w", j.names.stream, err)
	}
	return quorum(info)
}

// quorum returns an error when too few replicas are there to store anything.
func quorum(info *jetstream.StreamInfo) error {
	c := info.Cluster
	if c == nil || info.Config.Replicas <= 1 {
		return nil
	}
	if c.Leader == "" {
		return fmt.Errorf("the NATS servers have not agreed on a leader for stream %s", info.Config.Name)
	}
	there := 1
	for _, r := range c.Replicas {
		if !r.Offline && (r.Current || r.Active < silentReplica) {
			there++
		}
	}
	if all := len(c.Replicas) + 1; there <= all/2 {
		return fmt.Errorf("only %d of the %d NATS servers that hold stream %s are there", there, all, info.Config.Name)
	}
	return nil
}

// setFault notes why events cannot be stored, or that they can again.
func (j *Journal) setFault(err error) {
	h := &j.health
	if err == nil {
		h.fault.Store(nil)
		if h.wasFault {
			j.log.Info("the journal's NATS cluster works again")
		}
		h.wasFault = false
		return
	}
	err = journal.Unavailable(err)
	h.fault.Store(&err)
	if now := time.Now(); !h.wasFault || now.Sub(h.logged) >= faultLogInterval {
		h.logged = now
		j.log.Error("the journal's NATS cluster doesn't work: senders are asked to come back later", "error", err)
	}
	h.wasFault = true
}

package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/saker-security/saker/forwarder/journal"
)

// What the servers understand as an answer to a delivery.
var (
	ackDone     = []byte("+ACK")
	ackNak      = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

// receipt answers one delivery.
type receipt struct {
	c        *Consumer
	sequence uint64
	reply    string
}

// hold notes that an event is in the output's hands.
func (c *Consumer) hold(sequence uint64, reply string) receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHand[sequence] = reply
	return receipt{c, sequence, reply}
}

func (r receipt) Ack() error {
	if err := r.end(); err != nil {
		return err
	}
	if err := r.c.j.conn.Publish(r.reply, ackDone); err != nil {
		return r.c.j.broken(err)
	}
	r.c.mu.Lock()
	r.c.acked = r.reply
	r.c.mu.Unlock()
	return nil
}

func (r receipt) Nak(delay time.Duration) error {
	if err := r.end(); err != nil {
		return err
	}
	answer := ackNak
	if delay > 0 {
		answer = fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds())
	}
	if err := r.c.j.conn.Publish(r.reply, answer); err != nil {
		return r.c.j.broken(err)
	}
	return nil
}

func (r receipt) InProgress() error {
	if r.c.isClosed() {
		return journal.ErrClosed
	}
	if err := r.c.j.conn.Publish(r.reply, ackProgress); err != nil {
		return r.c.j.broken(err)
	}
	return nil
}

// end notes that the event is no longer in hand. The servers may have delivered it again
// meanwhile; then the later delivery's answer counts, too.
func (r receipt) end() error {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return journal.ErrClosed // it went back to the servers
	}
	if c.inHand[r.sequence] == r.reply {
		delete(c.inHand, r.sequence)
	}
	return nil
}

// giveBack returns all events in hand to the servers, the oldest first, and says which
// they were.
func (c *Consumer) giveBack() (sequences []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sequences = slices.Sorted(maps.Keys(c.inHand))
	for _, s := range sequences {
		_ = c.j.conn.Publish(c.inHand[s], ackNak)
	}
	clear(c.inHand)
	return sequences
}

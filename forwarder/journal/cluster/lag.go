package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/internal/stream"
)

// Lag asks the servers how far the output is behind. Its figures are those of the output,
// whichever forwarder has its events in hand.
func (c *Consumer) Lag(ctx context.Context) (journal.Lag, error) {
	lag, err := c.lag(ctx)
	if err != nil {
		return journal.Lag{}, fmt.Errorf("ask for the lag of %q: %w", c.name, c.j.broken(err))
	}
	return lag, nil
}

func (c *Consumer) lag(ctx context.Context) (journal.Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	info, err := c.info(ctx)
	if err != nil {
		return journal.Lag{}, err
	}
	lost, err := c.losses.observe(ctx, info)
	if err != nil {
		return journal.Lag{}, err
	}
	lag := journal.Lag{
		Pending: info.NumPending + uint64(info.NumAckPending), InFlight: info.NumAckPending, Lost: lost,
	}
	if lag.Pending > 0 {
		lag.Oldest, err = c.oldest(ctx, info.AckFloor.Stream+1)
	}
	return lag, err
}

// info asks for the state of the consumer.
func (c *Consumer) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	if err := stream.Connected(c.j.js); err != nil {
		return nil, err
	}
	consumer, err := c.j.js.Consumer(ctx, c.j.names.stream, c.durable)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

// oldest returns when the first event from sequence on that the filter lets pass was
// stored; zero if there is none any more.
func (c *Consumer) oldest(ctx context.Context, sequence uint64) (time.Time, error) {
	log, err := stream.Open(ctx, c.j.js, c.j.names.stream)
	if err != nil {
		return time.Time{}, err
	}
	var first *jetstream.RawStreamMsg
	for _, subject := range c.filters {
		m, err := log.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		if first == nil || m.Sequence < first.Sequence {
			first = m
		}
	}
	if first == nil {
		return time.Time{}, nil
	}
	return first.Time, nil
}

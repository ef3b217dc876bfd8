package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/rabbitmq/amqp091-go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// link is a connection with a channel in confirm mode.
type link struct {
	conn    *amqp091.Connection
	channel *amqp091.Channel
	// ended tells why the channel was closed. What the broker said comes before the
	// confirmations that wait are given up.
	ended <-chan *amqp091.Error
	// returns are messages that no queue took. Each comes before its confirmation.
	returns chan amqp091.Return
	reason  error
}

// connect makes a link.
func (s *sender) connect(ctx context.Context) (*link, error) {
	uri, err := amqp091.ParseURI(s.URL.Reveal())
	if err != nil {
		return nil, errors.New("url is not a URL")
	}
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("saker")
	conn, err := amqp091.DialConfig(s.URL.Reveal(), amqp091.Config{
		Dial:            func(network, address string) (net.Conn, error) { return s.session.Dial(ctx, network, address) },
		TLSClientConfig: s.tls.ConfigFor(uri.Host),
		Properties:      properties,
		Locale:          "en_US",
	})
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	return &link{
		conn: conn, channel: channel,
		ended:   channel.NotifyClose(make(chan *amqp091.Error, 1)),
		returns: channel.NotifyReturn(make(chan amqp091.Return, maxBatch)),
	}, nil
}

func (l *link) open() bool { return !l.channel.IsClosed() && !l.conn.IsClosed() }

// forget drops what was returned earlier and belongs to nobody any more.
func (l *link) forget() {
	for {
		select {
		case _, ok := <-l.returns:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// confirmed waits for what the broker says of one message; c is nil when it was not
// published.
func (l *link) confirmed(ctx context.Context, c *amqp091.DeferredConfirmation) (acked bool, _ error) {
	if c == nil {
		return false, l.why(ctx)
	}
	acked, err := c.WaitContext(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("wait for the broker's confirmation: %w", err)
	case !acked && !l.open():
		return false, l.why(ctx) // given up, not refused
	}
	return acked, nil
}

// why says why the channel was closed. The client tells it, or closes the Go channel, soon
// after it calls the channel closed.
func (l *link) why(ctx context.Context) error {
	if l.reason != nil {
		return l.reason
	}
	select {
	case said := <-l.ended:
		if said != nil {
			l.reason = publishError(said)
			return l.reason
		}
		return errors.New("the connection to the broker ended")
	case <-ctx.Done():
		return fmt.Errorf("publish to RabbitMQ: %w", ctx.Err())
	}
}

// returned are the places of batch whose messages came back.
func (l *link) returned(batch []event.Event) map[int]error {
	back := map[string]error{}
	for {
		select {
		case r, ok := <-l.returns:
			if ok {
				back[string(r.Body)] = outputs.Hold(fmt.Errorf("no queue takes the message: %s (%d)", r.ReplyText, r.ReplyCode))
				continue
			}
		default:
		}
		break
	}
	if len(back) == 0 {
		return nil
	}
	places := map[int]error{}
	for i, e := range batch {
		if err := back[string(e.AppendJSON(nil))]; err != nil {
			places[i] = err
		}
	}
	return places
}

// connectError classes an error of connecting: what the broker says of who we are, and of
// its host, waits for somebody to mend it.
func connectError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", ended)
	}
	said, ok := errors.AsType[*amqp091.Error](err)
	err = fmt.Errorf("connect to RabbitMQ: %w", err)
	if ok && (said.Code == amqp091.AccessRefused || said.Code == amqp091.NotAllowed) {
		return outputs.Hold(err)
	}
	return err
}

// publishError classes what closed the channel.
func publishError(said *amqp091.Error) error {
	err := fmt.Errorf("publish to RabbitMQ: %w", said)
	switch said.Code {
	case amqp091.PreconditionFailed, amqp091.ContentTooLarge: // larger than max_message_size
		return outputs.Reject(err)
	case amqp091.NotFound, amqp091.AccessRefused, amqp091.NotAllowed:
		return outputs.Hold(err)
	}
	return err
}

// Package rabbitmq publishes events to a queue or an exchange of RabbitMQ.
//
// One connection with one channel is kept and made anew after an error. The channel is in
// confirm mode: an event counts as delivered once the broker has confirmed it. Each
// message is mandatory, so that one that no queue takes comes back.
package rabbitmq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

//go:embed page.md
var page string

// maxBatch is the most events that are published before their confirmations are awaited.
const maxBatch = 500

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "rabbitmq",
		Title:   "RabbitMQ",
		Doc:     "Publishes each event to a queue or an exchange of RabbitMQ.",
		Page:    page,
		Batch:   maxBatch,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	URL        config.Secret `key:"url" required:"true" doc:"Address of the broker, amqp://user:password@host:5672/vhost, or amqps:// for TLS."`
	Queue      string        `key:"queue" required:"true" doc:"Queue that the events go to. It has to be there."`
	Exchange   string        `key:"exchange" doc:"Exchange to publish to; empty for the default one, which leads to the queue."`
	RoutingKey string        `key:"routingkey" doc:"Routing key of the messages; empty for the queue's name."`
	Persistent bool          `key:"persistent" default:"false" doc:"Let the broker write the messages to disk, so that they survive its restart in a durable queue."`
	CheckCert  bool          `key:"checkcert" default:"true" doc:"Verify the broker's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS  bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath to the broker. The broker's certificate is then always verified."`
}

// maxName is the longest name of a queue or an exchange, and the longest routing key, in
// bytes.
const maxName = 255

// Validate checks the address and the names.
func (c Config) Validate() error {
	var errs []error
	if _, err := amqp091.ParseURI(c.URL.Reveal()); err != nil {
		errs = append(errs, config.At("url", errors.New("must be a URL such as amqp://user:password@host:5672/vhost")))
	}
	for key, name := range map[string]string{"queue": c.Queue, "exchange": c.Exchange, "routingkey": c.RoutingKey} {
		if len(name) > maxName {
			errs = append(errs, config.At(key, fmt.Errorf("must be at most %d bytes", maxName)))
		}
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	tls     *tlsx.Source
	session dialx.Session
	link    *link
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	source, err := tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, tls: source}, nil
}

// timeout bounds one Send where the context does not.
const timeout = time.Minute

// Send publishes the batch and waits for the confirmations.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer s.session.Within(ctx)()
	if s.link == nil || !s.link.open() {
		s.drop()
		l, err := s.connect(ctx)
		if err != nil {
			s.session.Cut()
			return connectError(ctx, err)
		}
		s.link = l
	}
	err := s.publish(ctx, batch)
	if !s.link.open() || ctx.Err() != nil {
		s.drop()
	}
	return err
}

// publish publishes the batch and collects what the broker says of each event.
func (s *sender) publish(ctx context.Context, batch []event.Event) error {
	l := s.link
	l.forget()
	confirmations := make([]*amqp091.DeferredConfirmation, len(batch))
	for i, e := range batch {
		var err error
		confirmations[i], err = l.channel.PublishWithDeferredConfirmWithContext(ctx, s.Exchange, s.key(), true, false, s.message(e))
		if err != nil && l.open() {
			return fmt.Errorf("publish to RabbitMQ: %w", err)
		}
		if err != nil {
			break // the channel says why, and nothing behind this was published
		}
	}
	failed, confirmed := outputs.Partial{}, 0
	var broken error
	for i, c := range confirmations {
		switch acked, err := l.confirmed(ctx, c); {
		case err != nil:
			broken = err
			failed[i] = err
		case !acked:
			failed[i] = errors.New("the broker did not take the message: the queue is full, or the broker failed")
		default:
			confirmed++
		}
	}
	if broken != nil && confirmed == 0 {
		return broken
	}
	// What was returned is confirmed, too.
	maps.Copy(failed, l.returned(batch))
	// An error that closed the channel is about one of these, and which one shows when they
	// are sent without those that were confirmed.
	for i, err := range failed {
		if outputs.Rejected(err) {
			failed[i] = errors.New(err.Error())
		}
	}
	return failed.OrNil()
}

func (s *sender) key() string {
	if s.RoutingKey != "" {
		return s.RoutingKey
	}
	return s.Queue
}

// drop ends the connection, however it is. It is cut first, because the client waits for
// what it still writes.
func (s *sender) drop() {
	s.session.Cut()
	if s.link != nil {
		_ = s.link.conn.Close()
	}
	s.link = nil
}

// closeTimeout is how long the broker may take to say goodbye.
const closeTimeout = time.Second

// Close says goodbye to the broker and ends the connection.
func (s *sender) Close() error {
	if s.link != nil && s.link.open() {
		_ = s.link.conn.CloseDeadline(time.Now().Add(closeTimeout))
	}
	s.drop()
	return nil
}

// message is what the golden files pin: the event's JSON, and its UUID by which a consumer
// finds what came twice.
func (s *sender) message(e event.Event) amqp091.Publishing {
	m := amqp091.Publishing{ContentType: "text/plain", MessageId: e.UUID, Body: e.AppendJSON(make([]byte, 0, 1536))}
	if s.Persistent {
		m.DeliveryMode = amqp091.Persistent
	}
	return m
}

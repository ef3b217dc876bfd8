// Package nats publishes events to NATS, by its core protocol or into a stream of
// JetStream.
//
// One connection is kept and made anew after an error. A batch is published in one go;
// then the server is asked whether it has read everything, or, with JetStream, each
// acknowledgement is awaited.
package nats

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/natsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "nats",
		Title:   "NATS",
		Doc:     "Publishes each event to NATS, or into a stream of JetStream, on a subject made of its priority and rule.",
		Page:    page,
		Batch:   500,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	natsx.Config
	JetStream bool `key:"jetstream" default:"false" doc:"Wait until a stream of JetStream has stored each event. The event's UUID is the message's id, by which the stream drops what it has got already. Without it, an event that nobody is subscribed to is lost."`
}

type sender struct {
	Config
	dialer  *natsx.Dialer
	session dialx.Session
	conn    *nats.Conn
	js      jetstream.JetStream
	closed  chan nats.Status // tells that the connection ended
	denied  *denials
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	dialer, err := natsx.NewDialer(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, dialer: dialer}, nil
}

// Send publishes the batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.session.Within(ctx)()
	if err := s.connect(ctx); err != nil {
		return err
	}
	send := s.publish
	if s.JetStream {
		send = s.store
	}
	err := send(ctx, batch)
	if _, partly := errors.AsType[outputs.Partial](err); err == nil || partly {
		return err
	}
	s.drop()
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("publish to NATS: %w", ended)
	}
	return err
}

// Close ends the connection.
func (s *sender) Close() error {
	s.drop()
	return nil
}

func (s *sender) connect(ctx context.Context) error {
	if s.conn != nil && s.conn.IsConnected() {
		return nil
	}
	s.drop()
	denied := newDenials()
	conn, err := s.dialer.Dial(ctx, &s.session, denied.hear)
	if err != nil {
		s.session.Cut()
		return err
	}
	s.conn, s.denied, s.closed = conn, denied, conn.StatusChanged(nats.CLOSED)
	if s.JetStream {
		if s.js, err = jetstream.New(conn); err != nil {
			s.drop()
			return fmt.Errorf("use JetStream: %w", err)
		}
	}
	return nil
}

// drop ends the connection, however it is. It is cut first, because the client waits for
// what it still writes.
func (s *sender) drop() {
	s.session.Cut()
	if s.conn != nil {
		s.conn.Close()
	}
	s.conn, s.js, s.denied, s.closed = nil, nil, nil, nil
}

// publish sends the batch by the core protocol. It has arrived once the server has
// answered a ping that was sent behind it.
func (s *sender) publish(ctx context.Context, batch []event.Event) error {
	failed := outputs.Partial{}
	subjects := make([]string, len(batch))
	for i, e := range batch {
		subjects[i] = natsx.Subject(s.SubjectTemplate, e)
		if err := s.conn.Publish(subjects[i], payload(e)); err != nil {
			if !errors.Is(err, nats.ErrMaxPayload) {
				return fmt.Errorf("publish to NATS: %w", err)
			}
			failed[i] = outputs.Reject(err)
		}
	}
	if err := s.settle(ctx, subjects, failed); err != nil {
		return err
	}
	return failed.OrNil()
}

// settle waits until the server has read what was published, and adds to failed what it
// did not allow.
func (s *sender) settle(ctx context.Context, subjects []string, failed outputs.Partial) error {
	if err := natsx.Flush(ctx, s.conn); err != nil {
		if errors.Is(err, nats.ErrConnectionClosed) && s.conn.LastError() != nil {
			err = s.conn.LastError()
		}
		return natsx.ConnectError(err)
	}
	denied, err := s.denied.since(ctx, s.conn.LastError())
	if err != nil {
		return err
	}
	for i, subject := range subjects {
		if err := denied[subject]; err != nil {
			failed[i] = outputs.Hold(err)
		}
	}
	return nil
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) []byte { return e.AppendJSON(make([]byte, 0, 1536)) }

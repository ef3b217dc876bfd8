// Package stan publishes events to a channel of NATS Streaming, the predecessor of
// JetStream.
//
// One connection is kept, because the server knows each client by its id and takes it only
// once, and made anew after an error. Each event counts as delivered once the server has
// acknowledged it.
package stan

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/natsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "stan",
		Title:   "STAN",
		Doc:     "Publishes each event to a channel of NATS Streaming, named after its priority and rule.",
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
	ClusterID string `key:"clusterid" required:"true" doc:"The server's cluster_id."`
	ClientID  string `key:"clientid" required:"true" doc:"Name of this client: letters, digits, - and _. The server takes each once, so that several forwarders need different ones."`
}

var (
	clientID  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	clusterID = regexp.MustCompile(`^[^\s*>]+$`)
)

// Validate checks the names.
func (c Config) Validate() error {
	var errs []error
	if !clientID.MatchString(c.ClientID) {
		errs = append(errs, config.At("clientid", errors.New("must be letters, digits, - and _")))
	}
	if !clusterID.MatchString(c.ClusterID) {
		errs = append(errs, config.At("clusterid", errors.New("must be a name without spaces, * and >")))
	}
	return errors.Join(errs...)
}

// How long the server may take to answer, where the context allows more.
const (
	connectTimeout = 10 * time.Second
	closeTimeout   = 2 * time.Second
	ackTimeout     = 30 * time.Second
)

type sender struct {
	Config
	dialer  *natsx.Dialer
	session dialx.Session
	nats    *nats.Conn
	stan    stan.Conn
	lost    chan error       // tells that the server has given the client up
	closed  chan nats.Status // tells that the connection below ended
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	dialer, err := natsx.NewDialer(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{Config: c, dialer: dialer}, nil
}

// Send publishes the batch and waits for the acknowledgements.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.session.Within(ctx)()
	if err := s.connect(ctx); err != nil {
		s.drop()
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("connect to NATS Streaming: %w", ended)
		}
		return err
	}
	failed, broken := s.publish(ctx, batch)
	if broken {
		s.drop()
	}
	return failed.OrNil()
}

// Close says goodbye to the server, which frees the client's id, and ends the connection.
func (s *sender) Close() error {
	if s.stan != nil && s.nats.IsConnected() {
		// A server that is silent must not hold the end up.
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		defer s.session.Within(ctx)()
		_ = s.stan.Close()
	}
	s.drop()
	return nil
}

func (s *sender) connect(ctx context.Context) error {
	if s.stan != nil && s.nats.IsConnected() {
		select {
		case <-s.lost: //nolint:errcheck // whatever it was, the connection is gone
		default:
			return nil
		}
	}
	s.drop()
	conn, err := s.dialer.Dial(ctx, &s.session, nil)
	if err != nil {
		return err
	}
	s.nats, s.closed = conn, conn.StatusChanged(nats.CLOSED)
	lost := make(chan error, 1)
	s.lost = lost
	s.stan, err = stan.Connect(s.ClusterID, s.ClientID, stan.NatsConn(conn),
		stan.ConnectWait(connectTimeout), stan.PubAckWait(ackTimeout),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { lost <- err }))
	if err != nil {
		s.stan = nil // it may hold a nil pointer
		return fmt.Errorf("connect to NATS Streaming: %w", err)
	}
	return nil
}

// drop ends the connection, however it is. It is cut first, because the clients wait for
// what they still write; the streaming client then needs its own end for its timers.
func (s *sender) drop() {
	s.session.Cut()
	if s.nats != nil {
		s.nats.Close()
	}
	if s.stan != nil {
		_ = s.stan.Close()
	}
	s.nats, s.stan, s.lost, s.closed = nil, nil, nil, nil
}

// acknowledgement is what the server says about the event at place.
type acknowledgement struct {
	place int
	err   error
}

// publish sends the batch and returns which events failed, and whether the connection is
// of no use any more.
func (s *sender) publish(ctx context.Context, batch []event.Event) (failed outputs.Partial, broken bool) {
	failed = outputs.Partial{}
	acks := make(chan acknowledgement, len(batch)) // the client's callbacks never wait
	waiting := map[int]bool{}
	for i, e := range batch {
		acknowledge := func(_ string, err error) { acks <- acknowledgement{i, err} }
		if _, err := s.stan.PublishAsync(natsx.Subject(s.SubjectTemplate, e), payload(e), acknowledge); err != nil {
			failed[i] = publishError(err)
			broken = broken || !outputs.Rejected(failed[i])
			continue
		}
		waiting[i] = true
	}
	for len(waiting) > 0 {
		select {
		case a := <-acks:
			delete(waiting, a.place)
			if a.err != nil {
				failed[a.place], broken = publishError(a.err), true
			}
		case <-ctx.Done():
			for i := range waiting {
				failed[i] = fmt.Errorf("wait for the server's acknowledgement: %w", ctx.Err())
			}
			return failed, true
		case <-s.closed:
			for i := range waiting {
				failed[i] = errors.New("wait for the server's acknowledgement: the connection ended")
			}
			return failed, true
		}
	}
	return failed, broken
}

func publishError(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return outputs.Reject(err)
	}
	return fmt.Errorf("publish to NATS Streaming: %w", err)
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) []byte { return e.AppendJSON(make([]byte, 0, 1536)) }

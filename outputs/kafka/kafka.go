// Package kafka produces events to a topic of Kafka.
//
// The client finds the brokers that lead the topic's partitions, keeps a connection to
// each, and follows when they change. A batch is produced in one go, and each record has
// an outcome of its own.
package kafka

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "kafka",
		Title:   "Kafka",
		Doc:     "Produces each event as a record to a topic of Kafka.",
		Page:    page,
		Batch:   500,
		Archive: true,
		New:     New,
	})
}

type sender struct {
	Config
	tls     *tlsx.Source
	login   *login
	session dialx.Session

	mu     sync.Mutex
	client *kgo.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	source, err := tlsx.New(tlsx.Settings{
		Insecure: !c.CheckCert, MutualTLS: c.MutualTLS,
		CertFile: c.CertFile, KeyFile: c.KeyFile, CACertFile: c.CACertFile,
	}, env)
	if err != nil {
		return nil, err
	}
	login, err := newLogin(c, env)
	if err != nil {
		return nil, err
	}
	if c.RequiredAcks == acksNone && env.Log != nil {
		env.Log.Warn("requiredacks is NONE: Kafka acknowledges nothing, and nobody notices what it does not store; ONE or ALL is safe")
	}
	return &sender{Config: c, tls: source, login: login}, nil
}

// open returns the client, and makes it at first. It connects when it is used.
func (s *sender) open() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		client, err := kgo.NewClient(s.options()...)
		if err != nil {
			return nil, fmt.Errorf("make a Kafka client: %w", err)
		}
		s.client = client
	}
	return s.client, nil
}

// Send produces the batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	client, err := s.open()
	if err != nil {
		return err
	}
	all := make([]int, len(batch))
	for i := range all {
		all[i] = i
	}
	failed := s.produce(ctx, client, batch, all)
	s.produceAlone(ctx, client, batch, failed)
	for i, err := range failed {
		if errors.Is(err, kerr.UnknownTopicID) {
			// The topic was made anew, and this client would look for the old one for long.
			s.forget(client)
		}
		failed[i] = classify(err)
	}
	return failed.OrNil()
}

// forget ends client, so that the next batch gets a new one.
func (s *sender) forget(client *kgo.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == client {
		s.client = nil
	}
	client.Close()
}

// produce produces the events at the given places, and returns which failed and why.
func (s *sender) produce(ctx context.Context, client *kgo.Client, batch []event.Event, places []int) outputs.Partial {
	var mu sync.Mutex
	failed := outputs.Partial{}
	var produced sync.WaitGroup
	produced.Add(len(places))
	for _, i := range places {
		client.Produce(ctx, s.record(batch[i]), func(_ *kgo.Record, err error) {
			defer produced.Done()
			if err != nil {
				mu.Lock()
				failed[i] = err
				mu.Unlock()
			}
		})
	}
	produced.Wait()
	return failed
}

// produceAlone produces again, each in a request of its own, what a broker found too large
// together with others, and updates failed: the client packs records by what brokers take
// by default, and a topic may take less.
func (s *sender) produceAlone(ctx context.Context, client *kgo.Client, batch []event.Event, failed outputs.Partial) {
	if len(batch) == 1 {
		return
	}
	for i := range batch {
		if !errors.Is(failed[i], kerr.MessageTooLarge) {
			continue
		}
		if err := s.produce(ctx, client, batch, []int{i})[i]; err != nil {
			failed[i] = err
			continue
		}
		delete(failed, i)
	}
}

// Close ends the connections.
func (s *sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		s.client.Close()
	}
	s.session.Cut()
	s.client = nil
	return nil
}

// record is what the golden files pin: the event's JSON, and a key if one is set.
func (s *sender) record(e event.Event) *kgo.Record {
	r := &kgo.Record{Topic: s.Topic, Value: e.AppendJSON(make([]byte, 0, 1536))}
	if key := s.MessageKey.Render(e); key != "" {
		r.Key = []byte(key)
	}
	return r
}

// Errors of brokers that no other try mends: the record's, and those of topic or login.
var (
	rejected = []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp}
	held     = []error{
		kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.TopicAuthorizationFailed,
		kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism,
		kerr.IllegalSaslState, kerr.PolicyViolation, kerr.InvalidRequiredAcks, kerr.SecurityDisabled,
	}
)

// classify says what a record's error means for delivery.
func classify(err error) error {
	err = fmt.Errorf("produce to Kafka: %w", err)
	for _, known := range rejected {
		if errors.Is(err, known) {
			return outputs.Reject(err)
		}
	}
	for _, known := range held {
		if errors.Is(err, known) {
			return outputs.Hold(err)
		}
	}
	return err
}

package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/natsx"
)

// store publishes the batch and waits until a stream has acknowledged each event.
func (s *sender) store(ctx context.Context, batch []event.Event) error {
	failed := outputs.Partial{}
	subjects := make([]string, len(batch))
	futures := make([]jetstream.PubAckFuture, len(batch))
	for i, e := range batch {
		subjects[i] = natsx.Subject(s.SubjectTemplate, e)
		var options []jetstream.PublishOpt
		if e.UUID != "" {
			options = append(options, jetstream.WithMsgID(e.UUID))
		}
		var err error
		if futures[i], err = s.js.PublishAsync(subjects[i], payload(e), options...); err != nil {
			if !errors.Is(err, nats.ErrMaxPayload) {
				return fmt.Errorf("publish to JetStream: %w", err)
			}
			failed[i] = outputs.Reject(err)
		}
	}
	if err := s.settle(ctx, subjects, failed); err != nil {
		return err
	}
	for i, future := range futures {
		if failed[i] != nil {
			continue
		}
		if err := s.acknowledged(ctx, future); err != nil {
			failed[i] = err
		}
	}
	if len(failed) == len(batch) && ctx.Err() != nil {
		return ctx.Err()
	}
	return failed.OrNil()
}

// acknowledged waits for one acknowledgement.
func (s *sender) acknowledged(ctx context.Context, future jetstream.PubAckFuture) error {
	ctx, cancel := context.WithTimeout(ctx, natsx.FlushTimeout)
	defer cancel()
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return storeError(err)
	case <-s.closed:
		s.closed <- nats.CLOSED // for the next one, which would wait, too
		return errors.New("wait for the stream's acknowledgement: the connection ended")
	case <-ctx.Done():
		return fmt.Errorf("wait for the stream's acknowledgement: %w", ctx.Err())
	}
}

// Codes of JetStream's errors that are not for another try.
const (
	codeMessageTooLarge = 10054
	codeStreamSealed    = 10109
)

// storeError classes an answer of JetStream.
func storeError(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return outputs.Hold(fmt.Errorf("no stream takes this subject: %w", err))
	}
	err = fmt.Errorf("store in JetStream: %w", err)
	api, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case !ok:
		return err
	case api.ErrorCode == codeMessageTooLarge:
		return outputs.Reject(err)
	case api.ErrorCode == codeStreamSealed:
		return outputs.Hold(err)
	}
	return err
}

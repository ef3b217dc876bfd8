// Package stream is what the journal's parts share in their dealings with JetStream
// streams: making them, also when several forwarders do it at once, and reading them in
// order without a cursor.
//
// It stands below package cluster, the dead letters and the buckets, and knows nothing of
// what the messages hold.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Ensure makes the stream that c describes, or brings an existing one up to date. Several
// processes may call it at the same time: the first one makes the stream.
//
// A stream that has more replicas than c asks for keeps them, since one process with a
// wrong setting must not take the safety of all; that is logged.
func Ensure(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig, log *slog.Logger) error {
	for try := 1; ; try++ {
		err := ensure(ctx, js, c, log)
		if err == nil {
			return nil
		}
		// Somebody else made or deleted it at the same moment.
		raced := errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrStreamNotFound)
		if !raced || try == 3 {
			return fmt.Errorf("set up stream %s: %w", c.Name, err)
		}
	}
}

// Connected returns an error while there is no connection, so that a caller doesn't wait for
// an answer that cannot come.
func Connected(js jetstream.JetStream) error {
	if !js.Conn().IsConnected() {
		return nats.ErrDisconnected
	}
	return nil
}

// Open returns the stream with its present state.
func Open(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	if err := Connected(js); err != nil {
		return nil, err
	}
	return js.Stream(ctx, name)
}

func ensure(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig, log *slog.Logger) error {
	s, err := Open(ctx, js, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, c)
		return err
	}
	if err != nil {
		return err
	}
	old := s.CachedInfo().Config
	if old.Replicas > c.Replicas {
		log.Warn("the stream keeps more replicas than journal.replicas asks for: lower them with the nats command if that is meant",
			"stream", c.Name, "replicas", old.Replicas, "asked", c.Replicas)
		c.Replicas = old.Replicas
	}
	if same(old, c) {
		return nil
	}
	_, err = js.UpdateStream(ctx, c)
	return err
}

// same compares the settings that we make; the server fills in others.
func same(a, b jetstream.StreamConfig) bool {
	return slices.Equal(a.Subjects, b.Subjects) && a.Description == b.Description &&
		a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge && a.MaxMsgs == b.MaxMsgs && a.MaxMsgSize == b.MaxMsgSize &&
		a.MaxMsgsPerSubject == b.MaxMsgsPerSubject && a.Duplicates == b.Duplicates && a.Replicas == b.Replicas &&
		a.Discard == b.Discard && a.AllowDirect == b.AllowDirect && a.AllowMsgTTL == b.AllowMsgTTL
}

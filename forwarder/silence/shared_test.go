package silence

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal/bucket"
)

// connect returns a connection to the server, as a forwarder has it.
func connect(t *testing.T, ns *server.Server) *bucket.Bucket {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	b := bucket.New(js, bucket.Options{
		Stream: "SILENCES", Subject: "records.silences.", Replicas: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// follow runs a Book of the bucket.
func follow(t *testing.T, b *bucket.Bucket) *Book {
	t.Helper()
	book := New(b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = book.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	select {
	case <-book.Synced():
	case <-time.After(30 * time.Second):
		t.Fatal("the Book doesn't get ready")
	}
	return book
}

// becomes waits until a rule is silenced, or not, as want says.
func becomes(t *testing.T, b *Book, rule string, want bool) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if _, ok := b.Silenced(&event.Event{Rule: rule}, time.Now()); ok == want {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("rule %q is silenced: still not %v", rule, want)
		}
	}
}

func TestForwardersOfOneJournalShareTheirSilences(t *testing.T) {
	ns, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server doesn't come up")
	}
	one, two := follow(t, connect(t, ns)), follow(t, connect(t, ns))

	s := add(t, one, forRule("r", time.Hour))
	if !silenced(one, "r") {
		t.Error("the silence doesn't count where it was added")
	}
	becomes(t, two, "r", true)
	becomes(t, follow(t, connect(t, ns)), "r", true) // one that is started later

	if _, err := two.Expire(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	becomes(t, one, "r", false)
}
